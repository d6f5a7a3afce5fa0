"""What may be done in one modality and structure, and what the posterior expects of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide.question import Question, recorded_per_unit
from bayes_scaling.discrepancy import log_discrepancy
from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation import AXES
from bayes_scaling.groups import coefficients, law_of
from bayes_scaling.laws.base import Law
from bayes_scaling.notes import Note
from bayes_scaling.structures import pattern_sparsity

__all__ = [
    "ACTIONS",
    "Case",
    "check_margin",
    "check_max_sparsity",
    "distance_notes",
    "sparsity_notes",
    "unit_notes",
    "zoom",
]

ACTIONS = 60
"""Points in log density at which the expected loss is compared before the best one is refined."""

ACCURACY = 1e-6
"""Of the best action, in nats of density."""

ALONE, TOGETHER = 8, 2
"""Steps of a finer grid to either side of the best point, of one axis and of several."""


@dataclass(frozen=True)
class Case:
    """A question to one modality and structure.

    Attributes
    ----------
    posterior : DataTree
    question : Question
        Under the cost model of the structure.
    modality, structure, strategy : str
    max_sparsity : float or None
        The largest sparsity allowed instead of the largest one trained.
    """

    posterior: xr.DataTree
    question: Question
    modality: str
    structure: str
    strategy: str = "scratch"
    max_sparsity: float | None = None

    @cached_property
    def law(self) -> Law:
        """The law of the posterior."""
        return law_of(self.posterior)

    @cached_property
    def at(self) -> dict[str, xr.DataArray]:
        """Draws of its coefficients."""
        return coefficients(self.posterior, self.modality, self.structure, self.strategy)

    @cached_property
    def trained(self) -> list[float]:
        """Sparsities trained, 0 included; those of all structures where this one had none."""
        runs = self.posterior["constant_data"].to_dataset()
        mine = runs["modality"].to_numpy() == self.modality
        sparsity = runs["sparsity"].to_numpy()
        same = mine & (runs["structure"].to_numpy() == self.structure) & (sparsity > 0)
        levels = np.unique(sparsity[same if same.any() else mine])
        # Counted zeros differ between runs in the fourth digit, so levels closer than a per cent are one.
        kept = [s for i, s in enumerate(levels) if s > 0 and (i == len(levels) - 1 or levels[i + 1] - s > 0.01)]
        return [0.0, *(float(s) for s in kept)]

    @cached_property
    def fixed(self) -> float | None:
        """The one sparsity that the structure can have, or None."""
        return pattern_sparsity(self.structure)

    @cached_property
    def largest(self) -> float:
        """The largest sparsity allowed."""
        if self.max_sparsity is not None:
            return self.max_sparsity
        return self.trained[-1] if self.fixed is None else self.fixed

    @cached_property
    def levels(self) -> list[float] | None:
        """The sparsities allowed, where the structure leaves a choice of two; None where sparsity is free."""
        return None if self.fixed is None else [s for s in (0.0, self.fixed) if s <= self.largest]

    def allowed(self, best: xr.DataArray) -> xr.DataArray:
        """Optima among the sparsities allowed, from those without limits: from scratch, loss falls until there."""
        if self.fixed is None:
            return best.clip(max=self.largest)
        return best.where(best <= self.largest, 0.0)

    def law_loss(self, sparsity: Any, question: Question | None = None) -> xr.DataArray:
        """Draws of the loss by the law alone, the budget spent."""
        asked = self.question if question is None else question
        return asked.loss(self.law, self.at, sparsity)

    def loss(self, sparsity: Any, question: Question | None = None) -> xr.DataArray:
        """Draws of the loss with what the law may miss beyond the runs, the budget spent; infinite without data."""
        asked = self.question if question is None else question
        data = asked.data_seen(sparsity)
        paid = data > 0
        if np.all(paid):
            return self.loss_of(sparsity, asked.nonzero_params, data)
        return xr.where(paid, self.loss_of(sparsity, asked.nonzero_params, xr.where(paid, data, 1.0)), np.inf)

    def loss_of(self, sparsity: Any, nonzero_params: Any, data_seen: Any) -> xr.DataArray:
        """The same for a stated amount of data."""
        by_law = self.law.loss(sparsity, nonzero_params, data_seen, self.question.pretrain_data, **self.at)
        missed = log_discrepancy(
            self.posterior,
            self.modality,
            self.structure,
            nonzero_params=nonzero_params,
            data_seen=data_seen,
            sparsity=sparsity,
            cost=self.question.cost,
        )
        return by_law * np.exp(missed)

    def least_expected_loss(self) -> float:
        """The allowed sparsity with the smallest posterior mean of the loss."""

        def expected(points: np.ndarray) -> np.ndarray:
            density = xr.DataArray(points[:, 0], dims="point")
            return self.loss(-np.expm1(-density)).mean(("chain", "draw")).to_numpy()

        if self.levels is not None:
            return min(self.levels, key=lambda s: float(self.loss(s).mean()))
        (density,), _ = zoom(expected, [np.linspace(0.0, -np.log1p(-self.largest), ACTIONS)], ACCURACY)
        return float(-np.expm1(-density))


def zoom(
    objective: Callable[[np.ndarray], np.ndarray],
    axes: list[np.ndarray],
    accuracy: float,
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """The least value of a smooth function in a box: the best point of a grid, then of ever finer grids around it.

    Parameters
    ----------
    objective : callable
        From points, shape (point, axis), to values, shape (point,); it may be infinite.
    axes : list of ndarray
        Evenly spaced levels of the first grid, each axis from one end of the box to the other.
    accuracy : float
        Spacing of the last grid along every axis.
    start : ndarray, shape (axis,), optional
        A point near the best one, around which a few points are looked at instead of the first grid.

    Returns
    -------
    point : ndarray, shape (axis,)
    value : float
    """
    lowest, highest = (np.array([axis[i] for axis in axes]) for i in (0, -1))
    step = np.array([axis[1] - axis[0] if len(axis) > 1 else 0.0 for axis in axes])

    offsets = np.arange(-ALONE, ALONE + 1) if len(axes) == 1 else np.arange(-TOGETHER, TOGETHER + 1)

    def window(center: np.ndarray) -> list[np.ndarray]:
        return [np.unique((center[a] + step[a] * offsets).clip(lowest[a], highest[a])) for a in range(len(axes))]

    best, value = lowest if start is None else start, np.inf
    levels = axes if start is None else window(start)
    while True:
        points = np.stack([level.ravel() for level in np.meshgrid(*levels, indexing="ij")], axis=1)
        values = objective(points)
        i = int(np.argmin(values))
        moved = values[i] < value
        if moved:
            best, value = points[i], float(values[i])
        if (step <= accuracy).all() or not np.isfinite(value):
            return best, value
        # At the window's rim the least value may lie outside: move on before looking closer.
        rim = np.array([best[a] in (level[0], level[-1]) for a, level in enumerate(levels)])
        if not (moved and (rim & (best > lowest) & (best < highest)).any()):
            step = step / offsets[-1]
        levels = window(best)


def sparsity_notes(case: Case, action: float, best: xr.DataArray, why_dense: str) -> list[Note]:
    """A note where the recommended sparsity lies at an end of those allowed, given the draws' own optima."""
    allowed = case.largest
    if not case.law.prunes:
        said = f"Law {case.law.name!r} says nothing of sparse models, so a dense one is all that can be recommended."
        return [Note("law_of_dense_models", "info", said)]
    if case.fixed is not None and case.fixed > allowed:
        return [
            Note(
                "pattern_not_allowed",
                "warning",
                f"The pattern's sparsity {case.fixed:.4g} is above the {allowed:g} allowed.",
            )
        ]
    if action == 0:
        return [Note("optimum_at_zero", "info", f"The expected loss is least at sparsity 0: {why_dense}.")]
    if case.fixed is None and action >= allowed - 1e-9:
        beyond = f"{float((best > allowed).mean()):.0%} of the draws have their optimum beyond it"
        where = ", where no run was trained" if allowed >= case.trained[-1] else ""
        return [
            Note(
                "optimum_at_largest_sparsity",
                "warning",
                f"The recommendation stops at sparsity {action:.4g}, the largest allowed; {beyond}{where}.",
            )
        ]
    return []


