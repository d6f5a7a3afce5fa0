"""The search for what reaches a loss: over budgets, sizes and densities, with all draws where it counts."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide.actions import Case, zoom
from bayes_scaling.discrepancy import log_discrepancy

__all__ = ["ACCURACY", "FLOPS", "SIZE", "Goal", "least"]

COARSE = 500
"""Draws that the first grid is looked at with; all of them decide what is answered."""

FLOPS, SIZE = 0, 1
"""Axes of points, of which the last one is density."""

BELOW, ABOVE = 1e-3, 1e3
"""Range of data looked at, as multiples of the least and the most trained on."""

SPACING = 1.0
"""Nats between the budgets of the first grid."""

DENSITIES = 9
"""Densities of the first grid."""

ACCURACY = 0.01
"""Of sizes and densities, in nats. The loss is flat around its least value."""

ROOT = 1e-4
"""Of what is least: FLOPs or size, in nats."""

CHUNK = 500_000
"""Losses that are worked out at once."""


@dataclass(frozen=True)
class Goal:
    """A loss to reach, over points of log FLOPs, log size and density, where density is -log(1 - S)."""

    case: Case
    loss: float
    probability: float
    sizes: np.ndarray
    """Logs of sizes of the first grid."""

    @cached_property
    def data(self) -> tuple[float, float]:
        """Range of data looked at."""
        runs = self.case.posterior["constant_data"].to_dataset()
        seen = runs["data_seen"].to_numpy()[runs["modality"].to_numpy() == self.case.modality]
        return BELOW * float(seen.min()), ABOVE * float(seen.max())

    @cached_property
    def densities(self) -> list[np.ndarray]:
        """Densities to choose from: one range of them, or each level by itself."""
        case = self.case
        if case.levels is not None:
            return [np.array([-np.log1p(-s)]) for s in case.levels]
        return [np.linspace(0.0, -np.log1p(-case.largest), DENSITIES if case.largest > 0 else 1)]

    def axes(self, density: np.ndarray, most: float = np.inf) -> list[np.ndarray]:
        """Levels of the first grid, up to a budget."""
        ends = zip(self.data, self.sizes[[0, -1]], density[[0, -1]], strict=True)
        low, high = (np.log(self._flops(np.exp(size), -np.expm1(-t), data)) for data, size, t in ends)
        high = min(float(high), np.log(most))
        return [np.linspace(low, high, 2 + int(max(high - low, 0.0) / SPACING)), self.sizes, density]

    def _flops(self, size: Any, sparsity: Any, data: Any) -> Any:
        """What data cost, that of serving included."""
        question = replace(self.case.question, nonzero_params=size)
        training = question.flops_per_unit * size * data * question.cost.multiplier(sparsity)
        return training + question.spent(sparsity)

    def designs(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sparsities, sizes and data of points, shape (point, 3)."""
        (flops, size), sparsity = np.exp(points[:, :2].T), -np.expm1(-points[:, 2])
        question = replace(self.case.question, nonzero_params=size, train_flops=flops)
        return sparsity, size, question.data_seen(sparsity)

    @cached_property
    def _coefficients(self) -> dict[str, np.ndarray]:
        """Draws in a column, without the labels that cost most of the time for a few points."""
        values = xr.broadcast(*self.case.at.values())
        arrays = (v.transpose("chain", "draw").to_numpy().reshape(-1, 1) for v in values)
        return dict(zip(self.case.at, arrays, strict=True))

    def losses(self, points: np.ndarray) -> np.ndarray:
        """Draws of the loss, shape (draw, point)."""
        design = self.designs(points)
        case, (sparsity, size, data) = self.case, (xr.DataArray(values, dims="point") for values in design)
        where = {"nonzero_params": size, "data_seen": data, "sparsity": sparsity}
        missed = log_discrepancy(case.posterior, case.modality, case.structure, **where, cost=case.question.cost)
        if isinstance(missed, xr.DataArray):
            missed = missed.transpose("chain", "draw", "point").to_numpy().reshape(-1, len(points))
        return case.law.loss(*design, 0.0, **self._coefficients) * np.exp(missed)

    def excess(self, points: np.ndarray) -> np.ndarray:
        """How far the loss that is surely reached lies above the one asked for; infinite outside the range of data."""
        found = np.full(len(points), np.inf)
        data, (low, high) = self.designs(points)[2], self.data
        inside = np.flatnonzero((data > low * (1 - 1e-9)) & (data < high * (1 + 1e-9)))
        draws = next(iter(self._coefficients.values())).size
        rank = int(np.ceil(self.probability * draws - 1e-9)) - 1
        for some in np.array_split(inside, 1 + inside.size * draws // CHUNK) if inside.size else []:
            found[some] = np.partition(self.losses(points[some]), rank, axis=0)[rank] - self.loss
        return found

    def thinned(self) -> "Goal":
        """The same with some of the draws, evenly spread."""
        tree = self.case.posterior
        draws = tree["posterior"].sizes
        step = -(-draws["chain"] * draws["draw"] // COARSE)
        groups = {name: node.to_dataset() for name, node in tree.children.items()}
        some = {name: g.isel(draw=slice(None, None, step)) if "draw" in g.dims else g for name, g in groups.items()}
        fewer = xr.DataTree.from_dict(some)
        fewer.attrs = tree.attrs
        return replace(self, case=replace(self.case, posterior=fewer))


def least(goal: Goal, axis: int, densities: list[np.ndarray], most: float = np.inf) -> np.ndarray | None:
    """The point that reaches the loss with the least FLOPs or size, within a budget; None where none does."""
    found = [_least_along(goal, axis, goal.axes(density, most)) for density in densities]
    return min((point for point in found if point is not None), key=lambda point: float(point[axis]), default=None)


def _least_along(goal: Goal, axis: int, axes: list[np.ndarray]) -> np.ndarray | None:
    from scipy.optimize import brentq

    best = _first(goal, axis, axes)
    if best is None:
        return None
    reached = {float(best[axis]): best}

    def excess(level: float) -> float:
        """The least excess at one level of the axis, over the two others."""
        held = [np.array([level]) if i == axis else each for i, each in enumerate(axes)]
        nearest = reached[min(reached, key=lambda known: abs(known - level))]
        point, value = zoom(goal.excess, held, ACCURACY, start=np.where(np.arange(3) == axis, level, nearest))
        if value <= 0:
            reached[level] = point
        return min(value, goal.loss)

    low, step = float(axes[axis][0]), float(axes[axis][1] - axes[axis][0])
    while (enough := min(reached)) > low:
        short = max(enough - step, low)
        if excess(short) > 0:
            if excess(enough) < 0:
                brentq(excess, short, enough, xtol=ROOT)
            break
    return reached[min(reached)]


def _first(goal: Goal, axis: int, axes: list[np.ndarray]) -> np.ndarray | None:
    """A point that reaches the loss, at the first level of an axis that has one in the first grid."""
    points = np.stack([level.ravel() for level in np.meshgrid(*axes, indexing="ij")], axis=1)
    values = goal.thinned().excess(points)
    few = points[values <= 0]
    for level in np.unique(few[:, axis]):
        some = few[few[:, axis] == level]
        exact = goal.excess(some)
        if (exact <= 0).any():
            return some[exact.argmin()]
    # Where the loss is hardly reached, it may be so between the points of the grid only.
    if not np.isfinite(values).any():
        return None
    point, value = zoom(goal.excess, axes, ACCURACY, start=points[values.argmin()])
    return point if value <= 0 else None
