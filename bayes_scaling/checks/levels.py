"""Which values of an axis count as one level, and which runs are replicates of each other."""

import numpy as np
import xarray as xr

__all__ = ["SAME", "copies", "density", "levels", "replicate_groups"]

SAME = 0.1
"""Values within 10 % of each other are one level: what a law could learn from their difference is below the noise."""

REPEATED = 0.01
"""Runs of replicates agree to 1 %, as far as pruning by magnitude counts to the last weight."""

RECIPE = ("setting", "dataset", "pretrain_data", "unique_data", "batch_size", "learning_rate")
"""Columns besides the design's in which runs may differ that are no replicates; used where a table has them."""


def levels(logs: np.ndarray, tolerance: float = SAME) -> np.ndarray:
    """The level of each value, counted from 0 at the smallest.

    Parameters
    ----------
    logs : ndarray, shape (run,)
        Logarithms of an axis.
    tolerance : float
        Greatest difference within a level. Levels start at their smallest value, so that a dense row of values makes
        many levels and not one long one.

    Returns
    -------
    ndarray of int, shape (run,)
    """
    found = np.zeros(len(logs), dtype=int)
    level, start = -1, -np.inf
    for i in np.argsort(logs, kind="stable"):
        if logs[i] - start > tolerance:
            level, start = level + 1, logs[i]
        found[i] = level
    return found


def density(runs: xr.Dataset) -> np.ndarray:
    """-log(1 - S): the axis along which laws of sparsity are straight; 0 for dense runs."""
    return -np.log1p(-runs["sparsity"].to_numpy().astype(float))


def replicate_groups(runs: xr.Dataset) -> list[np.ndarray]:
    """Runs that share everything a law knows of, and the recipe as far as the table tells it.

    Parameters
    ----------
    runs : Dataset
        Finished runs of one modality.

    Returns
    -------
    list of ndarray of int
        Row numbers of each group of two or more; copies of a run are left out.
    """
    axes = [np.log(runs[name].to_numpy()) for name in ("nonzero_params", "data_seen")] + [density(runs)]
    repeated = set(copies(runs).tolist())
    groups = _alike(runs, [levels(axis, REPEATED).tolist() for axis in axes])
    kept = ([row for row in rows if row not in repeated] for rows in groups)
    return [np.array(rows) for rows in kept if len(rows) > 1]


def copies(runs: xr.Dataset) -> np.ndarray:
    """Row numbers of runs that have the design, the recipe and the loss of an earlier run to the last digit."""
    columns = [runs[name].to_numpy().tolist() for name in ("nonzero_params", "data_seen", "sparsity", "loss")]
    return np.array(sorted(row for rows in _alike(runs, columns) for row in rows[1:]), dtype=int)


def _alike(runs: xr.Dataset, columns: list[list[float]]) -> list[list[int]]:
    """Runs that agree in some columns and in structure, strategy and recipe."""
    keys = ["structure", "strategy", *(name for name in RECIPE if name in runs)]
    texts = [runs[name].to_numpy().astype(str).tolist() for name in keys]
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, key in enumerate(zip(*columns, *texts, strict=True)):
        groups.setdefault(key, []).append(i)
    return list(groups.values())
