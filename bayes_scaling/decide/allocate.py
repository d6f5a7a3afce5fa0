"""At fixed compute alone: how many non-zero parameters, how sparse, and how much data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.decide.actions import (
    Case,
    check_margin,
    check_max_sparsity,
    distance_notes,
    sparsity_notes,
    unit_notes,
    zoom,
)
from bayes_scaling.decide.budget import budget_notes, check_budget
from bayes_scaling.decide.optimum import cost_of, optima, optimum_notes
from bayes_scaling.decide.question import Question
from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation import extrapolation
from bayes_scaling.groups import names_of, unseen_notes
from bayes_scaling.intervals import PROB, check_prob, interval
from bayes_scaling.notes import Note, read_notes
from bayes_scaling.structures import check_structure
from bayes_scaling.viewed import Viewed

__all__ = ["Allocation", "Allocations", "allocate", "check_sizes", "log_sizes"]

BELOW, ABOVE = 0.1, 1e3
"""Range of sizes searched, as multiples of the smallest and the largest one trained."""

SPACING = 0.5
"""Nats between the sizes of the first grid. Over sizes, loss has one minimum for each sparsity."""

FINER = 17
"""Sizes of each further grid, from one step of the grid before below its best size to one above."""

ACCURACY = 1e-4
"""Of the recommended size and density, in nats."""

DENSITIES = 13
"""Densities of the first grid of actions."""


@dataclass(frozen=True)
class Allocation:
    """The allocation of a training budget for one modality and structure.

    Attributes
    ----------
    recommended : dict
        The action: ``nonzero_params`` and ``sparsity``, and what follows from them, ``data_seen`` and ``total_params``.
    optimal : dict of dict
        Posterior of the draws' own optima, by the law alone: ``nonzero_params``, ``sparsity`` (with
        ``probability_zero``), ``data_seen`` and ``loss``, each with ``median``, ``lower`` and ``upper``.
    loss : dict
        Expected loss of the action.
    dense : dict
        The best dense allocation: ``nonzero_params``, ``data_seen`` and ``loss``.
    gain : dict
        Its loss minus the action's, on paired draws.
    margin, probability_beats_dense : float
        A gain in units of loss, and the share of draws in which the action's is larger; 0 where the action is dense.
    expected_regret : float
        Mean over draws of the action's loss minus that of the draw's own optimum, both by the law alone.
    sizes : list of float
        The smallest and the largest number of non-zero parameters searched.
    extrapolation : dict
        Nats beyond the runs at the action.
    draws : Dataset
        The draws' own optima over (``chain``, ``draw``).
    """

    modality: str
    structure: str
    train_flops: float
    recommended: dict[str, float]
    optimal: dict[str, dict[str, float]]
    loss: dict[str, float]
    dense: dict[str, Any]
    gain: dict[str, float]
    margin: float
    probability_beats_dense: float
    expected_regret: float
    sizes: list[float]
    extrapolation: dict[str, float]
    draws: xr.Dataset = field(repr=False, compare=False)
    notes: list[Note] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The allocation as plain JSON, without draws."""
        kept = {name: value for name, value in vars(self).items() if name != "draws"}
        return kept | {"notes": [note.to_dict() for note in self.notes]}


@dataclass(frozen=True, repr=False)
class Allocations(Viewed):
    """Allocations, one for each modality and structure asked for; prints as a table.

    Attributes
    ----------
    prob : float
        Probability of every interval.
    answers : list of Allocation
    """

    prob: float
    answers: list[Allocation]

    def to_dict(self) -> dict[str, Any]:
        """All of them as plain JSON."""
        return {"prob": self.prob, "answers": [answer.to_dict() for answer in self.answers]}

    def _view(self) -> Any:
        from bayes_scaling.decide.planning_view import allocation_view

        return allocation_view(self)


