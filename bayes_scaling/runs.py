"""What a run is: the columns of the run table, their units, and the checks that every table passes.

In memory a run table is an `xarray.Dataset` with the dimension ``run`` and one variable per column of `COLUMNS` and per
column that the source has besides. ``run_id`` is a coordinate along ``run``, so that whatever is computed from a column
says which run it belongs to; ``run`` itself has no labels, so that two tables are never aligned by row number.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_scaling.columns import BY_NAME, COLUMNS, CONVERSIONS, Check, Column, listed
from bayes_scaling.errors import InputError
from bayes_scaling.notes import Note, read_notes, write_notes
from bayes_scaling.tables import Table, read_table, write_table
from bayes_scaling.values import as_array

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "CONVERSIONS", "Column", "InputError", "diverged", "grid", "load_runs", "renamed", "save_runs"]


_SET_ANEW = {"diverged_runs", "mixed_param_kind"}  # notes on a table's state, which may change after they were written


def load_runs(
    source: "str | os.PathLike[str] | pd.DataFrame | xr.Dataset | Iterable[Mapping[str, Any]]",
    columns: Mapping[str, str] | None = None,
    *,
    need_loss: bool = True,
    allow_zero_data: bool = False,
) -> xr.Dataset:
    """Read a table of training runs and check every row of it.

    Parameters
    ----------
    source : path, DataFrame, Dataset or iterable of dict
        A file (``.csv``, ``.parquet``, ``.jsonl`` or ``.ndjson``, ``.json`` with a list of objects, ``.nc``), a
        ``.zarr`` store, a folder with a JSON run record per run, a pandas DataFrame (named index levels are columns), a
        Dataset with one dimension (scalars hold for every run; this function's own result is checked anew), or dicts,
        one a run.
    columns : dict of str to str, optional
        Their names to ours: ``columns={"N": "nonzero_params"}``.
    need_loss : bool
        Whether a table without ``loss`` is refused. A table to predict, whose runs nobody has trained, needs none.
    allow_zero_data : bool
        Whether ``data_seen`` may be 0, as for a pretrained model before fine-tuning.

    Returns
    -------
    Dataset
        Dimension ``run``, coordinate ``run_id``, a variable per column with the attributes ``units`` and ``long_name``.
        Numbers are float64 (columns of `COLUMNS`; ``seed`` is int64 where none is missing), text is str. Other columns
        are carried along as bool, int64, float64 or str: a missing value makes a column of integers or booleans float64
        with NaN and is the empty string in text, times become text, nested values JSON, a ``/`` in a name ``_``. A
        column ``run`` is read as ``run_id`` where there is none and is left out otherwise. The attribute ``source``
        says where the table came from, and the notes (`bayes_scaling.notes.read_notes`) what was done to it.

    Raises
    ------
    InputError
        One sentence with the file, the row (the line number in CSV and JSON lines, the record's file in a folder, else
        the run_id or the row index from 0), the column, what was found and what is allowed.

    Notes
    -----
    Without a column ``loss``, the one of ``bits_per_byte``, ``bits_per_token`` (times ln 2) and ``perplexity``
    (logarithm) that is there becomes the loss in nats, per byte or per token; the column stays, and a note says so.
    ``loss_se`` is in the unit of ``loss`` always and is not converted.

    A loss that is missing, NaN or infinite marks a diverged run (see `diverged`): it stays, and a note counts them.

    A run with sparsity 0 is ``dense`` whatever structure its source gives it (sweeps often file the dense baseline
    under the structure it is compared with); a note says that it was relabelled.

    Examples
    --------
    >>> run = {"N": 1e6, "data_seen": 1e9, "loss": 3.2}
    >>> runs = load_runs([run | {"sparsity": 0}, run | {"sparsity": 0.75}], columns={"N": "nonzero_params"})
    >>> runs["structure"].values.tolist()
    ['dense', 'unstructured']
    """
    table = read_table(source)
    table = renamed(table, columns or {})
    count = len(next(iter(table.columns.values()), ()))
    if not count:
        raise InputError(f"{table.name} has {'a header but ' if table.untyped else ''}no runs")
    notes = [*_earlier_notes(table.attrs), *(Note("unreadable_record", "warning", f"{each}.") for each in table.faults)]
    found = dict(table.columns)
    if "loss" not in found and (conversion := _conversion(table)):
        notes.append(Note("loss_converted", "info", f"loss is {CONVERSIONS[conversion].formula}, in nats."))
    else:
        conversion = ""
    needed = [column.name for column in COLUMNS if column.needed and (column.name != "loss" or need_loss)]
    if missing := [name for name in needed if name not in found and not (name == "loss" and conversion)]:
        first = missing[0]
        theirs = next(iter(get_close_matches(first, [name for name in found if name not in BY_NAME], 1)), "")
        there = f"if {theirs!r} is {first!r}" if theirs else "if it is there under another name"
        raise InputError(
            f"{table.name} has no column {listed(missing)} (found: {', '.join(found)}); {there}, "
            f"say columns={{{theirs or 'its name'!r}: {first!r}}}, or --column {theirs or "'its name'"}={first}"
        )
    check = Check(table, count)
    values: dict[str, np.ndarray] = {"run_id": check.run_id()}
    for column in COLUMNS[1:]:
        if column.name in found:
            values[column.name] = check.column(column, allow_zero_data and column.name == "data_seen")
        elif column.default:
            values[column.name] = np.full(count, column.default)
    if conversion:
        values["loss"] = check.convert(conversion)
    values["structure"], relabelled = check.structure(values)
    if relabelled:
        names = listed(sorted({str(found["structure"][i]) for i in relabelled}))
        message = f"{_runs(len(relabelled))} with sparsity 0 and structure {names} became 'dense'."
        notes.append(Note("relabelled_dense", "info", message))
    check.one_data_unit(values)
    for name, raw in found.items():
        if name not in values:
            values[name] = as_array(raw, untyped=table.untyped and name not in table.quoted)

    runs = xr.Dataset(attrs=table.attrs)
    for name in [*(c.name for c in COLUMNS if c.name in values), *(name for name in values if name not in BY_NAME)]:
        data = values[name]
        if data.dtype.kind == "U":
            data = data.astype(object).astype(str)  # no wider than its longest value
        runs[name] = ("run", data, _attrs(name, values, table, conversion))
    runs = runs.set_coords("run_id")
    if not isinstance(source, xr.Dataset) or "source" not in runs.attrs:
        runs.attrs["source"] = table.name.removeprefix("the ")
    write_notes(runs.attrs, [*notes, *_state_notes(runs, need_loss)])
    return runs


def diverged(runs: xr.Dataset) -> xr.DataArray:
    """Which runs came to nothing: their loss is missing, NaN or infinite, or their ``status`` is ``diverged``.

    Parameters
    ----------
    runs : Dataset
        As `load_runs` returns it.

    Returns
    -------
    DataArray of bool, dims (run,)
        All False where the table has no ``loss``. ``runs.isel(run=~bs.runs.diverged(runs).values)`` leaves them out.
    """
    bad = np.zeros(runs.sizes["run"], dtype=bool)
    if "loss" in runs:
        bad |= ~np.isfinite(runs["loss"].values)
        if "status" in runs:
            bad |= runs["status"].values == "diverged"
    return xr.DataArray(bad, {"run_id": runs["run_id"]}, ("run",), name="diverged")


def save_runs(runs: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write a run table; `load_runs` reads it back with the same values and dtypes, floats to the last digit.

    Parameters
    ----------
    runs : Dataset
        As `load_runs` returns it; checked once more.
    path : path
        The ending says the format: ``.csv``, ``.parquet``, ``.jsonl`` (``.ndjson``), ``.nc`` or ``.zarr``. An existing
        table is replaced, and stays as it was if writing fails. NetCDF and Zarr keep the attributes as well.

    Returns
    -------
    Path
        Where the table lies.

    Raises
    ------
    InputError
        If the ending is not known, the table is not valid or the file cannot be written.
    """
    path = Path(path)
    counts = frozenset(column.name for column in COLUMNS if column.kind == "count")
    write_table(load_runs(runs, need_loss=False, allow_zero_data=True), path, counts)
    return path


def grid(runs: xr.Dataset, by: Sequence[str] | None = None) -> xr.Dataset:
    """Lay a sweep out as a labelled cube: one axis per factor of the design, NaN where there is no run.

    Dense runs belong to every structure of their modality, as they do in the law, and appear under each; ``dense`` is a
    label of its own only where a modality has no other structure. Values are taken as equal only where they are so to
    the last digit.

    Parameters
    ----------
    runs : Dataset
        As `load_runs` returns it.
    by : sequence of str, optional
        The columns that become dimensions; by default ``modality``, ``structure``, ``strategy`` (where there is more
        than one), ``nonzero_params``, ``data_seen``, ``sparsity``.

    Returns
    -------
    Dataset
        Dimensions as in `by`, each with its sorted values as coordinate, and last a dimension ``replicate`` where
        several runs share a cell. Every other column is a variable: numbers and booleans as float64 with NaN, text
        with the empty string where there is no run.

    Raises
    ------
    InputError
        If a column does not exist, or if the cube would have more than 10 million cells.
    """
    if not by:
        several = "strategy" in runs and np.unique(runs["strategy"].values).size > 1
        by = ["modality", "structure", *["strategy"] * several, "nonzero_params", "data_seen", "sparsity"]
    if unknown := [name for name in by if name not in runs.variables]:
        raise InputError(
            f"the run table has no column {listed(unknown)} (found: {', '.join(map(str, runs.variables))})"
        )
    rows, structure = _rows_by_structure(runs) if "structure" in by else (np.arange(runs.sizes["run"]), None)
    labels, codes = {}, []
    for name in by:
        values = structure if name == "structure" and structure is not None else runs[name].values[rows]
        labels[name], code = np.unique(values, return_inverse=True)
        codes.append(code)
    shape = tuple(label.size for label in labels.values())
    if math.prod(shape) > 10_000_000:
        raise InputError(
            f"a grid by {listed(by)} has {math.prod(shape):,} cells, too many for {_runs(runs.sizes['run'])}"
        )
    cells = np.ravel_multi_index(tuple(codes), shape)
    replicate = np.zeros(cells.size, dtype=int)
    seen: dict[int, int] = {}
    for i, cell in enumerate(cells.tolist()):
        replicate[i] = seen[cell] = seen.get(cell, -1) + 1
    depth = int(replicate.max(initial=0)) + 1
    cube: dict[str, Any] = {}
    for key, variable in runs.variables.items():
        if key not in by:
            empty, dtype = ("", variable.dtype) if variable.dtype.kind == "U" else (np.nan, np.dtype(float))
            filled = np.full((math.prod(shape), depth), empty, dtype=dtype)
            filled[cells, replicate] = variable.values[rows]
            if depth > 1:
                cube[str(key)] = ((*by, "replicate"), filled.reshape(*shape, depth), variable.attrs)
            else:
                cube[str(key)] = (tuple(by), filled.reshape(shape), variable.attrs)
    coords = {name: (name, label, runs[name].attrs) for name, label in labels.items()}
    return xr.Dataset(cube, coords, {key: value for key, value in runs.attrs.items() if key != "notes"})


def _rows_by_structure(runs: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers and structures, the dense runs repeated for each structure of their modality."""
    structure, modality = runs["structure"].values, runs["modality"].values
    rows, names = [], []
    for i in range(structure.size):
        others = np.unique(structure[(modality == modality[i]) & (structure != "dense")])
        for name in others if structure[i] == "dense" and others.size else structure[[i]]:
            rows.append(i)
            names.append(name)
    return np.array(rows), np.array(names)


def renamed(table: Table, columns: Mapping[str, str]) -> Table:
    """Their names to ours; ``run`` to ``run_id``; no slash, which NetCDF takes for a folder."""
    found = list(table.columns)
    if unknown := [name for name in columns if name not in table.columns]:
        raise InputError(f"{table.name} has no column {listed(unknown)} to rename (found: {', '.join(found)})")
    if "run" in found and "run" not in columns:
        taken = "run_id" in found or "run_id" in columns.values()
        columns = {**columns, "run": "" if taken else "run_id"}
    names: dict[str, str] = {}
    for name in found:
        ours = columns.get(name, name).replace("/", "_")
        if ours in names.values():
            other = next(theirs for theirs, taken in names.items() if taken == ours)
            raise InputError(
                f"{table.name} has both {other!r} and {name!r} for the column {ours!r}, where one is allowed"
            )
        if ours:
            names[name] = ours
    return Table(
        table.name,
        {ours: table.columns[name] for name, ours in names.items()},
        table.place,
        table.untyped,
        frozenset(names[name] for name in table.quoted if name in names),
        table.attrs,
        {ours: table.column_attrs.get(name, {}) for name, ours in names.items()},
        {ours: name for name, ours in names.items()},
        table.faults,
    )


def _conversion(table: Table) -> str:
    there = [name for name in CONVERSIONS if name in table.columns]
    if len(there) > 1:
        raise InputError(
            f"{table.name} has no column 'loss' but {listed(there)}, of which only one can be converted to the loss; "
            f"give the others another name with columns={{{there[1]!r}: 'other_{there[1]}'}}"
        )
    return there[0] if there else ""


def _attrs(name: str, values: Mapping[str, np.ndarray], table: Table, conversion: str) -> dict[Any, Any]:
    attrs = {}
    if column := BY_NAME.get(name):
        units = column.units
        if name in {"data_seen", "pretrain_data", "unique_data"} and len(unit := np.unique(values["data_unit"])) == 1:
            units = str(unit[0])
        if name == "loss" and conversion:
            units = CONVERSIONS[conversion].units
        attrs = {"long_name": column.long_name, **({"units": units} if units else {})}
    return {**attrs, **table.column_attrs.get(name, {})}


def _earlier_notes(attrs: Mapping[Any, Any]) -> list[Note]:
    try:
        return [note for note in read_notes(attrs) if note.code not in _SET_ANEW]
    except (TypeError, ValueError, AttributeError):  # the attribute is someone else's
        return []


def _state_notes(runs: xr.Dataset, need_loss: bool) -> list[Note]:
    notes = []
    bad = int(diverged(runs).sum()) if need_loss else 0
    if bad:
        message = f"{bad} of {_runs(runs.sizes['run'])} diverged (no finite loss) and will be set aside by a fit."
        notes.append(Note("diverged_runs", "warning", message))
    for group in np.unique(runs["modality"].values):
        kinds = np.unique(runs["param_kind"].values[runs["modality"].values == group])
        if kinds.size > 1:
            message = f"nonzero_params of the modality {str(group)!r} counts different things: {', '.join(kinds)}."
            notes.append(Note("mixed_param_kind", "warning", message))
    return notes


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"
