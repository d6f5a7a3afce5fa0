"""The table of effects: runs with figures of their matrices' spectra, and the knobs that the runs differ in."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.notes import Note, read_notes, write_notes
from bayes_scaling.record_files import is_address, read_records, row_of
from bayes_scaling.runs import diverged, load_runs

__all__ = ["DATA", "FIGURES", "KNOBS", "knobs_of", "levels_of", "load", "table"]

FIGURES = {
    "frobenius_norm": np.log,
    "stable_rank": np.log,
    "tail_exponent": np.log,
    "weighted_exponent": None,
    "entropy": None,
}
"""Figures that are looked at, and whether as logarithms. The spectral norm follows from the first two."""

DATA = "data"
"""What the diversity of data is called as a knob: distinct data."""
DISTINCT = ("available_data", "unique_data")
KNOBS = ("weight_decay", "dropout", "input_noise", "sparsity")
"""Columns that runs may differ in, beside how many distinct data they have."""

DIGITS = 7
"""Of figures in a table; weights have as many."""

_CELL = re.compile(r"(\w+)\[(.+)\]")


def table(store: Any) -> xr.Dataset:
    """A run table with the figures of every matrix of the blocks after training, as columns ``figure[matrix]``.

    Parameters
    ----------
    store : path
        A folder of run records, or its address.

    Returns
    -------
    Dataset
        As `bayes_scaling.load_runs` returns it, so that `bayes_scaling.save_runs` writes it.

    Raises
    ------
    InputError
        If a record cannot be read, or none has a landscape.
    """
    rows = []
    for name, record in read_records(str(store)):
        if isinstance(record, InputError):
            raise record
        if record.get("status") == "failed":
            continue
        after = (record.get("landscape") or {}).get("after", {})
        cells = {
            f"{figure}[{matrix}]": _rounded(each[figure])
            for matrix, each in after.items()
            for figure in FIGURES
            if matrix.startswith("blocks.")
        }
        rows.append(row_of(record, name) | cells)
    if not any(_CELL.fullmatch(name) for row in rows for name in row):
        raise InputError(f"{store} has no run record with a landscape; runs with landscape = true leave one")
    return load_runs(rows)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def load(source: Any, columns: Mapping[str, str] | None = None) -> xr.Dataset:
    """Read a table of runs with spectral figures, and check every row.

    Parameters
    ----------
    source : path, DataFrame, Dataset or list of dict
        A folder of run records with landscapes, or a table as `bayes_scaling.load_runs` reads it with columns
        ``figure[matrix]``, as `table` makes them. Runs differ in some of ``weight_decay``, ``dropout``,
        ``input_noise``, ``sparsity`` and distinct data (``available_data``, or else ``unique_data``).
    columns : dict of str to str, optional
        Their names to ours.

    Returns
    -------
    Dataset
        ``value`` over ``run``, ``matrix`` and ``figure``, logarithms where `FIGURES` says so; a variable for each knob
        that runs differ in, ``data`` among them; ``seed``. ``scale`` over ``figure`` is the standard deviation over
        runs of the mean over matrices, in which effects are measured.

    Raises
    ------
    InputError
        If there are no figures, a figure is missing or out of range, or runs differ in no knob.
    """
    if isinstance(source, xr.Dataset) and "scale" in source:
        return source
    stored = isinstance(source, str | Path) and (is_address(str(source)) or Path(source).is_dir())
    stored = stored and not str(source).lower().endswith((".zarr", ".parquet"))
    runs = load_runs(table(source) if stored else source, columns)
    name, notes = runs.attrs["source"], read_notes(runs.attrs)
    lost = diverged(runs).to_numpy()
    if lost.any():
        message = f"Left out: {int(lost.sum())} diverged runs, which have no spectra at the end."
        notes.append(Note("runs_without_spectra", "info", message, numbers={"runs": int(lost.sum())}))
        runs = runs.isel(run=np.flatnonzero(~lost))
    values = _figures(runs, name)
    found: dict[str, Any] = {"value": values}
    distinct = next((column for column in DISTINCT if column in runs), None)
    for knob, column in (*((each, each) for each in KNOBS), (DATA, distinct)):
        if column in runs:
            given = runs[column].to_numpy().astype(float)
            if not np.isfinite(given).all():
                raise InputError(f"{name}, column {column!r}: a cell is empty, where every run has a value")
            if len(np.unique(given)) > 1:
                found[knob] = ("run", given)
    knobs = [str(each) for each in found if each != "value"]
    if not knobs:
        raise InputError(f"{name}: runs differ in none of {', '.join((*KNOBS, *DISTINCT))}")
    if len(values["run"]) < 2 * len(knobs) + 2:
        raise InputError(
            f"{name} has {len(values['run'])} runs, where {2 * len(knobs) + 2} are needed for {len(knobs)} knobs"
        )
    found["seed"] = ("run", runs["seed"].to_numpy() if "seed" in runs else np.zeros(runs.sizes["run"], dtype=int))
    spread = values.mean("matrix").std("run", ddof=1)
    if not (spread > 0).all():
        still = spread["figure"].to_numpy()[~(spread > 0).to_numpy()][0]
        raise InputError(f"{name}: the figure {str(still)!r} is the same in every run")
    made = xr.Dataset(found | {"scale": spread}, {"run_id": runs["run_id"]})
    write_notes(made.attrs, notes)
    return made


def _figures(runs: xr.Dataset, name: str) -> xr.DataArray:
    """Figures over run, matrix and figure, on the scales that they are looked at."""
    cells = [match.groups() for column in runs.data_vars if (match := _CELL.fullmatch(str(column)))]
    figures = [figure for figure in FIGURES if any(figure == each for each, _ in cells)]
    matrices = list(dict.fromkeys(matrix for figure, matrix in cells if figure in FIGURES))
    if not figures:
        raise InputError(
            f"{name} has no column 'figure[matrix]' for any figure of {', '.join(FIGURES)}; bs.effects.table makes "
            "them from a store"
        )
    values = np.empty((runs.sizes["run"], len(matrices), len(figures)))
    for j, matrix in enumerate(matrices):
        for i, figure in enumerate(figures):
            column = f"{figure}[{matrix}]"
            if column not in runs:
                raise InputError(f"{name} has no column {column!r}, where every matrix has every figure")
            given = runs[column].to_numpy().astype(float)
            change = FIGURES[figure]
            bad = ~np.isfinite(given) | ((given <= 0) if change else False)
            if bad.any():
                run = runs["run_id"].to_numpy()[bad][0]
                least = "above 0" if change else "finite"
                raise InputError(f"{name}, run {str(run)!r}, column {column!r}: found {given[bad][0]}; it is {least}")
            values[:, j, i] = change(given) if change else given
    coords = {"matrix": matrices, "figure": figures}
    return xr.DataArray(values, coords, ("run", "matrix", "figure"))


def knobs_of(runs: xr.Dataset) -> list[str]:
    """The knobs that runs differ in."""
    return [knob for knob in (*KNOBS, DATA) if knob in runs]


def levels_of(runs: xr.Dataset, knob: str) -> tuple[np.ndarray, np.ndarray]:
    """A knob's values in rising order, and which of them each run has."""
    values, which = np.unique(runs[knob].to_numpy(), return_inverse=True)
    return values, which
