"""What sparse training cost in runs that were done."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide.costs.base import Cost
from bayes_scaling.errors import InputError

__all__ = ["Measured"]

FEWEST = 2
"""Runs of either kind without which nothing tells how far the ratio scatters."""

SAME = 0.01
"""Counted zeros differ between runs in the fourth digit: sparsities closer than this are one."""


@dataclass(frozen=True)
class Measured(Cost):
    """Ratio of sparse to dense cost per non-zero parameter and unit of data, interpolated over sparsity.

    log(ratio) over -log(1 - S) is interpolated by monotone cubic pieces from 1 at sparsity 0, and continued beyond the
    sparsest level by the line that it ends on. The ratio may fall below 1.

    Parameters
    ----------
    sparsity : tuple of float
        Levels measured, rising, each in (0, 1).
    ratio : tuple of float
        Cost at each level over that of a dense model of the same non-zero size.
    scatter : float
        Standard deviation of log(ratio) between runs around their level's mean; NaN where it is not known. It enters
        no answer: a scatter of some tens of per cent says that the column measures other things too.

    References
    ----------
    Fritsch and Butland, "A method for constructing local monotone piecewise cubic interpolants", SIAM J. Sci. Stat.
    Comput. 5, 1984, for the interpolation.

    Raises
    ------
    InputError
        If there are no levels, or they or their ratios are out of range.
    """

    name = "measured"
    reference = "the runs it was made from"

    sparsity: tuple[float, ...]
    ratio: tuple[float, ...]
    scatter: float = field(default=float("nan"), compare=False)

    def __post_init__(self) -> None:
        levels, ratios = np.asarray(self.sparsity, float), np.asarray(self.ratio, float)
        if levels.size == 0 or levels.shape != ratios.shape:
            raise InputError(
                f"a measured cost has {levels.size} sparsities and {ratios.size} ratios; it needs as many, at least one"
            )
        if not ((levels > 0) & (levels < 1)).all() or not (np.diff(levels) > 0).all():
            raise InputError(f"sparsity is {self.sparsity}; the levels of a measured cost rise and lie between 0 and 1")
        if not (np.isfinite(ratios) & (ratios > 0)).all():
            raise InputError(f"ratio is {self.ratio}; the ratios of a measured cost are above 0")

    @classmethod
    def of(cls, runs: xr.Dataset | None = None) -> "Measured":
        """From ``train_flops`` of the runs at hand, all modalities and structures together."""
        if runs is None:
            raise InputError("cost 'measured' needs runs; make it by costs.Measured.from_runs(runs)")
        return cls.from_runs(runs)

    @classmethod
    def from_runs(
        cls,
        runs: xr.Dataset,
        column: str = "train_flops",
        modality: str | None = None,
        structure: str | None = None,
    ) -> "Measured":
        """Measure it.

        Each sparse run is held against the dense runs of its modality that are nearest to it in size, since a cost in
        seconds per parameter and token changes with size. Levels are geometric means.

        Parameters
        ----------
        runs : Dataset
            From `load_runs`; runs without the column are left out.
        column : str
            ``train_flops``, ``wall_seconds`` or another cost of a run; seconds compare where machines were alike.
        modality, structure : str, optional
            Runs to look at; all of them unless said.

        Returns
        -------
        Measured

        Raises
        ------
        InputError
            If the column is not there, or has fewer than two dense or two sparse runs.
        """
        if column not in runs:
            raise InputError(f"the runs have no column {column!r}, which cost 'measured' is measured on")
        sparsity, size, data, cost = (
            np.asarray(runs[name].to_numpy(), float) for name in ("sparsity", "nonzero_params", "data_seen", column)
        )
        group, kind = (runs[name].to_numpy().astype(str) for name in ("modality", "structure"))
        per_unit = np.log(np.where(cost > 0, cost, np.nan)) - np.log(size * data)
        known = np.isfinite(per_unit) & ((group == modality) | (modality is None))
        dense = known & (sparsity == 0)
        sparse = known & (sparsity > 0) & ((kind == structure) | (structure is None))
        _enough(dense, f"dense runs{_of(modality)}", column)
        sparse &= np.isin(group, group[dense])
        _enough(sparse, f"sparse runs{_of(modality)}{_of(structure)} beside dense ones", column)
        ratio = np.empty(0)
        for i in np.flatnonzero(sparse):
            away = np.where(dense & (group == group[i]), np.abs(np.log(size / size[i])), np.inf)
            ratio = np.append(ratio, per_unit[i] - per_unit[away <= away.min() + SAME].mean())
        return cls(*_levels(sparsity[sparse], ratio))

    @cached_property
    def _curve(self) -> tuple[Any, np.ndarray, np.ndarray]:
        """Interpolant of log(ratio) over -log(1 - S), and its ends with their slopes."""
        from scipy.interpolate import PchipInterpolator

        knots = np.concatenate([[0.0], -np.log1p(-np.array(self.sparsity))])
        curve = PchipInterpolator(knots, np.concatenate([[0.0], np.log(self.ratio)]))
        ends = knots[[0, -1]]
        return curve, ends, curve(ends, 1)

    def multiplier(self, sparsity: Any) -> Any:
        """Training cost over that of a dense model of the same non-zero size."""
        if isinstance(sparsity, xr.DataArray):
            return sparsity.copy(data=self.multiplier(sparsity.to_numpy()))
        curve, ends, slopes = self._curve
        t = -np.log1p(-np.asarray(sparsity, float))
        inside = np.clip(t, *ends)
        beyond = t - inside
        return np.exp(curve(inside) + beyond * np.where(beyond < 0, slopes[0], slopes[1]))


def _of(name: str | None) -> str:
    return f" of {name}" if name else ""


def _enough(found: np.ndarray, what: str, column: str) -> None:
    if found.sum() < FEWEST:
        raise InputError(f"cost 'measured' needs {FEWEST} {what} that have {column}; the runs have {found.sum()}")


def _levels(sparsity: np.ndarray, log_ratio: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    """Sparsity and ratio of each level, and how far the log ratio scatters around its level."""
    order = np.argsort(sparsity)
    density, log_ratio = np.log1p(-sparsity[order]), log_ratio[order]
    level = np.cumsum(np.diff(sparsity[order], prepend=sparsity[order][0]) > SAME)
    count = np.bincount(level)
    mean, where = (np.bincount(level, values) / count for values in (log_ratio, density))
    free = log_ratio.size - count.size
    scatter = np.sqrt(((log_ratio - mean[level]) ** 2).sum() / free) if free else np.nan
    return tuple((-np.expm1(where)).tolist()), tuple(np.exp(mean).tolist()), float(scatter)
