"""Optimal sparsity at a fixed number of non-zero parameters and a fixed training budget."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.decide.question import Question
from bayes_scaling.errors import InputError
from bayes_scaling.groups import coefficients, law_of, names_of, unseen_notes
from bayes_scaling.laws.base import Law
from bayes_scaling.notes import write_notes
from bayes_scaling.structures import check_structure, pattern_sparsity

__all__ = ["check_start", "optimal_sparsity", "optimum_of"]

STEEPEST = 14.0
"""Search up to a density of e^-14, one weight in a million; nearer to 1, rounding of 1 - S hides the slope."""

GRID = 0.25
"""Spacing of the points in log density between which the optimum is refined."""

STEP = 1e-5
"""Half the step of the central difference in log density: rounding and truncation errors are both about 1e-11."""


def optimal_sparsity(
    posterior: xr.DataTree,
    nonzero_params: Any,
    train_flops: Any,
    modality: str | Sequence[str] | None = None,
    structure: str | Sequence[str] | None = None,
    strategy: str = "scratch",
    *,
    cost: str | costs.Cost = "gradual",
    flops_per_unit: float | None = None,
    pretrain_data: float = 0.0,
) -> xr.DataArray:
    """The sparsity that minimises each draw's own law, at fixed non-zero parameters and training compute.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    nonzero_params : float, sequence or DataArray
        Non-zero parameters at the end of training. A sequence becomes the dimension ``nonzero_params``; DataArrays
        broadcast by name.
    train_flops : float, sequence or DataArray
        Training budget in FLOPs, likewise.
    modality, structure : str or sequence of str, optional
        Which; all that the posterior has unless said. One name drops the dimension.
    strategy : str
        ``scratch`` or ``pretrained``.
    cost : str or Cost
        How sparsity changes the cost of training; see `decide.costs`.
    flops_per_unit : float, optional
        FLOPs per non-zero parameter and token or example; 6 unless said.
    pretrain_data : float
        For ``pretrained``: tokens or examples of the dense phase.

    Returns
    -------
    DataArray
        Sparsity in [0, 1) over (``chain``, ``draw``, …). An n:m pattern has the choices 0 and 1 - n/m only. Nothing
        keeps an optimum inside the sparsities that were trained. The attribute ``notes`` says which pairs are
        answered from the population.

    Raises
    ------
    InputError
        If a modality or strategy is not in the posterior, a size or budget is not positive, or the cost is not known.
    """
    question = Question.of(nonzero_params, train_flops, cost, flops_per_unit, check_start(strategy, pretrain_data))
    law = law_of(posterior)
    names = [check_structure(name) for name in names_of(posterior, "structure", structure)]
    each = [optimum_of(law, coefficients(posterior, modality, n, strategy), question, n) for n in names]
    best = each[0] if isinstance(structure, str) else xr.concat(each, dim=xr.Variable("structure", names))
    best = best.transpose("chain", "draw", "modality", "structure", ..., missing_dims="ignore")
    best.attrs = {"units": "1", "long_name": "optimal sparsity", "cost": question.cost.name}
    pairs = [(m, s) for m in names_of(posterior, "modality", modality) for s in names]
    write_notes(best.attrs, unseen_notes(posterior, pairs))
    return best.rename("optimal_sparsity")


def check_start(strategy: str, pretrain_data: float) -> float:
    """The data of the dense phase, checked against the strategy.

    Raises
    ------
    InputError
        If a pretrained start does not say its data, or another one does.
    """
    if strategy == "pretrained" and not pretrain_data > 0:
        raise InputError(
            f"pretrain_data is {pretrain_data}; with strategy 'pretrained' it is the data of the dense phase, above 0"
        )
    if strategy != "pretrained" and pretrain_data:
        raise InputError(f"pretrain_data is {pretrain_data}; it goes with strategy 'pretrained', not {strategy!r}")
    return pretrain_data


def optimum_of(law: Law, at: dict[str, xr.DataArray], question: Question, structure: str) -> xr.DataArray:
    """The optimum of each draw for one structure."""
    fixed = pattern_sparsity(structure)
    if fixed is not None:
        return xr.where(question.loss(law, at, fixed) < question.loss(law, at, 0.0), fixed, 0.0)
    return _continuous(law, at, question)


def _continuous(law: Law, at: dict[str, xr.DataArray], question: Question) -> xr.DataArray:
    """The best point of a grid in t = -log(1 - S), refined to the root of the slope beside it.

    From scratch there is one minimum. A pretrained start has learnt something from no data at all, so there the loss
    may turn again towards full sparsity, and the grid finds the lower of two minima.
    """
    from scipy.optimize import elementwise

    names = list(at)
    size, budget, *values = xr.broadcast(question.nonzero_params, question.train_flops, *at.values())
    template = values[0]
    arrays = [v.transpose(*template.dims).to_numpy().ravel() for v in (size, budget, *values)]

    def loss(t: np.ndarray, size: np.ndarray, budget: np.ndarray, *values: np.ndarray) -> np.ndarray:
        here = Question(size, budget, question.cost, question.flops_per_unit, question.pretrain_data)
        return here.loss(law, dict(zip(names, values, strict=True)), -np.expm1(-t))

    def slope(t: np.ndarray, *args: np.ndarray) -> np.ndarray:
        return loss(t + STEP, *args) - loss(t - STEP, *args)

    t, least = np.zeros(template.size), loss(np.zeros(1), *arrays)
    for point in np.arange(GRID, STEEPEST, GRID):
        here = loss(np.full(1, point), *arrays)
        t, least = np.where(here < least, point, t), np.fmin(here, least)
    left, right = np.maximum(t - GRID, 0.0), t + GRID
    inside = slope(left, *arrays) < 0  # otherwise loss rises from sparsity 0 on
    if inside.any():
        found = elementwise.find_root(slope, (left[inside], right[inside]), args=tuple(a[inside] for a in arrays))
        t[inside] = np.where(found.status == 0, found.x, t[inside])  # at the end of the grid there is no root
    return template.copy(data=-np.expm1(-t).reshape(template.shape))
