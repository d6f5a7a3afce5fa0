"""The inverse question: the cheapest run, and the smallest model, that reach a loss with a stated probability."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.decide.actions import Case, check_max_sparsity, distance_notes, unit_notes
from bayes_scaling.decide.allocate import log_sizes
from bayes_scaling.decide.goal import ACCURACY, FLOPS, SIZE, Goal, least
from bayes_scaling.decide.optimum import cost_of
from bayes_scaling.decide.question import Question
from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation import extrapolation
from bayes_scaling.groups import names_of, unseen_notes
from bayes_scaling.intervals import PROB, check_prob, interval
from bayes_scaling.notes import Note, read_notes
from bayes_scaling.structures import check_structure
from bayes_scaling.viewed import Viewed

__all__ = ["Reach", "Reached", "reach"]


@dataclass(frozen=True)
class Reached:
    """What reaches the loss for one modality and structure.

    A configuration has ``nonzero_params``, ``sparsity``, ``data_seen``, ``total_params``, ``train_flops`` (with those
    of serving), the ``probability`` that it reaches the loss, and its expected ``loss``.

    Attributes
    ----------
    loss, probability : float
        What was asked for.
    cheapest, smallest, dense : dict or None
        The configuration that needs the fewest FLOPs; the one with the fewest non-zero parameters, within the budget
        where there is one; the dense one that needs the fewest FLOPs. None where none reaches the loss.
    limit : dict
        ``irreducible_loss``, and the ``probability`` that it is below the loss asked for: by the law, the greatest one
        that any size and data can reach.
    train_flops : float or None
        Budget of the smallest model.
    sizes : list of float
        The smallest and the largest number of non-zero parameters searched.
    extrapolation : dict or None
        Nats beyond the runs at the cheapest configuration.
    """

    modality: str
    structure: str
    loss: float
    probability: float
    cheapest: dict[str, Any] | None
    smallest: dict[str, Any] | None
    dense: dict[str, Any] | None
    limit: dict[str, Any]
    train_flops: float | None
    sizes: list[float]
    extrapolation: dict[str, float] | None
    notes: list[Note] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain JSON."""
        return vars(self) | {"notes": [note.to_dict() for note in self.notes]}


@dataclass(frozen=True, repr=False)
class Reach(Viewed):
    """Answers, one for each structure asked for; prints as a table.

    Attributes
    ----------
    prob : float
        Probability of every interval.
    answers : list of Reached
    """

    prob: float
    answers: list[Reached]

    def to_dict(self) -> dict[str, Any]:
        """All of them as plain JSON."""
        return {"prob": self.prob, "answers": [answer.to_dict() for answer in self.answers]}

    def _view(self) -> Any:
        from bayes_scaling.decide.planning_view import reach_view

        return reach_view(self)


def reach(
    posterior: xr.DataTree,
    loss: float,
    probability: float = PROB,
    modality: str | None = None,
    structure: str | Sequence[str] | None = None,
    *,
    cost: str | costs.Cost = "gradual",
    flops_per_unit: float | None = None,
    serve_tokens: float = 0.0,
    train_flops: float | None = None,
    max_sparsity: float | None = None,
    sizes: Sequence[float] | None = None,
    prob: float = PROB,
) -> Reach:
    """Find the cheapest run that reaches a loss, and the smallest model that does, from scratch.

    A configuration reaches the loss with the share of draws in which its expected loss (the law's, with what it may
    miss beyond the runs, and without run noise) is at most that. More data may be worse where it leads far beyond the
    runs: what the law may miss there grows, and with it the chance to fall short.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    loss : float
        Held-out loss to reach, in the unit of the runs.
    probability : float
        How sure it is to be.
    modality : str, optional
        Which; the posterior's only one unless said.
    structure : str or sequence of str, optional
        Which; all that the posterior has unless said.
    cost : str or Cost
        How sparsity changes the cost of training; see `decide.costs`. ``measured`` is measured on the posterior's runs.
    flops_per_unit : float, optional
        FLOPs per non-zero parameter and token or example; 6 unless said.
    serve_tokens : float
        Tokens or examples served over the model's life, each at a third of ``flops_per_unit``; their FLOPs count.
    train_flops : float, optional
        Budget within which the smallest model is looked for; unless said, a thousand times the data of the largest run
        are its only limit.
    max_sparsity : float, optional
        The largest sparsity allowed instead of the largest one trained.
    sizes : (float, float), optional
        Smallest and largest number of non-zero parameters to look at; unless said, from a tenth of the smallest one
        trained to a thousand times the largest.
    prob : float
        Probability of every interval.

    Returns
    -------
    Reach
        Prints as a table; ``to_dict`` gives plain JSON. A loss that nothing reaches is no error: the configurations
        are None, ``limit`` and a note say why.

    Raises
    ------
    InputError
        If the posterior has several modalities and none is named, or another argument is out of range.
    """
    check_prob(prob)
    check_max_sparsity(max_sparsity)
    if not (np.isfinite(loss) and loss > 0):
        raise InputError(f"loss is {loss}; the loss to reach is a number above 0")
    if not 0 < probability < 1:
        raise InputError(f"probability is {probability}; how sure the loss is to be reached lies between 0 and 1")
    if len(modalities := names_of(posterior, "modality", modality)) > 1:
        raise InputError(f"a loss is of one modality, and the posterior has {', '.join(modalities)}; name one")
    budget = 1.0 if train_flops is None else train_flops
    question = Question.of(1.0, budget, cost_of(posterior, cost), flops_per_unit, serve_tokens=serve_tokens)
    if question.train_flops.ndim:
        raise InputError("reach takes one budget; call it once for each")
    answers = []
    for s in [check_structure(name) for name in names_of(posterior, "structure", structure)]:
        asked = replace(question, cost=question.cost.for_structure(s))
        case = Case(posterior, asked, modalities[0], s, max_sparsity=max_sparsity)
        goal = Goal(case, float(loss), probability, log_sizes(posterior, modalities[0], sizes))
        answer = _answer(goal, train_flops, prob)
        answer.notes.extend(unit_notes(posterior, question, modalities[0], flops_per_unit))
        answers.append(answer)
    return Reach(prob, answers)


