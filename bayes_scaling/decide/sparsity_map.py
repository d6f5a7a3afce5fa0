"""Optimal sparsity over sizes and budgets, as a map."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.decide.optimum import cost_of, optimal_sparsity
from bayes_scaling.decide.question import Question
from bayes_scaling.decide.thresholds import dense_optimal_flops
from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation import signed
from bayes_scaling.groups import coefficients, names_of
from bayes_scaling.intervals import PROB, check_prob
from bayes_scaling.notes import read_notes, write_notes

__all__ = ["map_dict", "optimal_map"]

SIZES, BUDGETS = 33, 41
"""Grid of the default map."""

BELOW, ABOVE = 0.5, 10.0
"""Range of its sizes, as multiples of the smallest and the largest one trained."""

FURTHER = 100.0
"""End of its budgets, as a multiple of the largest one trained; they begin with the smallest."""


def optimal_map(
    posterior: xr.DataTree,
    nonzero_params: Sequence[float] | np.ndarray | None = None,
    train_flops: Sequence[float] | np.ndarray | None = None,
    modality: str | None = None,
    structure: str | None = None,
    *,
    cost: str | costs.Cost = "gradual",
    flops_per_unit: float | None = None,
    serve_tokens: float = 0.0,
    prob: float = PROB,
) -> xr.Dataset:
    """The posterior of optimal sparsity over a grid of sizes and training budgets, from scratch.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    nonzero_params : sequence of float, optional
        Sizes; unless said, from half the smallest one trained to ten times the largest.
    train_flops : sequence of float, optional
        Budgets in FLOPs; unless said, from the smallest one trained to a hundred times the largest, as the cost model
        counts.
    modality, structure : str, optional
        Which; the posterior's only one unless said.
    cost : str or Cost
        How sparsity changes the cost of training; see `decide.costs`. ``measured`` is measured on the posterior's runs.
    flops_per_unit : float, optional
        FLOPs per non-zero parameter and token or example; 6 unless said.
    serve_tokens : float
        Tokens or examples served over the model's life, each at a third of ``flops_per_unit``, on the same budget.
    prob : float
        Probability of the interval.

    Returns
    -------
    Dataset
        Over (``nonzero_params``, ``train_flops``): ``median``, ``lower`` and ``upper`` of optimal sparsity;
        ``probability_zero``, the share of draws that are best left dense; ``beyond``, how far the question lies beyond
        the runs at the median, in nats, on the axis where it does so most, and below 0 inside. NaN where the budget
        does not buy one token or example. Over ``nonzero_params``: ``dense_optimal_flops``, the median of the budget
        at which a dense model of that size is compute-optimal, with ``dense_optimal_lower`` and
        ``dense_optimal_upper``. The attributes hold the question, ``prob`` and ``notes``.

    Raises
    ------
    InputError
        If the posterior has several modalities or structures and none is named, a size or budget is not positive or
        not in rising order, or another argument is out of range.
    """
    tail = (1 - check_prob(prob)) / 2
    modality, structure = (_only(posterior, *named) for named in (("modality", modality), ("structure", structure)))
    coefficients(posterior, modality, structure, "scratch")  # refuses what the posterior does not have
    how = cost_of(posterior, cost).for_structure(structure)
    question = Question.of(1.0, 1.0, how, flops_per_unit, serve_tokens=serve_tokens)
    sizes, budgets = _grid(posterior, modality, question, nonzero_params, train_flops)
    question = replace(question, nonzero_params=sizes, train_flops=budgets)
    data = question.data_seen(0.0)
    paid = data >= 1
    # Where there is nothing to ask, any budget will do.
    asked = xr.where(paid, budgets, question.spent(0.0) + 2 * question.flops_per_unit * sizes)
    best = optimal_sparsity(
        posterior,
        sizes,
        asked,
        modality,
        structure,
        cost=cost,
        flops_per_unit=flops_per_unit,
        serve_tokens=serve_tokens,
    )
    dims = ("nonzero_params", "train_flops")
    lower, median, upper = best.quantile([tail, 0.5, 1 - tail], ("chain", "draw")).drop_vars("quantile")
    dense = dense_optimal_flops(posterior, sizes, modality, flops_per_unit=flops_per_unit)
    dense_lower, dense_median, dense_upper = dense.quantile([tail, 0.5, 1 - tail], ("chain", "draw")).drop_vars(
        "quantile"
    )
    seen = xr.where(paid, question.data_seen(median), 1.0)
    nats = signed(posterior, modality, structure, nonzero_params=sizes, data_seen=seen, sparsity=median, cost=how)
    over_grid = {
        "median": median,
        "lower": lower,
        "upper": upper,
        "probability_zero": (best == 0).mean(("chain", "draw")),
        "beyond": nats.max(("axis", "side")),
    }
    found = xr.Dataset({name: values.where(paid).transpose(*dims) for name, values in over_grid.items()}).assign(
        dense_optimal_flops=dense_median, dense_optimal_lower=dense_lower, dense_optimal_upper=dense_upper
    )
    for name in found:
        of = "FLOPs" if str(name).startswith("dense") else "nats" if name == "beyond" else "1"
        found[name].attrs = {"units": of}
    found["nonzero_params"].attrs = {"units": "parameters", "long_name": "non-zero parameters"}
    found["train_flops"].attrs = {"units": "FLOPs", "long_name": "training budget"}
    found.attrs = {
        "modality": modality,
        "structure": structure,
        "cost": how.name,
        "flops_per_unit": question.flops_per_unit,
        "serve_tokens": serve_tokens,
        "prob": prob,
    }
    # The far corners of a map are no mistakes; a map that is all corner is one.
    said = read_notes(best.attrs)
    write_notes(found.attrs, (n for n in said if n.code != "absurd_data" or n.numbers["share"] == 1))
    return found


def map_dict(found: xr.Dataset) -> dict[str, Any]:
    """A map as plain JSON: the question, the axes, and rows of sizes with a column per budget."""
    axes = {str(name): values.to_numpy().tolist() for name, values in found.coords.items()}
    cells = {str(name): values.to_numpy().tolist() for name, values in found.data_vars.items()}
    return {**found.attrs, **axes, **cells, "notes": json.loads(found.attrs["notes"])}


def _only(posterior: xr.DataTree, dim: str, asked: str | None) -> str:
    """The name asked for, or the only one there is."""
    names = names_of(posterior, dim, asked)
    if len(names) != 1:
        raise InputError(f"a map is of one {dim}, and the posterior has {', '.join(names)}; name one")
    return names[0]


def _grid(
    posterior: xr.DataTree, modality: str, question: Question, nonzero_params: Any, train_flops: Any
) -> tuple[xr.DataArray, xr.DataArray]:
    """Sizes and budgets, those asked for or around those trained."""
    runs = posterior["constant_data"].to_dataset()
    mine = runs["modality"].to_numpy() == modality
    size, data, sparsity = (runs[name].to_numpy()[mine] for name in ("nonzero_params", "data_seen", "sparsity"))
    if nonzero_params is None:
        nonzero_params = np.geomspace(BELOW * size.min(), ABOVE * size.max(), SIZES)
    if train_flops is None:
        trained = replace(question, nonzero_params=size)
        flops = question.flops_per_unit * size * data * question.cost.multiplier(sparsity) + trained.spent(sparsity)
        train_flops = np.geomspace(flops.min(), FURTHER * flops.max(), BUDGETS)
    asked = Question.of(_rising("nonzero_params", nonzero_params), _rising("train_flops", train_flops))
    return asked.nonzero_params, asked.train_flops


def _rising(name: str, values: Any) -> np.ndarray:
    levels = np.asarray(values, dtype=float)
    if levels.ndim != 1 or levels.size < 2 or not (np.diff(levels) > 0).all():
        raise InputError(f"{name} is {values}; a map takes at least two, in rising order")
    return levels
