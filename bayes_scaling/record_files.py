"""Run records as files: a folder, or an address that fsspec knows, with one JSON object a run."""

import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from bayes_scaling.errors import InputError

__all__ = ["SCHEMA", "is_address", "read_records", "row_of"]

SCHEMA = 1
"""Version of the records that can be read."""


def is_address(source: str) -> bool:
    """Whether a name is a URL such as ``s3://bucket/runs`` rather than a path."""
    return "://" in source


def read_records(source: str) -> Iterator[tuple[str, dict[str, Any] | InputError]]:
    """The records of a store by file name; in place of one that cannot be read, what is wrong with it.

    Parameters
    ----------
    source : str
        Folder or address.

    Raises
    ------
    InputError
        The address cannot be reached.
    """
    for name, content in _contents(source):
        try:
            yield name, _record(content, os.path.join(source, name))
        except InputError as error:
            yield name, error


def _contents(source: str) -> Iterator[tuple[str, bytes | Exception]]:
    """Content of every record's file, or why there is none."""
    if not is_address(source):
        for file in sorted(Path(source).glob("*.json")):
            if not file.name.startswith("."):
                try:
                    yield file.name, file.read_bytes()
                except OSError as error:
                    yield file.name, error
        return
    import fsspec

    try:
        files, root = fsspec.core.url_to_fs(source)
        found = [path for path in files.ls(root, detail=False) if path.endswith(".json")]
        contents = files.cat(found, on_error="return") if found else {}
    except (OSError, ImportError, ValueError) as error:
        raise InputError(f"{source} cannot be read: {error}") from error
    for path in sorted(contents):
        yield PurePosixPath(path).name, contents[path]


def _record(content: bytes | Exception, where: str) -> dict[str, Any]:
    if isinstance(content, Exception):
        raise InputError(f"{where} cannot be read ({getattr(content, 'strerror', None) or content})")
    try:
        record = json.loads(content)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{where} is not JSON ({error})") from error
    if not isinstance(record, dict) or "run" not in record:
        raise InputError(f"{where} is no run record: it has no object 'run'")
    row_of(record, where)
    return record


def row_of(content: dict[str, Any], where: str) -> dict[str, Any]:
    """The row of a run record, with its status, or of an object that is a row itself.

    Raises
    ------
    InputError
        It is a record of another version, or its ``run`` is no object.
    """
    if "run" not in content or "schema" not in content:
        return content
    if content["schema"] != SCHEMA:
        raise InputError(
            f"{where} is a run record of schema {content['schema']!r}, where this version reads schema {SCHEMA}"
        )
    if not isinstance(content["run"], dict):
        raise InputError(f"{where} has a 'run' that is no object, where the columns of a run belong")
    status = {"status": content["status"]} if content.get("status") is not None else {}
    return {**status, **content["run"]}
