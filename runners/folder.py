"""Where a store's files lie: a local folder, or any address that fsspec knows (``s3://…``, ``gs://…``, ``memory://…``).

Five operations are all that a store needs, and each of them is whole or not at all for every other process: object
stores put files that way; on a local disk a file is written beside its place, flushed and then renamed or linked.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import fsspec

from bayes_scaling.runs import InputError

__all__ = ["Folder"]


class Folder:
    """Files by name below one address; names may have folders in them (``logs/run.log``).

    Parameters
    ----------
    address : str or Path
        A folder or a URL; it need not exist yet.

    Raises
    ------
    InputError
        The address is that of a file, or of a protocol that fsspec does not know or needs another package for.
    """

    def __init__(self, address: "str | os.PathLike[str]") -> None:
        self.address = os.fspath(address)
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.address)
        except (ImportError, ValueError) as error:
            raise InputError(f"the store {self.address} cannot be reached: {error}") from error
        self.path = Path(self._root) if "file" in _protocols(self._files) else None
        if self.path is not None and self.path.exists() and not self.path.is_dir():
            raise InputError(f"the store {self.address} is a file; a folder is needed")

    def __str__(self) -> str:
        return self.address

    def exists(self) -> bool:
        """Whether anything is there."""
        return bool(self._files.exists(self._root))

    def names(self, under: str = "") -> list[str]:
        """Names of the files directly below, or in one of its folders; hidden files are somebody's unfinished work."""
        try:
            entries = self._files.ls(self._at(under), detail=False, refresh=True)
        except FileNotFoundError:
            return []
        found = (PurePosixPath(entry).name for entry in entries)
        return sorted(f"{under}/{name}" if under else name for name in found if not name.startswith("."))

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        self._files.invalidate_cache()
        return bool(self._files.isfile(self._at(name)))

    def read(self, name: str) -> bytes:
        """The content of a file; FileNotFoundError where there is none."""
        return bytes(self._files.cat_file(self._at(name)))

    def read_all(self, names: Sequence[str]) -> dict[str, bytes | Exception]:
        """Many files at a time, which a remote store answers together; those that cannot be read as their error."""
        if not names:
            return {}
        if self.path is not None:
            return {name: self._attempt(name) for name in names}
        found = self._files.cat([self._at(name) for name in names], on_error="return")
        return {name: found[self._key(name)] for name in names}

    def write(self, name: str, content: bytes) -> None:
        """Write a file, or replace it."""
        if self.path is None:
            self._files.pipe_file(self._at(name), content)
            return
        with self._beside(name, content) as temporary:
            os.replace(temporary, self.path / name)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file unless there is one of this name; says whether it was written. Of several at once, one is."""
        try:
            if self.path is None:
                self._files.pipe_file(self._at(name), content, mode="create")
            else:
                with self._beside(name, content) as temporary:
                    os.link(temporary, self.path / name)
        except FileExistsError:
            return False
        return True

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}" if name else self._root

    def _key(self, name: str) -> str:
        """What fsspec calls a file among the answers to many."""
        return str(self._files._strip_protocol(self._at(name)))

    def _attempt(self, name: str) -> bytes | Exception:
        try:
            return self.read(name)
        except OSError as error:
            return error

    @contextlib.contextmanager
    def _beside(self, name: str, content: bytes) -> Iterator[Path]:
        """A file with this content, flushed to the disk, that takes its place or goes."""
        assert self.path is not None
        place = self.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_name(f".{place.name}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def _protocols(files: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)
