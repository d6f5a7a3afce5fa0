"""The question that the page opens with, and what Python answers to it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.decide.actions import check_margin
from bayes_scaling.decide.optimum import cost_of
from bayes_scaling.decide.question import FLOPS_PER_UNIT, Question, recorded_per_unit
from bayes_scaling.decide.recommend import Answer, Recommendation, recommend
from bayes_scaling.errors import InputError
from bayes_scaling.groups import names_of
from bayes_scaling.intervals import check_prob
from bayes_scaling.structures import check_structure

__all__ = ["Opening", "opening_of", "questions"]


@dataclass(frozen=True)
class Opening:
    """What the page asks until its reader asks something else.

    Attributes
    ----------
    posterior : DataTree
    modality, structure : str
        Those of the answer in the page's first sentence.
    modalities, structures : list of str
        All that the page can answer for.
    nonzero_params, train_flops : float or None
        As asked; by the modality's runs where they were not.
    cost : Cost
    flops_per_unit : float or None
    margin, prob : float
    """

    posterior: xr.DataTree
    modality: str
    structure: str
    modalities: list[str]
    structures: list[str]
    nonzero_params: float | None
    train_flops: float | None
    cost: costs.Cost
    flops_per_unit: float | None
    margin: float
    prob: float

    def of(self, modality: str) -> Question:
        """The question for one modality."""
        per_unit = self.per_unit(modality)
        default = questions(self.posterior, modality, self.cost, per_unit)
        size = float(default.nonzero_params) if self.nonzero_params is None else self.nonzero_params
        budget = float(default.train_flops) if self.train_flops is None else self.train_flops
        return Question.of(size, budget, self.cost, per_unit)

    def per_unit(self, modality: str) -> float | None:
        """FLOPs per parameter and token or example: as asked, else what runs that count examples recorded."""
        if self.flops_per_unit is not None or "runs" not in self.posterior.children or self.unit(modality) == "tokens":
            return self.flops_per_unit
        return recorded_per_unit(self.posterior["runs"].to_dataset(), modality)

    def unit(self, modality: str) -> str:
        """What a modality counts its data in."""
        runs = self.posterior["constant_data"].to_dataset()
        return str(runs["data_unit"].to_numpy()[runs["modality"].to_numpy() == modality][0])

    def recommendation(
        self,
        modality: str,
        structure: str | None = None,
        *,
        times: float = 1.0,
        cost: costs.Cost | None = None,
    ) -> Recommendation:
        """Python's answer for one modality, and one structure or all, with a multiple of the budget or another cost."""
        question = self.of(modality)
        return recommend(
            self.posterior,
            float(question.nonzero_params),
            times * float(question.train_flops),
            modality,
            self.structures if structure is None else structure,
            cost=self.cost if cost is None else cost,
            flops_per_unit=self.per_unit(modality),
            margin=self.margin,
            prob=self.prob,
        )

    def answer(self, recommendation: Recommendation) -> Answer:
        """That for the structure of the first sentence."""
        return next(a for a in recommendation.answers if a.structure == self.structure)

    def to_dict(self) -> dict[str, Any]:
        """The question as plain JSON."""
        question = self.of(self.modality)
        return {
            "modality": self.modality,
            "structure": self.structure,
            "nonzero_params": float(question.nonzero_params),
            "train_flops": float(question.train_flops),
            "flops_per_unit": question.flops_per_unit,
            "cost": self.cost.name,
            "margin": self.margin,
            "prob": self.prob,
        }


def opening_of(
    posterior: xr.DataTree,
    *,
    nonzero_params: float | None,
    train_flops: float | None,
    modality: str | None,
    structure: str | None,
    cost: str | costs.Cost,
    flops_per_unit: float | None,
    margin: float,
    prob: float,
) -> Opening:
    """The question, checked; what was not asked is the best structure at the largest run's size and budget.

    Raises
    ------
    InputError
        If the posterior does not have the modality, or a number is out of range.
    """
    check_prob(prob)
    check_margin(margin)
    modalities = names_of(posterior, "modality", None)
    if modality is not None and modality not in modalities:
        raise InputError(f"modality {modality!r} is not in the posterior, which has {', '.join(modalities)}")
    structures = names_of(posterior, "structure", None)
    if structure is not None and check_structure(structure) not in structures:
        structures = [*structures, structure]
    opening = Opening(
        posterior=posterior,
        modality=modalities[0] if modality is None else modality,
        structure=structures[0] if structure is None else structure,
        modalities=modalities,
        structures=structures,
        nonzero_params=nonzero_params,
        train_flops=train_flops,
        cost=cost_of(posterior, cost),
        flops_per_unit=flops_per_unit,
        margin=margin,
        prob=prob,
    )
    opening.of(opening.modality)  # which checks size, budget and FLOPs per unit
    if structure is not None or len(structures) == 1:
        return opening
    (comparison,) = opening.recommendation(opening.modality).comparisons
    return replace(opening, structure=comparison["best"]) if comparison["best"] in structures else opening


def questions(
    posterior: xr.DataTree, modality: str, cost: str | costs.Cost = "gradual", flops_per_unit: float | None = None
) -> Question:
    """What is asked of a modality unless said: its largest size, and the FLOPs of its largest run, rounded down."""
    runs = posterior["constant_data"].to_dataset()
    mine = runs.isel(run=np.flatnonzero(runs["modality"].to_numpy() == modality))
    how = costs.get(cost)
    per_unit = FLOPS_PER_UNIT if flops_per_unit is None else flops_per_unit
    flops = per_unit * mine["nonzero_params"] * mine["data_seen"] * how.multiplier(mine["sparsity"])
    largest = float(flops.max())
    digit = 10.0 ** (np.floor(np.log10(largest)) - 1)
    budget = float(f"{np.floor(largest / digit) * digit:.2g}")
    return Question.of(float(mine["nonzero_params"].max()), budget, how, per_unit)
