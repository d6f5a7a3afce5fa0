"""Tables in and out: files and Python objects on one side, plain named columns on the other.

Nothing here knows what a column means; `bayes_scaling.runs` does. Reading keeps the place of each row (a line number, a
record's file), so that a message about a bad value can point to it.
"""

import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.record_files import SCHEMA, is_address, read_records, row_of
from bayes_scaling.values import Values, as_array, is_missing

__all__ = ["ENDINGS", "Table", "read_table", "write_table"]

ENDINGS = (".csv", ".parquet", ".jsonl", ".ndjson", ".json", ".nc", ".zarr")


@dataclass(frozen=True)
class Table:
    """Columns as they were found.

    Attributes
    ----------
    name : str
        What messages call the source: the path as it was given, or ``the DataFrame``.
    columns : dict of str to sequence
        Raw values by column; None, NaN and the empty string are missing values.
    place : callable, optional
        Row number from 0 to where that row stands in the source, ``line 7``; None where nothing names the place.
    untyped : bool
        Every value is the text of a cell, of which numbers and booleans are still to be recognised (CSV).
    quoted : frozenset of str
        Untyped columns that the file marks as text, having put every cell in quotes.
    attrs, column_attrs : dict
        Attributes of the table and of its columns, where the source has such.
    theirs : dict of str to str
        What the source calls the columns that were renamed.
    faults : tuple of str
        Parts of the source that could not be read, and why.
    """

    name: str
    columns: dict[str, Values]
    place: Callable[[int], str] | None = None
    untyped: bool = False
    quoted: frozenset[str] = frozenset()
    attrs: dict[Any, Any] = field(default_factory=dict)
    column_attrs: dict[str, dict[Any, Any]] = field(default_factory=dict)
    theirs: dict[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


def read_table(source: Any) -> Table:
    """The columns of a file, a folder of run records, a DataFrame, a Dataset or a list of dicts.

    Raises
    ------
    InputError
        If the source does not exist, is empty, cannot be read or is of a kind that is not known.
    """
    if isinstance(source, xr.Dataset):
        return _from_dataset(source, "the Dataset")
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        return _from_address(name) if is_address(name) else _from_path(Path(name), name)
    if isinstance(source, pd.DataFrame):
        return _from_frame(source)
    if isinstance(source, Iterable) and not isinstance(source, Mapping | bytes):
        rows = list(source)
        if all(isinstance(row, Mapping) for row in rows):
            return Table("the list of runs", _columns(rows))
    raise InputError(
        f"runs can be a path, a pandas DataFrame, an xarray Dataset or a list of dicts, not {type(source).__name__!r}"
    )


def write_table(runs: xr.Dataset, path: Path, counts: frozenset[str]) -> None:
    """Write a table in the format that the path's ending names; the file appears whole or not at all.

    Parameters
    ----------
    runs : Dataset
        One-dimensional variables of the dtypes bool, int64, float64 and str.
    path : Path
        Replaced if it exists.
    counts : frozenset of str
        Columns that are read as floats whatever they look like: CSV writes 1000 for 1000.0.

    Raises
    ------
    InputError
        If the ending is not known or the file cannot be written.
    """
    writers: dict[str, Callable[[Path], object]] = {
        ".csv": lambda target: target.write_text(_csv(runs, counts), encoding="utf-8", newline=""),
        ".parquet": lambda target: _write_parquet(runs, target),
        ".jsonl": lambda target: target.write_text(_json_lines(runs), encoding="utf-8", newline=""),
        ".nc": lambda target: runs.to_netcdf(target, engine="h5netcdf"),
        ".zarr": lambda target: runs.to_zarr(target, mode="w", consolidated=False),
    }
    writers[".ndjson"] = writers[".jsonl"]
    if path.suffix.lower() not in writers:
        raise InputError(f"{path} has no ending that a run table can be written to ({', '.join(writers)})")
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            writers[path.suffix.lower()](folder / path.name)
            if path.is_dir():
                os.replace(path, folder / "replaced")
            os.replace(folder / path.name, path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"{path} cannot be written ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """The first line of what a library had to say."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.strip().splitlines()[0].rstrip(".")


def _from_address(name: str) -> Table:
    """A table or a store that lies elsewhere; files are fetched first."""
    import fsspec

    if not name.lower().endswith(ENDINGS):
        return _from_records(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name.rpartition("/")[2]
        try:
            files, root = fsspec.core.url_to_fs(name)
            files.get(root, str(path), recursive=files.isdir(root))
        except (OSError, ImportError, ValueError) as error:
            raise InputError(f"{name} cannot be read ({_reason(error)})") from error
        return _from_path(path, name)


def _from_path(path: Path, name: str) -> Table:
    ending = path.suffix.lower()
    if not path.exists():
        hint = "" if ending else "; a data set that goes by a name is loaded with bayes_scaling.datasets.load"
        raise InputError(f"{name} does not exist{hint}")
    if path.is_dir():
        if ending == ".zarr" or (path / "zarr.json").exists() or (path / ".zgroup").exists():
            return _from_dataset(_open(name, "a Zarr store", lambda: _load_zarr(path)), name)
        if ending != ".parquet":
            return _from_records(name)
    elif ending not in ENDINGS:
        known = ", ".join(ENDINGS)
        raise InputError(
            f"{name} has no ending that a run table can be read from ({known}, or a folder of run records)"
        )
    elif path.stat().st_size == 0:
        raise InputError(f"{name} is empty")
    match ending:
        case ".csv":
            return _from_csv(_text(path, name), name)
        case ".parquet":
            return Table(name, _open(name, "Parquet", lambda: _load_parquet(path)))
        case ".nc":
            return _from_dataset(_open(name, "NetCDF", lambda: xr.load_dataset(path, decode_timedelta=False)), name)
        case ".zarr":
            raise InputError(f"{name} is a file, where a Zarr store is a folder")
        case ".json":
            content = _json(_text(path, name), name)
            if not isinstance(content, list):
                raise InputError(f"{name} holds no list of runs, but {_kind(content)}")
            rows = [_record(row, f"{name}, item index {i}") for i, row in enumerate(content)]
            return Table(name, _columns(rows), lambda i: f"item index {i}")
        case _:
            return _from_json_lines(_text(path, name), name)


def _open[T](name: str, kind: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except Exception as error:  # each library has errors of its own for a damaged file
        raise InputError(f"{name} cannot be read as {kind} ({_reason(error)})") from error


def _text(path: Path, name: str) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{name} cannot be read ({_reason(error)})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text (byte {error.start})") from error


# --- CSV -------------------------------------------------------------------------------------------------------------

_CELL = re.compile(
    r'[ \t]*"(?P<quoted>[^"]*(?:""[^"]*)*)"[ \t]*(?P<end>,|\r\n?|\n|\Z)|(?P<plain>[^,\r\n]*)(?P<stop>,|\r\n?|\n|\Z)'
)
_NEWLINE = re.compile(r"\r\n?|\n")


def _csv_rows(text: str, name: str) -> Iterator[tuple[int, list[str], list[bool]]]:
    """Line number, cells, and whether each stood in quotes (which the standard library's reader does not tell)."""
    line = start = 1
    position = 0
    cells: list[str] = []
    quoted: list[bool] = []
    while True:
        match = _CELL.match(text, position)
        assert match is not None  # the plain alternative matches anything
        in_quotes = match["quoted"] is not None
        cell = match["quoted"].replace('""', '"') if in_quotes else match["plain"].strip()
        if not in_quotes and cell.startswith('"'):
            raise InputError(f"{name}, line {line} has a quote that is not closed or has text after it")
        cells.append(cell)
        quoted.append(in_quotes)
        line += len(_NEWLINE.findall(match.group()))
        position = match.end()
        if (match["end"] if in_quotes else match["stop"]) == ",":
            continue
        if any(cells):
            yield start, cells, quoted
        if position >= len(text):
            return
        start, cells, quoted = line, [], []


def _from_csv(text: str, name: str) -> Table:
    rows = list(_csv_rows(text, name))
    if not rows:
        raise InputError(f"{name} is empty")
    line, header, _ = rows.pop(0)
    if len(header) == 1 and (separator := next((mark for mark in ";\t" if mark in header[0]), "")):
        raise InputError(f"{name}, line {line} separates its cells by {separator!r}, where CSV needs commas")
    named = [i for i, column in enumerate(header) if column]  # one without a name is a spreadsheet's row number
    for i in named:
        if header.index(header[i]) != i:
            raise InputError(f"{name}, line {line} names the column {header[i]!r} twice")
    for line, cells, _ in rows:
        if len(cells) != len(header):
            raise InputError(f"{name}, line {line} has {len(cells)} cells where the header has {len(header)}")
    quoted = [i for i in named if rows and all(marks[i] for _, _, marks in rows)]
    return Table(
        name,
        {header[i]: [cells[i] for _, cells, _ in rows] for i in named},
        lambda i: f"line {rows[i][0]}",
        untyped=True,
        # where everything is quoted, quotes say nothing
        quoted=frozenset(header[i] for i in quoted) if len(quoted) < len(named) else frozenset(),
    )


def _csv_cells(values: np.ndarray, as_count: bool) -> list[str]:
    if values.dtype.kind == "U":
        cells = [str(value) for value in values]
        like_others = as_array([cell.strip() for cell in cells], untyped=True).dtype.kind != "U"
        special = re.compile(r'[,"\r\n]|^\s|\s$')
        return [f'"{c.replace('"', '""')}"' if like_others or special.search(c) else c for c in cells]
    if values.dtype.kind == "f":
        whole = [as_count and v.is_integer() and abs(v) < 2**53 for v in values.tolist()]
        return ["" if v != v else str(int(v)) if w else repr(v) for v, w in zip(values.tolist(), whole, strict=True)]
    return [str(value).lower() for value in values.tolist()]


def _csv(runs: xr.Dataset, counts: frozenset[str]) -> str:
    columns = [_csv_cells(variable.values, str(name) in counts) for name, variable in runs.variables.items()]
    header = _csv_cells(np.array([str(name) for name in runs.variables] + ["name"]), as_count=False)[:-1]
    return "".join(",".join(row) + "\n" for row in [header, *zip(*columns, strict=True)])


# --- JSON ------------------------------------------------------------------------------------------------------------


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", type(None): "null", bool: "a truth value"}
    return kinds.get(type(value), "a number")


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{where} is not JSON ({_reason(error)})") from error


def _record(content: Any, where: str) -> dict[str, Any]:
    """The row of a run record, or of an object that is a row itself."""
    if not isinstance(content, dict):
        raise InputError(f"{where} holds {_kind(content)}, where a run is an object")
    return row_of(content, where)


def _from_json_lines(text: str, name: str) -> Table:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    rows = [_record(_json(line, f"{name}, line {i}"), f"{name}, line {i}") for i, line in lines]
    return Table(name, _columns(rows), lambda i: f"line {lines[i][0]}")


def _from_records(name: str) -> Table:
    """The table of a store: records that cannot be read are named, and the others used."""
    records = dict(read_records(name))
    if not records:
        raise InputError(f"the folder {name} holds no run records (*.json)")
    faults = [record for record in records.values() if isinstance(record, InputError)]
    rows = {file: record for file, record in records.items() if not isinstance(record, InputError)}
    # A failed one was not trained, as when memory ran out: nothing to learn from.
    kept = {file: record for file, record in rows.items() if record.get("status") != "failed"}
    if not kept and faults:
        raise faults[0]
    if not kept:
        raise InputError(f"the folder {name} holds {len(rows)} run records, and all of them failed")
    columns = _columns([row_of({"schema": SCHEMA, **record}, file) for file, record in kept.items()])
    files = list(kept)
    return Table(name, columns, lambda i: f"record {files[i]!r}", faults=tuple(map(str, faults)))


def _columns(rows: Sequence[Mapping[Any, Any]]) -> dict[str, Values]:
    names = dict.fromkeys(str(name) for row in rows for name in row)
    plain = [{str(name): value for name, value in row.items()} for row in rows]
    return {name: [row.get(name) for row in plain] for name in names}


def _json_lines(runs: xr.Dataset) -> str:
    def token(value: Any) -> str:
        if isinstance(value, float) and not math.isfinite(value):
            # JSON has no infinity, but every reader takes a number beyond the largest double for one
            return "null" if math.isnan(value) else "1e999" if value > 0 else "-1e999"
        return json.dumps(value, ensure_ascii=False)

    keys = [token(str(name)) for name in runs.variables]
    rows = zip(*(variable.values.tolist() for variable in runs.variables.values()), strict=True)
    return "".join(
        "{" + ", ".join(f"{key}: {token(value)}" for key, value in zip(keys, row, strict=True)) + "}\n" for row in rows
    )


# --- Parquet, NetCDF, Zarr, Python objects ---------------------------------------------------------------------------


def _load_parquet(path: Path) -> dict[str, Values]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    names = [name for name in table.column_names if not re.fullmatch(r"__index_level_\d+__", name)]
    return {name: table.column(name).to_pylist() for name in names}


def _write_parquet(runs: xr.Dataset, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {str(name): variable.values for name, variable in runs.variables.items()}
    pq.write_table(pa.table({n: pa.array(v.tolist() if v.dtype.kind == "U" else v) for n, v in columns.items()}), path)


def _load_zarr(path: Path) -> xr.Dataset:
    with xr.open_zarr(path, consolidated=False, decode_timedelta=False) as store:
        return store.load()


def _from_dataset(data: xr.Dataset, name: str) -> Table:
    for variable, values in data.variables.items():
        if values.ndim > 1 or len(data.sizes) > 1:
            raise InputError(
                f"{name} has the dimensions {tuple(data.sizes)} (variable {str(variable)!r}: {values.dims}), "
                "where a run table has the dimension 'run' alone"
            )
    dim, length = next(iter(data.sizes.items()), ("run", 1 if data.variables else 0))
    variables = dict(data.variables)
    if dim != "run" and dim in variables and np.array_equal(variables[dim].values, np.arange(length)):
        del variables[dim]  # no more than a row number
    return Table(
        name,
        {str(column): np.broadcast_to(values.values, (length,)) for column, values in variables.items()},
        attrs=dict(data.attrs),
        column_attrs={str(column): dict(values.attrs) for column, values in variables.items()},
    )


def _from_frame(frame: pd.DataFrame) -> Table:
    named = [level for level in frame.index.names if level is not None]
    frame = frame.reset_index(named) if named else frame
    names = [str(column) for column in frame.columns]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"the DataFrame has the column {name!r} twice")
    columns: dict[str, Values] = {}
    for i, name in enumerate(names):
        series = frame.iloc[:, i]
        kind = getattr(series.dtype, "kind", "O")
        if isinstance(series.dtype, np.dtype) and kind != "O":
            columns[name] = series.to_numpy()
        else:
            values = series.astype(object).tolist()
            text = str(series.dtype) in {"str", "string"}  # stays text even where every value is missing
            columns[name] = ["" if is_missing(value) else value for value in values] if text else values
    return Table("the DataFrame", columns)
