"""The store: a folder with one JSON record per run, written so that nothing is lost and nothing is there twice.

A record is written to a temporary file beside its place, flushed to the disk and then renamed: a reader sees all of it
or nothing. Its name is the run's id, which holds a hash of the whole configuration.

A record holds

- ``schema``: the version of this format;
- ``run``: the row of the run table, under the table's column names, and columns of its own (``eval_se``, ``width``, …);
- ``status``: ``finished``; ``diverged`` (then the loss is null); or ``failed``, with ``error``, where memory ran out:
  such a run is tried again;
- ``config``: every knob of the run;
- ``curve``: points along training (step, data seen, training loss, sparsity), the last one with the held-out loss;
- ``flops``: training FLOPs of blocks, embeddings and attention at the density of each step;
- ``data``: the corpus and its SHA-256; ``versions``; ``device``;
- ``parameters``: by component, in all and non-zero, counted on the finished model.
"""

import contextlib
import json
import math
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bayes_scaling.runs import InputError

__all__ = ["SCHEMA", "done", "is_done", "read", "read_all", "records_to_rows", "write"]

SCHEMA = 1
"""Version of the record's format."""


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity; they become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def write(store: Path, record: dict[str, Any]) -> Path:
    """Write a record under its run id, all of it or nothing.

    Parameters
    ----------
    store : Path
        The folder; made if it does not exist.
    record : dict
        As `runners.train.run` returns it.

    Returns
    -------
    Path
        Where it lies.
    """
    store.mkdir(parents=True, exist_ok=True)
    place = store / f"{record['run']['run_id']}.json"
    temporary = store / f".{place.stem}-{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        with temporary.open("x", encoding="utf-8") as file:
            json.dump(_plain(record), file, allow_nan=False, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, place)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    return place


def read(store: Path, run_id: str) -> dict[str, Any]:
    """The record of one run."""
    place = Path(store) / f"{run_id}.json"
    if not place.is_file():
        raise InputError(f"the store {store} has no run {run_id!r}")
    return _parse(place)


def read_all(store: Path) -> list[dict[str, Any]]:
    """All records of a store, in the order of their run ids."""
    if not Path(store).is_dir():
        raise InputError(f"{store} is not a store: no such folder")
    return [_parse(place) for place in sorted(Path(store).glob("*.json"))]


def _parse(place: Path) -> dict[str, Any]:
    try:
        record = json.loads(place.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"{place} is not JSON: {error}") from None
    if not isinstance(record, dict) or record.get("schema") != SCHEMA or "run_id" not in record.get("run", {}):
        raise InputError(f"{place} is not a run record with schema {SCHEMA}")
    return record


def done(store: Path | None) -> set[str]:
    """Ids of the runs that need no training: the finished and the diverged, which would diverge again."""
    if store is None or not Path(store).is_dir():
        return set()
    return {record["run"]["run_id"] for record in read_all(store) if record["status"] != "failed"}


def is_done(store: Path, run_id: str) -> bool:
    """Whether a run needs no training."""
    return (Path(store) / f"{run_id}.json").is_file() and read(store, run_id)["status"] != "failed"


def records_to_rows(records: Iterable[dict[str, Any]], diverged: bool = False) -> list[dict[str, Any]]:
    """Rows of the run table.

    Parameters
    ----------
    records : iterable of dict
        As `read_all` returns them.
    diverged : bool
        Whether diverged runs, whose loss is NaN, are rows too.

    Returns
    -------
    list of dict
        One row a run, by run id.
    """
    rows = []
    for record in sorted(records, key=lambda record: record["run"]["run_id"]):
        if record["status"] == "finished":
            rows.append(dict(record["run"]))
        elif record["status"] == "diverged" and diverged:
            rows.append({**record["run"], "loss": math.nan})
    return rows