def _answer(goal: Goal, budget: float | None, prob: float) -> Reached:
    case = goal.case
    irreducible = case.law.loss(0.0, np.inf, np.inf, 0.0, **case.at)
    below = float((irreducible < goal.loss).mean())
    cheapest = _configuration(goal, least(goal, FLOPS, goal.densities), prob)
    smallest = _configuration(goal, least(goal, SIZE, goal.densities, np.inf if budget is None else budget), prob)
    dense = _configuration(goal, least(goal, FLOPS, [np.zeros(1)]), prob)
    distance = None
    if cheapest is not None:
        where = {name: cheapest[name] for name in ("nonzero_params", "data_seen", "sparsity")}
        distance = extrapolation(case.posterior, case.modality, case.structure, **where, cost=case.question.cost)
    return Reached(
        modality=case.modality,
        structure=case.structure,
        loss=float(goal.loss),
        probability=float(goal.probability),
        cheapest=cheapest,
        smallest=smallest,
        dense=dense,
        limit={"irreducible_loss": interval(irreducible, prob), "probability": below},
        train_flops=budget,
        sizes=np.exp(goal.sizes[[0, -1]]).tolist(),
        extrapolation=distance,
        notes=[
            *(note for note in read_notes(case.posterior.attrs) if note.severity == "error"),
            *_out_of_reach(goal, below, cheapest),
            *_edge_notes(goal, cheapest),
            *(distance_notes(distance) if distance else []),
            *unseen_notes(case.posterior, [(case.modality, case.structure)]),
        ],
    )


def _configuration(goal: Goal, point: np.ndarray | None, prob: float) -> dict[str, Any] | None:
    if point is None:
        return None
    losses = goal.losses(point[None])[:, 0]
    sparsity, size, data = (float(each[0]) for each in goal.designs(point[None]))
    return {
        "nonzero_params": size,
        "sparsity": sparsity,
        "data_seen": data,
        "total_params": size / (1 - sparsity),
        "train_flops": float(np.exp(point[FLOPS])),
        "probability": float((losses <= goal.loss).mean()),
        "loss": interval(xr.DataArray(losses), prob),
    }


def _out_of_reach(goal: Goal, limit: float, cheapest: dict[str, Any] | None) -> list[Note]:
    """A note where nothing reaches the loss."""
    if cheapest is not None:
        return []
    case = goal.case
    why = (
        f"by the law no size and data do with more than {limit:.1%}, where irreducible loss is below it"
        if limit < goal.probability
        else "none of the sizes and data looked at does"
    )
    return [
        Note(
            "target_out_of_reach",
            "warning",
            f"Nothing reaches loss {goal.loss:g} with probability {goal.probability:g} in {case.modality}, "
            f"{case.structure}: {why}.",
            {"modality": case.modality, "structure": case.structure},
            {"limit": limit},
        )
    ]


def _edge_notes(goal: Goal, cheapest: dict[str, Any] | None) -> list[Note]:
    """A note where a range that was looked at, and not what things cost, ends the search."""
    if cheapest is None:
        return []
    ranges = {
        "nonzero_params": ("number of non-zero parameters", np.exp(goal.sizes[[0, -1]])),
        "data_seen": ("amount of data", np.array(goal.data)),
    }
    return [
        Note(
            "target_at_edge",
            "warning",
            f"The cheapest configuration has the {end} {what} looked at, {limit:.3g}: a cheaper one may lie beyond.",
            {"modality": goal.case.modality, "structure": goal.case.structure, "end": end},
            {name: float(limit)},
        )
        for name, (what, limits) in ranges.items()
        for end, limit in zip(("smallest", "largest"), limits, strict=True)
        if abs(np.log(cheapest[name] / limit)) < 2 * ACCURACY
    ]
