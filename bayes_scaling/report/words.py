"""An answer in the words and figures that the page shows; explorer.js fills the same slots with the same formats."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.decide.recommend import Answer, Recommendation
from bayes_scaling.decide.thresholds import budget_for
from bayes_scaling.display import chance, count, with_interval
from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation import AXES
from bayes_scaling.groups import law_of
from bayes_scaling.report.explorer import cost_models
from bayes_scaling.report.opening import Opening

__all__ = ["alternatives", "case_of", "row", "slots"]

TIMES = {"a tenth of the budget": 0.1, "ten times the budget": 10.0}


def case_of(posterior: xr.DataTree, answer: Answer) -> str:
    """Which of the page's sentences says it: ``sparse``, ``dense``, or ``unpruned`` for laws of dense models."""
    if not law_of(posterior).prunes:
        return "unpruned"
    return "sparse" if answer.recommended["sparsity"] > 0 else "dense"


def slots(opening: Opening, answer: Answer) -> dict[str, dict[str, Any]]:
    """What the page's slots hold for an answer, by name: ``value``, in full, and ``text``."""
    question = opening.of(answer.modality)
    action, optimal = answer.recommended, answer.optimal_sparsity
    chances = (answer.probability_sparse_beats_dense, answer.probability_beats_dense_by_margin)
    found: dict[str, tuple[Any, str]] = {
        "modality": (answer.modality, answer.modality),
        "structure": (answer.structure, answer.structure),
        "cost": (opening.cost.name, opening.cost.name),
        "nonzero_params": (answer.nonzero_params, count(answer.nonzero_params)),
        "train_flops": (answer.train_flops, f"{answer.train_flops:.3g}"),
        "sparsity": (action["sparsity"], f"{action['sparsity']:.3f}"),
        "data_seen": (action["data_seen"], count(action["data_seen"])),
        "dense_data_seen": (float(question.data_seen(0.0)), count(float(question.data_seen(0.0)))),
        "total_params": (action["total_params"], count(action["total_params"])),
        "loss": (answer.loss, with_interval(answer.loss, ".4f")),
        "dense_loss": (answer.dense_loss, with_interval(answer.dense_loss, ".4f")),
        "gain": (answer.gain, with_interval(answer.gain, ".2g")),
        "gain_median": (answer.gain["median"], f"{answer.gain['median']:.2g}"),
        "chance": (chances[0], chance(chances[0])),
        "margin": (opening.margin, f"{opening.margin:g}"),
        "margin_chance": (chances[1], chance(chances[1])),
        "optimal": (optimal, with_interval(optimal, ".3f")),
        "probability_zero": (optimal["probability_zero"], chance(optimal["probability_zero"])),
        "dense_equivalent": (answer.dense_equivalent, "× " + with_interval(answer.dense_equivalent, ".2f")),
        "regret": (answer.expected_regret, f"{answer.expected_regret:.2g}"),
        "dense_regret": (answer.stakes["regret_of_dense"], f"{answer.stakes['regret_of_dense']:.2g}"),
        "beyond": (answer.extrapolation, _beyond(answer.extrapolation)),
        "pays_from": _pays_from(opening, answer),
        "unit": (opening.unit(answer.modality), opening.unit(answer.modality)),
        "prob": (opening.prob, f"{opening.prob:.0%}"),
    }
    return {name: {"value": value, "text": text} for name, (value, text) in found.items()}


def alternatives(opening: Opening, asked: Recommendation) -> list[dict[str, str]]:
    """The recommendation had something else been asked: other structures, cost models and budgets.

    Parameters
    ----------
    opening : Opening
    asked : Recommendation
        What is recommended for its modality and all structures.
    """
    rows = [row("as asked", opening.answer(asked))]
    rows += [row(f"structure {a.structure}", a) for a in asked.answers if a.structure != opening.structure]
    rows += [
        each
        for name, cost in cost_models(opening.posterior, opening.cost).items()
        if name != opening.cost.name
        for each in _asked(opening, f"cost model {name}", cost=cost)
    ]
    return rows + [each for name, times in TIMES.items() for each in _asked(opening, name, times=times)]


def _asked(opening: Opening, name: str, times: float = 1.0, cost: costs.Cost | None = None) -> list[dict[str, str]]:
    try:
        asked = opening.recommendation(opening.modality, opening.structure, times=times, cost=cost)
    except InputError:  # a budget that buys no data
        return []
    return [row(name, asked.answers[0])]


def row(name: str, answer: Answer) -> dict[str, str]:
    """An answer in a line of a table."""
    sparse = answer.recommended["sparsity"] > 0
    return {
        "if": name,
        "sparsity": f"{answer.recommended['sparsity']:.3f}" if sparse else "dense",
        "loss": with_interval(answer.loss, ".4f"),
        "gain": with_interval(answer.gain, ".2g") if sparse else "–",
        "chance": chance(answer.probability_sparse_beats_dense) if sparse else "–",
    }


def _beyond(distance: dict[str, float]) -> str:
    far = [f"{np.exp(distance[axis]):.3g} times in {axis}" for axis in AXES if distance[axis] > 0]
    return ", ".join(far) or "no"


def _pays_from(opening: Opening, answer: Answer) -> tuple[Any, str]:
    """From which budget on sparsity pays; budgets that buy no data count as none."""
    if not law_of(opening.posterior).prunes:
        return None, "–"
    question = opening.of(answer.modality)
    draws = budget_for(
        opening.posterior,
        answer.nonzero_params,
        0.0,
        answer.modality,
        answer.structure,
        cost=opening.cost,
        flops_per_unit=question.flops_per_unit,
    )
    one = question.flops_per_unit * answer.nonzero_params  # buys one token or example of a dense model
    tail = (1 - opening.prob) / 2
    found = np.quantile(draws.to_numpy(), [0.5, tail, 1 - tail], method="nearest").tolist()
    values = [0.0 if value < one else value for value in found]
    texts = ["any" if v == 0 else "none" if np.isinf(v) else f"{v:.3g}" for v in values]
    known = {n: v if np.isfinite(v) else None for n, v in zip(("median", "lower", "upper"), values, strict=True)}
    return known, f"{texts[0]} [{texts[1]}, {texts[2]}]"