def allocate(
    posterior: xr.DataTree,
    train_flops: float,
    modality: str | Sequence[str] | None = None,
    structure: str | Sequence[str] | None = None,
    *,
    cost: str | costs.Cost = "gradual",
    flops_per_unit: float | None = None,
    serve_tokens: float = 0.0,
    max_sparsity: float | None = None,
    sizes: Sequence[float] | None = None,
    margin: float = 0.0,
    prob: float = PROB,
) -> Allocations:
    """Split a training budget between parameters, zeros and data, from scratch.

    A model of sparsity S equals a dense one of e(S) times its non-zero parameters on the same data
    (`dense_equivalent`), and costs m(S) times as much to train as a dense one of its own size. So under the law of
    Frantar et al. (arXiv:2309.08520) or its coupled form, and with nothing served, sparsity is worth a budget
    e(S) / m(S) times as large for a dense model: the best one has the largest e(S) / m(S), whatever the budget, of
    which only size and data are a matter, N ~ C^(b_D / (b_N + b_D)). Serving costs by the parameter and makes models
    smaller and sparser.

    The recommended action minimises the posterior expected loss (the law's, with what it may miss beyond the runs) over
    sizes and sparsities: dense and the pattern for n:m, else everything from dense to the largest sparsity trained.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    train_flops : float
        Budget in FLOPs: of training, and of serving where ``serve_tokens`` says so.
    modality, structure : str or sequence of str, optional
        Which; all that the posterior has unless said.
    cost : str or Cost
        How sparsity changes the cost of training; see `decide.costs`. ``measured`` is measured on the posterior's runs.
    flops_per_unit : float, optional
        FLOPs per non-zero parameter and token or example; 6 unless said.
    serve_tokens : float
        Tokens or examples served over the model's life, each at a third of ``flops_per_unit``, on the same budget.
    max_sparsity : float, optional
        The largest sparsity allowed instead of the largest one trained.
    sizes : (float, float), optional
        Smallest and largest number of non-zero parameters to look at; unless said, from a tenth of the smallest one
        trained to a thousand times the largest.
    margin : float
        How much lower than the best dense allocation's the loss must be to be worth it, in units of loss.
    prob : float
        Probability of every interval.

    Returns
    -------
    Allocations
        Prints as a table; ``to_dict`` gives plain JSON.

    Raises
    ------
    InputError
        If a modality is not in the posterior, the budget is not positive or pays for less than one token or example
        at every size, or another argument is out of range.
    """
    check_prob(prob)
    check_max_sparsity(max_sparsity)
    check_margin(margin)
    how = cost_of(posterior, cost)
    question = Question.of(1.0, train_flops, how, flops_per_unit, serve_tokens=serve_tokens)
    if question.train_flops.ndim:
        raise InputError("allocate takes one budget; call it once for each")
    answers = []
    structures = [check_structure(name) for name in names_of(posterior, "structure", structure)]
    for m in names_of(posterior, "modality", modality):
        between = log_sizes(posterior, m, sizes)
        check_budget(replace(question, nonzero_params=xr.DataArray(np.exp(between[0]))))
        for s in structures:
            case = Case(posterior, replace(question, cost=how.for_structure(s)), m, s, max_sparsity=max_sparsity)
            answer = _answer(case, between, margin, prob)
            answer.notes.extend(unit_notes(posterior, question, m, flops_per_unit))
            answers.append(answer)
    return Allocations(prob, answers)


def check_sizes(sizes: Sequence[float] | None) -> None:
    """Refuse a range of sizes that is none.

    Raises
    ------
    InputError
        Unless it is two positive numbers, the smaller one first.
    """
    if sizes is None:
        return
    low_high = np.asarray(sizes, dtype=float)
    if low_high.shape != (2,) or not (np.isfinite(low_high).all() and 0 < low_high[0] < low_high[1]):
        raise InputError(f"sizes is {sizes}; it is a smallest and a largest number of non-zero parameters, above 0")