def distance_notes(distance: dict[str, float]) -> list[Note]:
    """How far the action lies beyond the runs."""
    far = [f"{np.exp(distance[axis]):.3g} times in {axis}" for axis in AXES if distance[axis] > 0]
    if not far:
        return []
    return [Note("extrapolation", "info", f"Beyond the runs: {', '.join(far)}.")]


def unit_notes(posterior: xr.DataTree, question: Question, modality: str, flops_per_unit: float | None) -> list[Note]:
    """A note where FLOPs per example were not given and have to be guessed."""
    runs = posterior["constant_data"].to_dataset()
    mine = runs["modality"].to_numpy() == modality
    if flops_per_unit is not None or not mine.any() or str(runs["data_unit"].to_numpy()[mine][0]) != "examples":
        return []
    recorded = recorded_per_unit(posterior["runs"].to_dataset(), modality) if "runs" in posterior.children else None
    theirs = f" By the train_flops of its dense runs they are {recorded:g}." if recorded is not None else ""
    return [
        Note(
            "flops_per_example",
            "warning",
            f"{modality} counts examples and flops_per_unit was not given: the budget is read as "
            f"{question.flops_per_unit:g} FLOPs per parameter and example, as if each were one token.{theirs}",
        )
    ]


def check_max_sparsity(max_sparsity: float | None) -> None:
    """Refuse a limit outside [0, 1).

    Raises
    ------
    InputError
        If it is one.
    """
    if max_sparsity is not None and not 0 <= max_sparsity < 1:
        raise InputError(f"max_sparsity is {max_sparsity}; it lies in [0, 1)")


def check_margin(margin: float) -> None:
    """Refuse a margin that is none.

    Raises
    ------
    InputError
        If it is negative or not finite.
    """
    if not (np.isfinite(margin) and margin >= 0):
        raise InputError(f"margin is {margin}; it is a difference in loss of at least 0")
