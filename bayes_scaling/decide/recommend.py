"""What to train: the sparsity with the least expected loss, and everything a planner asks about it."""

from collections.abc import Sequence
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
)
from bayes_scaling.decide.budget import budget_notes, check_budget
from bayes_scaling.decide.optimum import check_start, cost_of, optima, optimum_notes
from bayes_scaling.decide.question import Question
from bayes_scaling.decide.stakes import Point, check_point, compared, stakes_of
from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation import extrapolation
from bayes_scaling.groups import names_of, unseen_notes
from bayes_scaling.intervals import PROB, check_prob, interval
from bayes_scaling.notes import Note, read_notes
from bayes_scaling.structures import check_structure
from bayes_scaling.viewed import Viewed

__all__ = ["Answer", "Recommendation", "recommend"]


@dataclass(frozen=True)
class Answer:
    """The recommendation for one modality and structure.

    Attributes
    ----------
    recommended : dict
        The action: ``sparsity``, and what follows from it, ``data_seen`` and ``total_params``.
    optimal_sparsity : dict
        Posterior of the draws' own optima: ``median``, ``lower``, ``upper``, ``probability_zero``.
    loss, dense_loss : dict
        Expected loss of the action, and of a dense model with the same non-zero parameters and budget.
    probability_sparse_beats_dense : float
        Share of draws in which the action's loss is the smaller one; 0 where the action is dense.
    gain : dict
        ``dense_loss`` minus ``loss``, on paired draws.
    margin, probability_beats_dense_by_margin : float
        A gain in units of loss, and the share of draws in which the action's is larger; 0 where the action is dense.
    dense_equivalent : dict
        Parameters of the dense model with the action's loss at the action's data, per non-zero parameter.
    expected_regret : float
        Mean over draws of the action's loss minus that of the draw's own optimum, both by the law alone, in units of
        loss.
    stakes : dict
        What hangs on the choice, by the law alone and in units of loss. ``regret_of_dense``: the expected regret of
        training dense. ``perfect_information``: the ``loss`` that knowing the law would be expected to take off, being
        free to choose among the same sparsities, and the ``train_flops`` to add to the budget to take as much off at
        the recommended sparsity (None where no budget does). Where the limit on sparsity does not bind, that loss is
        the expected regret. ``point``, where a point estimate was given: its ``sparsity``, and ``expected_regret``.
    choices : list of dict
        Menu of sparsities, dense included, with the probability that each is the best of them.
    extrapolation : dict
        Nats beyond the runs at the action.
    """

    modality: str
    structure: str
    strategy: str
    nonzero_params: float
    train_flops: float
    recommended: dict[str, float]
    optimal_sparsity: dict[str, float]
    loss: dict[str, float]
    dense_loss: dict[str, float]
    probability_sparse_beats_dense: float
    gain: dict[str, float]
    margin: float
    probability_beats_dense_by_margin: float
    dense_equivalent: dict[str, float]
    expected_regret: float
    stakes: dict[str, Any]
    choices: list[dict[str, Any]]
    extrapolation: dict[str, float]
    notes: list[Note] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain JSON."""
        return vars(self) | {"notes": [note.to_dict() for note in self.notes]}


@dataclass(frozen=True, repr=False)
class Recommendation(Viewed):
    """Answers, one for each modality and structure asked for; prints as a table.

    Attributes
    ----------
    prob : float
        Probability of every interval.
    answers : list of Answer
    comparisons : list of dict
        For each modality with several structures: ``modality``, the ``best`` of them by expected loss, and
        ``options``, one for dense and each structure that is better sparse: ``structure``, recommended ``sparsity``,
        ``probability_best`` (share of draws in which its loss is the least), and ``difference`` to the best one's
        loss, draw by draw.
    """

    prob: float
    answers: list[Answer]
    comparisons: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """All answers as plain JSON."""
        answers = [answer.to_dict() for answer in self.answers]
        return {"prob": self.prob, "answers": answers, "comparisons": self.comparisons}

    def _view(self) -> Any:
        from bayes_scaling.display import recommendation_view

        return recommendation_view(self)


def recommend(
    posterior: xr.DataTree,
    nonzero_params: float,
    train_flops: float,
    modality: str | Sequence[str] | None = None,
    structure: str | Sequence[str] | None = None,
    strategy: str = "scratch",
    *,
    cost: str | costs.Cost = "gradual",
    flops_per_unit: float | None = None,
    pretrain_data: float = 0.0,
    serve_tokens: float = 0.0,
    prob: float = PROB,
    max_sparsity: float | None = None,
    margin: float = 0.0,
    point: Point | None = None,
) -> Recommendation:
    """Recommend a sparsity for a model size and a training budget.

    The recommended action minimises the posterior expected loss (the law's, with what it may miss beyond the runs, and
    without run noise) over the sparsities allowed: 0 and 1 - n/m for an n:m pattern, else everything from dense to the
    largest sparsity trained.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    nonzero_params : float
        Non-zero parameters at the end of training.
    train_flops : float
        Budget in FLOPs: of training, and of serving where ``serve_tokens`` says so.
    modality, structure : str or sequence of str, optional
        Which; all that the posterior has unless said.
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
    prob : float
        Probability of every interval.
    max_sparsity : float, optional
        The largest sparsity allowed instead of the largest one trained.
    margin : float
        How much lower than a dense model's the loss must be to be worth it, in units of loss.
    point : PointFit or dict of float, optional
        A point estimate whose choice of sparsity is held against the recommended one: from `point_fit`, or
        coefficients in physical units, as ``laws.get("sparse").published["vit-jft"].coefficients``.

    Returns
    -------
    Recommendation
        Prints as a table; ``to_dict`` gives plain JSON.

    Raises
    ------
    InputError
        If a modality or strategy is not in the posterior, a size or budget is not positive, or another argument is
        out of range.
    """
    check_prob(prob)
    check_max_sparsity(max_sparsity)
    check_margin(margin)
    start = check_start(strategy, pretrain_data)
    how = cost_of(posterior, cost)
    question = Question.of(nonzero_params, train_flops, how, flops_per_unit, start, serve_tokens)
    if question.nonzero_params.ndim or question.train_flops.ndim:
        raise InputError("recommend takes one size and one budget; optimal_sparsity takes arrays of them")
    check_budget(question)
    modalities = names_of(posterior, "modality", modality)
    check_point(point, modalities)
    structures = [check_structure(name) for name in names_of(posterior, "structure", structure)]
    answers, comparisons = [], []
    for m in modalities:
        taken = []
        for s in structures:
            case = Case(posterior, replace(question, cost=how.for_structure(s)), m, s, strategy, max_sparsity)
            action = case.least_expected_loss()
            answer = _answer(case, action, prob, margin, point)
            answer.notes.extend(unit_notes(posterior, question, m, flops_per_unit))
            answers.append(answer)
            taken.append((s, action, case.loss(action)))
        if len(structures) > 1:
            comparisons.append(compared(m, case.loss(0.0), taken, prob))
    return Recommendation(prob, answers, comparisons)


def _answer(case: Case, action: float, prob: float, margin: float, point: Point | None) -> Answer:
    law, question = case.law, case.question
    best, several = optima(law, case.at, question, case.structure)
    loss, dense_loss = case.loss(action), case.loss(0.0)
    gain = dense_loss - loss
    data_seen = float(question.data_seen(action))
    distance = extrapolation(
        case.posterior,
        case.modality,
        case.structure,
        nonzero_params=float(question.nonzero_params),
        data_seen=data_seen,
        sparsity=action,
        cost=question.cost,
    )
    return Answer(
        modality=case.modality,
        structure=case.structure,
        strategy=case.strategy,
        nonzero_params=float(question.nonzero_params),
        train_flops=float(question.train_flops),
        recommended={
            "sparsity": action,
            "data_seen": data_seen,
            "total_params": float(question.nonzero_params) / (1 - action),
        },
        optimal_sparsity=interval(best, prob) | {"probability_zero": float((best == 0).mean())},
        loss=interval(loss, prob),
        dense_loss=interval(dense_loss, prob),
        probability_sparse_beats_dense=float((gain > 0).mean()) if action > 0 else 0.0,
        gain=interval(gain, prob),
        margin=margin,
        probability_beats_dense_by_margin=float((gain > margin).mean()) if action > 0 else 0.0,
        dense_equivalent=interval(_equivalent(case, action), prob),
        expected_regret=float((case.law_loss(action) - case.law_loss(best)).mean()),
        stakes=stakes_of(case, action, best, point),
        choices=_choices(case),
        extrapolation=distance,
        notes=[
            *(note for note in read_notes(case.posterior.attrs) if note.severity == "error"),
            *budget_notes(case.posterior, question, case.modality),
            *sparsity_notes(case, action, best, "at this size and budget, training data is worth more than sparsity"),
            *optimum_notes(best, several, case.modality, case.structure),
            *distance_notes(distance),
            *unseen_notes(case.posterior, [(case.modality, case.structure)]),
        ],
    )


def _equivalent(case: Case, action: float) -> xr.DataArray:
    """Draws of the dense equivalent, at the size that is asked about."""
    return case.law.dense_equivalent(action, nonzero_params=float(case.question.nonzero_params), **case.at)


def _choices(case: Case) -> list[dict[str, Any]]:
    """How often each sparsity of a menu is the best of them, draw by draw."""
    menu = [s for s in case.trained if s <= case.largest] if case.levels is None else case.levels
    losses = xr.concat([case.loss(s) for s in menu], dim="choice")
    share = np.bincount(losses.argmin("choice").to_numpy().ravel(), minlength=len(menu)) / losses.isel(choice=0).size
    return [
        {"structure": case.structure if s > 0 else "dense", "sparsity": s, "probability_best": float(p)}
        for s, p in zip(menu, share, strict=True)
    ]