def log_sizes(posterior: xr.DataTree, modality: str, sizes: Sequence[float] | None) -> np.ndarray:
    """Logs of sizes to look at first: the range asked for, or around those trained."""
    check_sizes(sizes)
    if sizes is None:
        runs = posterior["constant_data"].to_dataset()
        trained = runs["nonzero_params"].to_numpy()
        mine = runs["modality"].to_numpy() == modality
        trained = trained[mine] if mine.any() else trained
        sizes = (BELOW * trained.min(), ABOVE * trained.max())
    low, high = np.log(np.asarray(sizes, dtype=float))
    return np.linspace(low, high, 2 + int((high - low) / SPACING))


def _answer(case: Case, between: np.ndarray, margin: float, prob: float) -> Allocation:
    draws, several = _optima(case, between)
    size, sparsity = _least_expected_loss(case, between, case.levels)
    dense_size, _ = _least_expected_loss(case, between, [0.0])
    here, dense = (replace(case.question, nonzero_params=xr.DataArray(n)) for n in (size, dense_size))
    loss, dense_loss = case.loss(sparsity, here), case.loss(0.0, dense)
    gain = dense_loss - loss
    data_seen = float(here.data_seen(sparsity))
    distance = extrapolation(
        case.posterior,
        case.modality,
        case.structure,
        nonzero_params=size,
        data_seen=data_seen,
        sparsity=sparsity,
        cost=case.question.cost,
    )
    at_zero = {"probability_zero": float((draws["sparsity"] == 0).mean())}
    return Allocation(
        modality=case.modality,
        structure=case.structure,
        train_flops=float(case.question.train_flops),
        recommended={
            "nonzero_params": size,
            "sparsity": sparsity,
            "data_seen": data_seen,
            "total_params": size / (1 - sparsity),
        },
        optimal={
            str(name): interval(values, prob) | (at_zero if name == "sparsity" else {})
            for name, values in draws.data_vars.items()
        },
        loss=interval(loss, prob),
        dense={
            "nonzero_params": dense_size,
            "data_seen": float(dense.data_seen(0.0)),
            "loss": interval(dense_loss, prob),
        },
        gain=interval(gain, prob),
        margin=margin,
        probability_beats_dense=float((gain > margin).mean()) if sparsity > 0 else 0.0,
        expected_regret=float((case.law_loss(sparsity, here) - draws["loss"]).mean()),
        sizes=np.exp(between[[0, -1]]).tolist(),
        extrapolation=distance,
        draws=draws,
        notes=[
            *(note for note in read_notes(case.posterior.attrs) if note.severity == "error"),
            *budget_notes(case.posterior, here, case.modality),
            *_edge_notes(case, between, size, draws["nonzero_params"]),
            *sparsity_notes(case, sparsity, draws["sparsity"], "on this budget sparsity pays at no size looked at"),
            *optimum_notes(draws["sparsity"], several, case.modality, case.structure),
            *distance_notes(distance),
            *unseen_notes(case.posterior, [(case.modality, case.structure)]),
        ],
    )


