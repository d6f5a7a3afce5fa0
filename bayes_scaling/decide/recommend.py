"""What to train: the sparsity with the least expected loss, and everything a planner asks about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.decide.optimum import check_start, optimum_of
from bayes_scaling.decide.question import Question
from bayes_scaling.discrepancy import log_discrepancy
from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation import AXES, extrapolation
from bayes_scaling.groups import coefficients, law_of, names_of, unseen_notes
from bayes_scaling.intervals import PROB, check_prob, interval
from bayes_scaling.notes import Note, read_notes
from bayes_scaling.structures import check_structure, pattern_sparsity

__all__ = ["Answer", "Recommendation", "recommend"]

ACTIONS = 60
"""Points in log density at which the expected loss is compared before the best one is refined."""


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
    dense_equivalent : dict
        Parameters of the dense model with the action's loss at the action's data, per non-zero parameter.
    expected_regret : float
        Mean over draws of the action's loss minus that of the draw's own optimum, both by the law alone, in units of
        loss.
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
    dense_equivalent: dict[str, float]
    expected_regret: float
    choices: list[dict[str, Any]]
    extrapolation: dict[str, float]
    notes: list[Note] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain JSON."""
        return vars(self) | {"notes": [note.to_dict() for note in self.notes]}


@dataclass(frozen=True)
class Recommendation:
    """Answers, one for each modality and structure asked for; prints as a table.

    Attributes
    ----------
    prob : float
        Probability of every interval.
    answers : list of Answer
    """

    prob: float
    answers: list[Answer]

    def to_dict(self) -> dict[str, Any]:
        """All answers as plain JSON."""
        return {"prob": self.prob, "answers": [answer.to_dict() for answer in self.answers]}

    def __str__(self) -> str:
        from bayes_scaling.display import plain, recommendation_view

        return plain(recommendation_view(self))

    __repr__ = __str__


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
    prob: float = PROB,
    max_sparsity: float | None = None,
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
        Training budget in FLOPs.
    modality, structure : str or sequence of str, optional
        Which; all that the posterior has unless said.
    strategy : str
        ``scratch`` or ``pretrained``.
    cost : str or Cost
        How sparsity changes the cost of training.
    flops_per_unit : float, optional
        FLOPs per non-zero parameter and token or example; 6 unless said.
    pretrain_data : float
        For ``pretrained``: tokens or examples of the dense phase.
    prob : float
        Probability of every interval.
    max_sparsity : float, optional
        The largest sparsity allowed instead of the largest one trained.

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
    if max_sparsity is not None and not 0 <= max_sparsity < 1:
        raise InputError(f"max_sparsity is {max_sparsity}; it lies in [0, 1)")
    question = Question.of(nonzero_params, train_flops, cost, flops_per_unit, check_start(strategy, pretrain_data))
    if question.nonzero_params.ndim or question.train_flops.ndim:
        raise InputError("recommend takes one size and one budget; optimal_sparsity takes arrays of them")
    if float(question.data_seen(0.0)) < 1:
        raise InputError(
            f"train_flops is {train_flops:g}, which pays for less than one token or example of a dense model with "
            f"{nonzero_params:g} non-zero parameters"
        )
    modalities = names_of(posterior, "modality", modality)
    structures = [check_structure(name) for name in names_of(posterior, "structure", structure)]
    answers = []
    for m in modalities:
        unit = _data_unit(posterior, m)
        for s in structures:
            answer = _answer(posterior, question, m, s, strategy, prob, max_sparsity)
            if flops_per_unit is None and unit == "examples":
                answer.notes.append(
                    Note(
                        "flops_per_example",
                        "warning",
                        f"{m} counts examples and flops_per_unit was not given: the budget is read as "
                        f"{question.flops_per_unit:g} FLOPs per parameter and example, as if each were one token.",
                    )
                )
            answers.append(answer)
    return Recommendation(prob, answers)


