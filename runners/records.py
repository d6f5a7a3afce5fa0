"""What a run leaves: one JSON record, and the row of the run table that it holds.

A record holds

- ``schema``: the version of this format;
- ``run``: the row of the run table, under the table's column names, and columns of its own (``eval_se``, ``width``, …);
- ``status``: ``finished``; ``diverged`` (then the loss is null); or ``failed``, with ``error``: such a run is tried
  again;
- ``config``: every knob of the run;
- ``curve``: points along training (step, data seen, training loss, sparsity), some with the held-out loss;
- ``flops``: training FLOPs of blocks, embeddings and attention at the density of each step;
- ``data``: the corpus and its SHA-256; ``code``: a hash of the runners' source; ``versions``; ``device``;
- ``parameters``: by component, in all and non-zero, counted on the finished model;
- ``mixture``: of a run on several corpora, a list with the weight, data and held-out loss of each;
- ``landscape``: where it was asked for, what the spectra of all matrices were ``before`` and ``after`` training;
- ``ended``: when the record was made, in seconds since 1970.
"""

import json
import math
from collections.abc import Iterable
from typing import Any

from bayes_scaling.runs import InputError

__all__ = ["SCHEMA", "SETTLED", "decode", "encode", "records_to_rows"]

SCHEMA = 1
"""Version of the record's format."""

SETTLED = ("finished", "diverged")
"""Status of runs that need no training: a diverged one would diverge again."""


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity; they become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def encode(record: dict[str, Any]) -> bytes:
    """A record as the content of its file."""
    return (json.dumps(_plain(record), allow_nan=False, indent=1) + "\n").encode()


def decode(content: bytes, place: str) -> dict[str, Any]:
    """A record from the content of its file.

    Raises
    ------
    InputError
        It is cut short, no record, or one of another version; the sentence names `place`.
    """
    try:
        record = json.loads(content)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{place} is not JSON: {error}") from None
    if not isinstance(record, dict) or "run_id" not in (record.get("run") or {}):
        raise InputError(f"{place} is no run record: it has no object 'run' with a run_id")
    if record.get("schema") != SCHEMA:
        raise InputError(
            f"{place} is a run record of schema {record.get('schema')!r}, where this version reads schema {SCHEMA}"
        )
    return record


def records_to_rows(records: Iterable[dict[str, Any]], diverged: bool = False) -> list[dict[str, Any]]:
    """Rows of the run table.

    Parameters
    ----------
    records : iterable of dict
        As `runners.store.Store.records` returns them.
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
