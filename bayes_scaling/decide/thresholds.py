"""The budgets at which answers change: from which a sparsity is optimal, and at which a dense model is."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.decide.actions import unit_notes
from bayes_scaling.decide.inverse import invert, log_dense_data, solvable
from bayes_scaling.decide.optimum import cost_of, optimum_of
from bayes_scaling.decide.question import Question
from bayes_scaling.errors import InputError
from bayes_scaling.groups import coefficients, law_of, names_of, unseen_notes
from bayes_scaling.laws.base import Law
from bayes_scaling.notes import write_notes
from bayes_scaling.structures import check_structure, pattern_sparsity

__all__ = ["budget_for", "dense_optimal_flops"]

NATS = (-100.0, 200.0)
"""Logs of data between which budgets are searched."""

HALVINGS = 48
"""Which leaves 1e-12 of them."""

TINY = 1e-20
"""Of the complex step, as in `misfit`."""


def budget_for(
    posterior: xr.DataTree,
    nonzero_params: Any,
    sparsity: Any,
    modality: str | Sequence[str] | None = None,
    structure: str | Sequence[str] | None = None,
    *,
    cost: str | costs.Cost = "gradual",
    flops_per_unit: float | None = None,
    relative: bool = False,
) -> xr.DataArray:
    """The smallest training budget from which a sparsity, or a larger one, is optimal; training is from scratch.

    Under the law of Frantar et al. (arXiv:2309.08520) budgets at which one sparsity is optimal are parallel to the
    dense compute-optimal ones, C ~ N^(1 + b_N / b_D), so as multiples of those they do not depend on the size. As a
    multiple the answer is also surer than in FLOPs, wherever the runs leave the optimal amount of data open.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    nonzero_params : float, sequence or DataArray
        Non-zero parameters at the end of training. A sequence becomes the dimension ``nonzero_params``; DataArrays
        broadcast by name.
    sparsity : float or sequence of float
        Fraction of zeros, in [0, 1); a sequence becomes the dimension ``sparsity``. 0 asks from which budget on any
        sparsity pays. An n:m pattern has one: up to that, the answer is the budget from which the pattern beats dense,
        beyond it infinite.
    modality, structure : str or sequence of str, optional
        Which; all that the posterior has unless said. One name drops the dimension.
    cost : str or Cost
        How sparsity changes the cost of training; see `decide.costs`.
    flops_per_unit : float, optional
        FLOPs per non-zero parameter and token or example; 6 unless said.
    relative : bool
        Whether to return multiples of each draw's own dense compute-optimal budget (`dense_optimal_flops`).

    Returns
    -------
    DataArray
        FLOPs, or multiples, over (``chain``, ``draw``, …). 0 where the sparsity is optimal at every budget, infinite
        where it is at none. The attribute ``notes`` says which pairs are answered from the population, and where
        the FLOPs of an example had to be guessed.

    Raises
    ------
    InputError
        If a modality is not in the posterior, a sparsity lies outside [0, 1), a size is not positive, or the cost is
        not known.
    """
    how = cost_of(posterior, cost)
    question = Question.of(nonzero_params, 1.0, how, flops_per_unit)
    levels = np.asarray(sparsity, dtype=float)
    if levels.ndim > 1 or not ((levels >= 0) & (levels < 1)).all():
        raise InputError(f"sparsity is {sparsity}; it is one number in [0, 1), or a sequence of them")
    law = law_of(posterior)
    names = [check_structure(name) for name in names_of(posterior, "structure", structure)]
    each = []
    for name in names:
        at = coefficients(posterior, modality, name, "scratch")
        here = _budgets(law, at, question, name, np.atleast_1d(levels).tolist())
        if relative:
            dense = _dense_optimal(law, at, question)
            here = [budget / dense for budget in here]
        each.append(xr.concat(here, xr.Variable("sparsity", levels)) if levels.ndim else here[0])
    found = each[0] if isinstance(structure, str) else xr.concat(each, dim=xr.Variable("structure", names))
    found = found.transpose("chain", "draw", "modality", "structure", ..., missing_dims="ignore")
    over = "over the dense compute-optimal one " if relative else ""
    found.attrs = {
        "units": "1" if relative else "FLOPs",
        "long_name": f"budget {over}from which the sparsity is optimal",
        "cost": how.name,
    }
    modalities = names_of(posterior, "modality", modality)
    units = [] if relative else [n for m in modalities for n in unit_notes(posterior, question, m, flops_per_unit)]
    write_notes(found.attrs, [*unseen_notes(posterior, [(m, s) for m in modalities for s in names]), *units])
    return found.rename("budget")


def dense_optimal_flops(
    posterior: xr.DataTree,
    nonzero_params: Any,
    modality: str | Sequence[str] | None = None,
    *,
    flops_per_unit: float | None = None,
) -> xr.DataArray:
    """The training budget at which a dense model of this size is compute-optimal, from scratch.

    At that budget neither a larger model on less data nor a smaller one on more would have a lower loss (Hoffmann et
    al., arXiv:2203.15556, approach 3; for the law of Frantar et al., b_N (a_S + c_S) N^-b_N = b_D (a_D / D)^b_D).

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    nonzero_params : float, sequence or DataArray
        Parameters. A sequence becomes the dimension ``nonzero_params``; DataArrays broadcast by name.
    modality : str or sequence of str, optional
        Which; all that the posterior has unless said. One name drops the dimension.
    flops_per_unit : float, optional
        FLOPs per parameter and token or example; 6 unless said.

    Returns
    -------
    DataArray
        FLOPs over (``chain``, ``draw``, …).

    Raises
    ------
    InputError
        If a modality is not in the posterior, or a size is not positive.
    """
    question = Question.of(nonzero_params, 1.0, "dense", flops_per_unit)
    # At sparsity 0 every structure gives the same loss.
    at = coefficients(posterior, modality, "dense", "scratch")
    found = _dense_optimal(law_of(posterior), at, question)
    found = found.transpose("chain", "draw", "modality", ..., missing_dims="ignore")
    found.attrs = {"units": "FLOPs", "long_name": "dense compute-optimal budget"}
    return found.rename("dense_optimal_flops")


def _budgets(
    law: Law, at: dict[str, xr.DataArray], question: Question, structure: str, levels: list[float]
) -> list[xr.DataArray]:
    """The budget of each level for one structure."""
    question = replace(question, cost=question.cost.for_structure(structure))
    size, per_unit = question.nonzero_params, question.flops_per_unit
    if pattern_sparsity(structure) is None and solvable(law, question) and invert(law, at, question) is not None:
        t = -np.log1p(-np.array(levels))
        return [per_unit * size * np.exp(log_dense_data(law, at, question.cost, size, point)) for point in t]

    def optimal(level: float, at: dict[str, xr.DataArray], size: xr.DataArray, data: xr.DataArray) -> xr.DataArray:
        asked = replace(question, nonzero_params=size, train_flops=per_unit * size * data)
        best = optimum_of(law, at, asked, structure)
        return (best > 0) & (best >= level - 1e-12)

    return [per_unit * size * _least_data(partial(optimal, level), at, size) for level in levels]


def _dense_optimal(law: Law, at: dict[str, xr.DataArray], question: Question) -> xr.DataArray:
    def too_small(at: dict[str, xr.DataArray], size: xr.DataArray, data: xr.DataArray) -> xr.DataArray:
        """Whether the loss falls as parameters take the place of data."""
        return law.loss(0.0, size * (1 + 1j * TINY), data * (1 - 1j * TINY), 0.0, **at).imag < 0

    return question.flops_per_unit * question.nonzero_params * _least_data(too_small, at, question.nonzero_params)


def _least_data(
    holds: Callable[[dict[str, xr.DataArray], xr.DataArray, xr.DataArray], xr.DataArray],
    at: dict[str, xr.DataArray],
    size: xr.DataArray,
) -> xr.DataArray:
    """The least data of a dense model from which something holds, draw by draw; 0 or infinite beyond the search."""
    broadcast = xr.broadcast(size, *at.values())
    template = broadcast[0].drop_attrs()
    # In one dimension without labels, which saves most of the time.
    size, *values = (xr.DataArray(v.transpose(*template.dims).to_numpy().ravel(), dims="draw") for v in broadcast)
    flat = dict(zip(at, values, strict=True))

    def check(log_data: np.ndarray) -> np.ndarray:
        return holds(flat, size, xr.DataArray(np.exp(log_data), dims="draw")).to_numpy()

    low, high = (np.full(template.size, end) for end in NATS)
    always, never = check(low), ~check(high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        yes = check(middle)
        low, high = np.where(yes, low, middle), np.where(yes, middle, high)
    least = np.select([always, never], [0.0, np.inf], np.exp(high))
    return template.copy(data=least.reshape(template.shape))