def _answer(
    posterior: xr.DataTree,
    question: Question,
    modality: str,
    structure: str,
    strategy: str,
    prob: float,
    max_sparsity: float | None,
) -> Answer:
    law = law_of(posterior)
    at = coefficients(posterior, modality, structure, strategy)
    trained = _trained_sparsities(posterior, modality, structure)
    fixed = pattern_sparsity(structure)
    largest = max_sparsity if max_sparsity is not None else trained[-1] if fixed is None else fixed
    best = optimum_of(law, at, question, structure)

    def loss_at(sparsity: float) -> xr.DataArray:
        missed = log_discrepancy(
            posterior,
            modality,
            structure,
            nonzero_params=question.nonzero_params,
            data_seen=question.data_seen(sparsity),
            sparsity=sparsity,
            cost=question.cost,
        )
        return question.loss(law, at, sparsity) * np.exp(missed)

    action = _least_expected_loss(loss_at, structure, largest)
    loss, dense_loss = loss_at(action), loss_at(0.0)
    data_seen = float(question.data_seen(action))
    distance = extrapolation(
        posterior,
        modality,
        structure,
        nonzero_params=float(question.nonzero_params),
        data_seen=data_seen,
        sparsity=action,
        cost=question.cost,
    )
    menu = [s for s in (trained if fixed is None else (0.0, fixed)) if s <= largest]
    return Answer(
        modality=modality,
        structure=structure,
        strategy=strategy,
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
        probability_sparse_beats_dense=float((loss < dense_loss).mean()) if action > 0 else 0.0,
        dense_equivalent=interval(law.dense_equivalent(action, **at), prob),
        expected_regret=float((question.loss(law, at, action) - question.loss(law, at, best)).mean()),
        choices=_choices(loss_at, structure, menu),
        extrapolation=distance,
        notes=[
            *(note for note in read_notes(posterior.attrs) if note.severity == "error"),
            *_edge_notes(action, largest, trained[-1], fixed, best),
            *_distance_notes(distance),
            *unseen_notes(posterior, [(modality, structure)]),
        ],
    )


def _least_expected_loss(loss_at: Callable[[float], xr.DataArray], structure: str, largest: float) -> float:
    """The allowed sparsity with the smallest posterior mean of the loss."""
    from scipy.optimize import minimize_scalar

    def expected(sparsity: float) -> float:
        return float(loss_at(sparsity).mean())

    fixed = pattern_sparsity(structure)
    if fixed is not None:
        return min([s for s in (0.0, fixed) if s <= largest], key=expected)
    density = np.linspace(0.0, -np.log1p(-largest), ACTIONS)
    losses = [expected(-np.expm1(-t)) for t in density]
    i = int(np.argmin(losses))
    if i in (0, ACTIONS - 1):
        return float(-np.expm1(-density[i]))
    found = minimize_scalar(
        lambda t: expected(-np.expm1(-t)), bounds=(density[i - 1], density[i + 1]), method="bounded"
    )
    return float(-np.expm1(-found.x))


def _choices(loss_at: Callable[[float], xr.DataArray], structure: str, menu: list[float]) -> list[dict[str, Any]]:
    """How often each sparsity of a menu is the best of them, draw by draw."""
    losses = xr.concat([loss_at(s) for s in menu], dim="choice")
    share = np.bincount(losses.argmin("choice").to_numpy().ravel(), minlength=len(menu)) / losses.isel(choice=0).size
    return [
        {"structure": structure if s > 0 else "dense", "sparsity": s, "probability_best": float(p)}
        for s, p in zip(menu, share, strict=True)
    ]


def _trained_sparsities(posterior: xr.DataTree, modality: str, structure: str) -> list[float]:
    """Sparsities trained with a structure in a modality, 0 included; of all its structures where it had none."""
    runs = posterior["constant_data"].to_dataset()
    mine = runs["modality"].to_numpy() == modality
    sparsity = runs["sparsity"].to_numpy()
    same = mine & (runs["structure"].to_numpy() == structure) & (sparsity > 0)
    levels = np.unique(sparsity[same if same.any() else mine])
    # Counted zeros differ between runs in the fourth digit, so levels closer than a per cent are one.
    kept = [s for i, s in enumerate(levels) if s > 0 and (i == len(levels) - 1 or levels[i + 1] - s > 0.01)]
    return [0.0, *(float(s) for s in kept)]


def _edge_notes(action: float, allowed: float, trained: float, fixed: float | None, best: xr.DataArray) -> list[Note]:
    if fixed is not None and fixed > allowed:
        return [
            Note(
                "pattern_not_allowed",
                "warning",
                f"The pattern's sparsity {fixed:.4g} is above the {allowed:g} allowed.",
            )
        ]
    if action == 0:
        return [
            Note(
                "optimum_at_zero",
                "info",
                "The expected loss is least at sparsity 0: at this size and budget, training data is worth more than "
                "sparsity.",
            )
        ]
    if fixed is None and action >= allowed - 1e-9:
        beyond = f"{float((best > allowed).mean()):.0%} of the draws have their optimum beyond it"
        where = ", where no run was trained" if allowed >= trained else ""
        return [
            Note(
                "optimum_at_largest_sparsity",
                "warning",
                f"The recommendation stops at sparsity {action:.4g}, the largest allowed; {beyond}{where}.",
            )
        ]
    return []


def _distance_notes(distance: dict[str, float]) -> list[Note]:
    far = [f"{np.exp(distance[axis]):.3g} times in {axis}" for axis in AXES if distance[axis] > 0]
    if not far:
        return []
    return [Note("extrapolation", "info", f"Beyond the runs: {', '.join(far)}.")]


def _data_unit(posterior: xr.DataTree, modality: str) -> str:
    runs = posterior["constant_data"].to_dataset()
    mine = runs["modality"].to_numpy() == modality
    return str(runs["data_unit"].to_numpy()[mine][0]) if mine.any() else "tokens"
