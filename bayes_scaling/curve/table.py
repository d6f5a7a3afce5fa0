"""What curves are: a table with a row a point becomes one checked curve after another."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.curves import load_curves
from bayes_scaling.errors import InputError
from bayes_scaling.record_files import is_address
from bayes_scaling.tables import Table, read_table
from bayes_scaling.values import as_number, as_text

__all__ = ["LEAST_POINTS", "Curve", "points_of", "read_curves"]

LEAST_POINTS = 5

MOST_POINTS = 200
"""Longer curves are averaged in so many bins of log x, which hardly loses anything and keeps the work in bounds."""

OF_RUNS = {"run_id": "curve", "data_seen": "x", "heldout_loss": "loss"}
"""What `load_curves` calls the columns."""


@dataclass(frozen=True)
class Curve:
    """One curve, in order of x.

    Attributes
    ----------
    name : str
    log_x, log_loss : ndarray, shape (point,)
        x is in whatever unit the table has; log x rises.
    variance : ndarray, shape (point,)
        Variance of each point's noise as a share of that of a single measurement.
    """

    name: str
    log_x: np.ndarray
    log_loss: np.ndarray
    variance: np.ndarray


def points_of(source: Any, columns: Mapping[str, str] | None = None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The points of every curve of a table, in order of x.

    Parameters
    ----------
    source : path, DataFrame, Dataset or list of dicts
        As `fit` takes it.
    columns : dict of str to str, optional
        New names by the table's own.

    Returns
    -------
    dict
        x and loss by name of the curve, in the table's order.

    Raises
    ------
    InputError
        A column is missing, a value is no number above 0, or a curve has an x twice.
    """
    table = _table(source)
    named = dict(table.columns)
    for theirs, ours in (columns or {}).items():
        if theirs not in named:
            raise InputError(f"{table.name} has no column {theirs!r} to rename (found: {', '.join(named)})")
        named[ours] = named.pop(theirs)
    for theirs, ours in OF_RUNS.items():
        if ours not in named and theirs in named:
            named[ours] = named.pop(theirs)
    if missing := [name for name in ("curve", "x", "loss") if name not in named]:
        raise InputError(
            f"{table.name} has no column {missing[0]!r} (found: {', '.join(named)}); curves are rows of curve, x and "
            f"loss, and columns={{'its name': {missing[0]!r}}} or --column 'its name'={missing[0]} renames"
        )
    x, loss = (_positive(table, name, named[name]) for name in ("x", "loss"))
    there = np.isfinite(loss)  # runs have no loss at steps that others have one at
    found: dict[str, list[int]] = {}
    for row in np.flatnonzero(there).tolist():
        found.setdefault(as_text(named["curve"][row]), []).append(row)
    if not found:
        raise InputError(f"{table.name} has no points with a loss")
    return {name: _in_order(name, x[rows], loss[rows]) for name, rows in found.items()}


def read_curves(source: Any, columns: Mapping[str, str] | None = None) -> Iterator[Curve]:
    """Curves that can be fitted.

    Raises
    ------
    InputError
        As `points_of`; or a curve has fewer than five points, or does not fall.
    """
    for name, (x, loss) in points_of(source, columns).items():
        if len(x) < LEAST_POINTS:
            raise InputError(f"curve {name!r} has {len(x)} points; a fit takes {LEAST_POINTS} or more")
        log_loss = np.log(loss)
        half = len(x) // 2
        if log_loss[-half:].mean() >= log_loss[:half].mean():
            how = "is constant" if np.ptp(loss) == 0 else "does not fall"
            raise InputError(
                f"curve {name!r} {how}: its loss is {np.exp(log_loss[:half].mean()):.4g} over the first half of its "
                f"points and {np.exp(log_loss[-half:].mean()):.4g} over the last; a learning curve falls as x grows"
            )
        yield _thinned(Curve(name, np.log(x), log_loss, np.ones(len(x))))


def _table(source: Any) -> Table:
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        if Path(name).suffix == ".nc" and Path(name).is_file():
            with xr.open_dataset(name, engine="h5netcdf") as opened:
                source = opened.load()
        elif (is_address(name) or Path(name).is_dir()) and Path(name).suffix != ".zarr":
            source = load_curves(name)
    if isinstance(source, xr.Dataset) and len(source.sizes) > 1:
        source = source.reset_coords().to_dataframe().reset_index()
    return read_table(source)


def _positive(table: Table, name: str, cells: Any) -> np.ndarray:
    numbers = [as_number(cell) for cell in cells]
    for row, number in enumerate(numbers):
        absent = number is not None and np.isnan(number)
        if not (number is not None and (0 < number < np.inf or absent)):
            place = table.place(row) if table.place else f"row {row}"
            found = cells[row].item() if isinstance(cells[row], np.generic) else cells[row]
            raise InputError(f"{table.name}, {place}: {name} is {found!r}, where a number above 0 is allowed")
    return np.array(numbers, dtype=float)


def _in_order(name: str, x: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if np.isnan(x).any():
        raise InputError(f"curve {name!r} has a loss of {loss[np.isnan(x)][0]:g} without an x")
    order = np.argsort(x, kind="stable")
    x, loss = x[order], loss[order]
    if (same := np.diff(x) == 0).any():
        twice = x[:-1][same][0]
        raise InputError(f"curve {name!r} has the x {twice:g} more than once; average its losses, or drop one")
    return x, loss


def _thinned(curve: Curve) -> Curve:
    """A curve of at most `MOST_POINTS` points, means of those in equal bins of log x."""
    if len(curve.log_x) <= MOST_POINTS:
        return curve
    edges = np.linspace(curve.log_x[0], curve.log_x[-1], MOST_POINTS + 1)[1:-1]
    bins = pd.DataFrame({"log_x": curve.log_x, "log_loss": curve.log_loss, "count": 1})
    means = bins.groupby(np.searchsorted(edges, curve.log_x)).agg({"log_x": "mean", "log_loss": "mean", "count": "sum"})
    return Curve(curve.name, means["log_x"].to_numpy(), means["log_loss"].to_numpy(), 1 / means["count"].to_numpy())
