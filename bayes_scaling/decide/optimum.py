"""Optimal sparsity at a fixed number of non-zero parameters and a fixed training budget."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.decide.budget import budget_notes, check_budget
from bayes_scaling.decide.inverse import invert, solvable
from bayes_scaling.decide.question import Question
from bayes_scaling.decide.search import END, search
from bayes_scaling.errors import InputError
from bayes_scaling.groups import coefficients, law_of, names_of, unseen_notes
from bayes_scaling.laws.base import Law
from bayes_scaling.notes import Note, write_notes
from bayes_scaling.structures import check_structure, pattern_sparsity

__all__ = ["LARGEST", "check_start", "cost_of", "optima", "optimal_sparsity", "optimum_notes", "optimum_of"]

LARGEST = -np.expm1(-END)
"""Sparsity at the end of the search."""

CHUNK = 500_000
"""Optima that are worked out at once, so that memory is what the answer takes and a few tens of megabytes."""


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
    serve_tokens: float = 0.0,
) -> xr.DataArray:
    """The sparsity that minimises each draw's own law, at fixed non-zero parameters and compute.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    nonzero_params : float, sequence or DataArray
        Non-zero parameters at the end of training. A sequence becomes the dimension ``nonzero_params``; DataArrays
        broadcast by name.
    train_flops : float, sequence or DataArray
        Budget in FLOPs, likewise: of training, and of serving where ``serve_tokens`` says so.
    modality, structure : str or sequence of str, optional
        Which; all that the posterior has unless said. One name drops the dimension.
    strategy : str
        ``scratch`` or ``pretrained``.
    cost : str or Cost
        How sparsity changes the cost of training; see `decide.costs`. ``measured`` is measured on the posterior's runs.
    flops_per_unit : float, optional
        FLOPs per non-zero parameter and token or example; 6 unless said.
    pretrain_data : float
        For ``pretrained``: tokens or examples of the dense phase.
    serve_tokens : float
        Tokens or examples served over the model's life, each at a third of ``flops_per_unit``, on the same budget.

    Returns
    -------
    DataArray
        Sparsity in [0, 1) over (``chain``, ``draw``, …). An n:m pattern has the choices 0 and 1 - n/m only. Nothing
        keeps an optimum inside the sparsities that were trained. The attributes ``share_at_zero`` and
        ``share_at_end`` say how many of the optima lie at 0 and at the end of the search (one weight in a million
        left), ``share_several_minima`` how many are the lower of two minima; ``notes`` say which pairs are answered
        from the population, and what limits the answer.

    Raises
    ------
    InputError
        If a modality or strategy is not in the posterior, a size or budget is not positive, a budget pays for less
        than one token or example, or the cost is not known.
    """
    start = check_start(strategy, pretrain_data)
    how = cost_of(posterior, cost)
    question = Question.of(nonzero_params, train_flops, how, flops_per_unit, start, serve_tokens)
    check_budget(question)
    law = law_of(posterior)
    names = [check_structure(name) for name in names_of(posterior, "structure", structure)]
    found = [optima(law, coefficients(posterior, modality, n, strategy), question, n) for n in names]
    best, several = (
        each[0] if isinstance(structure, str) else xr.concat(each, dim=xr.Variable("structure", names))
        for each in zip(*found, strict=True)
    )
    best = best.transpose("chain", "draw", "modality", "structure", ..., missing_dims="ignore")
    best.attrs = {
        "units": "1",
        "long_name": "optimal sparsity",
        "cost": how.name,
        "share_at_zero": float((best == 0).mean()),
        "share_at_end": float((best >= LARGEST).mean()),
        "share_several_minima": float(several.mean()),
    }
    modalities = names_of(posterior, "modality", modality)
    pairs = [(m, s) for m in modalities for s in names]
    notes = unseen_notes(posterior, pairs)
    for m in modalities:
        notes += budget_notes(posterior, question, m)
    for m, s in pairs:
        notes += optimum_notes(_at(best, m, s), _at(several, m, s), m, s)
    write_notes(best.attrs, notes)
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


def cost_of(posterior: xr.DataTree, cost: str | costs.Cost) -> costs.Cost:
    """The cost model of that name, measured on the posterior's runs where it is one that is measured.

    Raises
    ------
    InputError
        If it is not known, its kind of sparsity is not the law's, or the law has no term that a budget could act on.
    """
    law = law_of(posterior)
    if law.held:
        raise InputError(
            f"law {law.name!r} is no function of {law.held[0]}, so it cannot say what a budget is best spent on; "
            "predict and dense_equivalent answer under it"
        )
    found = costs.get(cost, posterior["runs"].to_dataset() if "runs" in posterior.children else None)
    if law.costs and found.name in costs.names() and found.name not in law.costs:
        raise InputError(
            f"cost {found.name!r} is of another kind of sparsity than that of law {law.name!r}; "
            f"{' or '.join(law.costs)} suits it, and a cost model of your own"
        )
    return found


def optimum_notes(best: xr.DataArray, several: xr.DataArray, modality: str, structure: str) -> list[Note]:
    """What the search met in one modality and structure."""
    at_end, more = float((best >= LARGEST).mean()), float(several.mean())
    about = {"modality": modality, "structure": structure}
    notes = []
    if at_end > 0:
        notes.append(
            Note(
                "optimum_unbounded",
                "warning",
                f"{at_end:.2%} of the draws of {modality}, {structure} have no optimum below sparsity {LARGEST:.6f}, "
                "where the search ends: under this cost they always want more sparsity.",
                about,
                {"share": at_end},
            )
        )
    if more > 0:
        notes.append(
            Note(
                "several_minima",
                "info",
                f"In {more:.2%} of the draws of {modality}, {structure} the loss has more than one minimum over "
                "sparsity; the optimum is the lowest.",
                about,
                {"share": more},
            )
        )
    return notes


def optimum_of(law: Law, at: dict[str, xr.DataArray], question: Question, structure: str) -> xr.DataArray:
    """The optimum of each draw for one structure."""
    return optima(law, at, question, structure)[0]


def optima(
    law: Law, at: dict[str, xr.DataArray], question: Question, structure: str
) -> tuple[xr.DataArray, xr.DataArray]:
    """The optimum of each draw for one structure, and whether it is one of several local minima."""
    question = replace(question, cost=question.cost.for_structure(structure))
    if not law.prunes:
        best = 0.0 * question.loss(law, at, 0.0)
        return best, xr.zeros_like(best, dtype=bool)
    fixed = pattern_sparsity(structure)
    if fixed is not None:
        best = xr.where(question.loss(law, at, fixed) < question.loss(law, at, 0.0), fixed, 0.0)
        return best, xr.zeros_like(best, dtype=bool)
    explicit = solvable(law, question)
    found = [_continuous(law, *part, explicit) for part in _parts(at, question)]
    best, several = (each[0] if len(each) == 1 else xr.concat(each, "draw") for each in zip(*found, strict=True))
    return best, several


def _continuous(
    law: Law, at: dict[str, xr.DataArray], question: Question, explicit: bool
) -> tuple[xr.DataArray, xr.DataArray]:
    t = invert(law, at, question) if explicit else None
    if t is None:
        t, several = search(law, at, question)
    else:
        several = xr.zeros_like(t, dtype=bool)
    return t.copy(data=-np.expm1(-t.to_numpy())), several


def _at(values: xr.DataArray, modality: str, structure: str) -> xr.DataArray:
    """The part for one modality and structure; a name that was asked for alone is no dimension."""
    return values.sel({d: n for d, n in (("modality", modality), ("structure", structure)) if d in values.dims})


def _parts(at: dict[str, xr.DataArray], question: Question) -> list[tuple[dict[str, xr.DataArray], Question]]:
    """Coefficients and question in slices of draws."""
    everything = (*at.values(), question.nonzero_params, question.train_flops)
    sizes = {dim: size for values in everything for dim, size in values.sizes.items()}
    draws = sizes.pop("draw", 1)
    step = max(1, int(CHUNK / np.prod(list(sizes.values()))))

    def part(values: xr.DataArray, first: int) -> xr.DataArray:
        return values.isel(draw=slice(first, first + step)) if "draw" in values.dims else values

    return [
        (
            {name: part(values, first) for name, values in at.items()},
            replace(
                question,
                nonzero_params=part(question.nonzero_params, first),
                train_flops=part(question.train_flops, first),
            ),
        )
        for first in range(0, draws, step)
    ]