def _optima(case: Case, between: np.ndarray) -> tuple[xr.Dataset, xr.DataArray]:
    """Each draw's own allocation, and whether its loss has several minima over sparsity there."""

    def asked(log_size: xr.DataArray) -> Question:
        return replace(case.question, nonzero_params=np.exp(log_size))

    def sparsities(log_size: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
        return optima(case.law, case.at, asked(log_size), case.structure)

    def result(log_size: xr.DataArray, sparsity: xr.DataArray) -> xr.Dataset:
        question = asked(log_size)
        values = {
            "nonzero_params": question.nonzero_params,
            "sparsity": sparsity,
            "data_seen": question.data_seen(sparsity),
            "loss": case.law_loss(sparsity, question),
        }
        return xr.Dataset({name: value.transpose("chain", "draw").drop_attrs() for name, value in values.items()})

    if case.fixed is None:
        log_size = _least(lambda n: case.law_loss(sparsities(n)[0], asked(n)), between)
        sparsity, several = sparsities(log_size)
        return result(log_size, sparsity), several
    # Of two actions each has its own best size, between which the loss rises again.
    each = []
    for s in (0.0, case.fixed):
        log_size = _least(lambda n, s=s: case.law_loss(s, asked(n)), between)  # type: ignore[misc]
        each.append(result(log_size, xr.full_like(log_size, s)))
    draws = xr.where(each[1]["loss"] < each[0]["loss"], each[1], each[0])
    return draws, xr.zeros_like(draws["loss"], dtype=bool)


def _least(loss: Callable[[xr.DataArray], xr.DataArray], between: np.ndarray) -> xr.DataArray:
    """The log of the size at which each draw's loss is least, or the end of the range."""
    grid = xr.DataArray(between, dims="size")
    step = between[1] - between[0]
    for _ in range(2):
        values = loss(grid)
        grid = grid.broadcast_like(values).isel(size=values.argmin("size"))
        offsets = xr.DataArray(np.linspace(-step, step, FINER), dims="size")
        grid, step = (grid + offsets).clip(between[0], between[-1]), 2 * step / (FINER - 1)
    values, grid = xr.broadcast(loss(grid), grid)
    i = values.argmin("size").clip(1, FINER - 2)
    (x0, x1, x2), (y0, y1, y2) = (tuple(each.isel(size=i + k) for k in (-1, 0, 1)) for each in (grid, values))
    # The vertex of a parabola through the best point and its neighbours, where it is between them.
    with np.errstate(all="ignore"):
        bend = (y0 - y1) + (y2 - y1)
        vertex = x1 + step * (y0 - y2) / (2 * bend)
        least = np.isfinite(y0 + y2) & (y1 <= np.minimum(y0, y2)) & (bend > 0)
        inside = least & (np.minimum(x1 - x0, x2 - x1) > step / 2)
    best = grid.isel(size=values.argmin("size"))
    return xr.where(inside, vertex, best).transpose("chain", "draw")


def _least_expected_loss(case: Case, between: np.ndarray, levels: list[float] | None) -> tuple[float, float]:
    """The size and sparsity with the smallest posterior mean of the loss."""

    def expected(points: np.ndarray) -> np.ndarray:
        size, density = (xr.DataArray(column, dims="point") for column in (np.exp(points[:, 0]), points[:, 1]))
        question = replace(case.question, nonzero_params=size)
        return case.loss(-np.expm1(-density), question).mean(("chain", "draw")).to_numpy()

    if levels is None:
        sparse = np.linspace(0.0, -np.log1p(-case.largest), DENSITIES if case.largest > 0 else 1)
        (log_size, density), _ = zoom(expected, [between, sparse], ACCURACY)
    else:
        boxes = [[between, np.array([-np.log1p(-s)])] for s in levels]
        (log_size, density), _ = min((zoom(expected, box, ACCURACY) for box in boxes), key=lambda found: found[1])
    return float(np.exp(log_size)), float(-np.expm1(-density))


def _edge_notes(case: Case, between: np.ndarray, size: float, own: xr.DataArray) -> list[Note]:
    """A note where optima lie at the ends of the sizes searched, and would be elsewhere without them."""
    low, high = np.exp(between[[0, -1]])
    at = {"smallest": own <= low * (1 + 1e-9), "largest": own >= high * (1 - 1e-9)}
    acted = {"smallest": size <= low * (1 + 1e-9), "largest": size >= high * (1 - 1e-9)}
    return [
        Note(
            "size_at_edge",
            "warning",
            f"{float(at[end].mean()):.1%} of the draws have their optimal size at the {end} one looked at, "
            f"{limit:.3g} non-zero parameters" + (", and so does the recommendation." if acted[end] else "."),
            {"modality": case.modality, "structure": case.structure, "end": end},
            {"share": float(at[end].mean()), "nonzero_params": float(limit)},
        )
        for end, limit in (("smallest", low), ("largest", high))
        if bool(at[end].any()) or acted[end]
    ]
