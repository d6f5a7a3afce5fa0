"""What the page recomputes its answers from: posterior draws, formulas, and the range of the runs."""

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.assemble import UNSEEN
from bayes_scaling.decide import costs
from bayes_scaling.decide.actions import Case
from bayes_scaling.decide.optimum import cost_of
from bayes_scaling.discrepancy import DISCREPANCY
from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation import AXES, SIDES, signed
from bayes_scaling.groups import law_of, unseen_notes
from bayes_scaling.report.expressions import cost_formulas, law_formulas
from bayes_scaling.report.opening import Opening, questions

__all__ = ["Explorer", "cost_models", "explorer_of", "thinned"]

MOST_BYTES = 2_200_000
"""Of draws, as they are; in the page they take a third more, and the page stays below 5 MB."""

BELOW, ABOVE = 10.0, 1e6
"""How far the sliders reach beyond the smallest and the largest that was trained; fields take any number."""

Explorer = dict[str, Any]
"""``page``, plain JSON, and ``formulas``, JavaScript functions by name."""


def thinned(posterior: xr.DataTree) -> xr.DataTree:
    """The posterior with as many draws as a page can hold; the posterior itself where that is all of them."""
    law = law_of(posterior)
    draws = posterior["posterior"].to_dataset()
    size = sum(draws[name].size for name in law.coefficients if name in draws)
    if DISCREPANCY in posterior.children:
        size += posterior[DISCREPANCY].to_dataset()["slope"].size
    step = math.ceil(8 * size / MOST_BYTES)
    if step == 1:
        return posterior
    some = posterior.copy()
    for name in ("posterior", UNSEEN, DISCREPANCY):
        if name in some.children and "draw" in some[name].sizes:
            some[name] = xr.DataTree(some[name].to_dataset().isel(draw=slice(None, None, step)))
    return some


def cost_models(posterior: xr.DataTree, asked: costs.Cost) -> dict[str, costs.Cost]:
    """The cost models that mean something for runs from scratch, by name, the one asked for first."""
    found = {asked.name: asked}
    for name in costs.names():
        try:
            cost = cost_of(posterior, name)
            cost.upfront(1.0, 0.0, 0.0, 1.0)
        except InputError:  # no runs to measure it on, or only for models that were trained before
            continue
        if cost not in found.values() and name not in found and not _bare(cost):
            found[name] = cost
    return found


def explorer_of(posterior: xr.DataTree, opening: Opening, answer: Mapping[str, Any]) -> Explorer | None:
    """Everything that the explorer embeds, or None where the law's formula cannot be recorded.

    Parameters
    ----------
    posterior : DataTree
        From `thinned`.
    opening : Opening
        The question that the page opens with.
    answer : dict
        Python's answer to it, which the page holds its own against.
    """
    law = law_of(posterior)
    names = [name for name in law.coefficients if name in posterior["posterior"].data_vars]
    formulas = law_formulas(law, names)
    models = _recorded(cost_models(posterior, opening.cost), opening.structures)
    if formulas is None or not models:
        return None
    arrays = _Arrays()
    cells = [
        _cell(posterior, arrays, names, models, modality, structure)
        for modality in opening.modalities
        for structure in opening.structures
    ]
    page = {
        "law": law.name,
        "prunes": law.prunes,
        "modalities": [_modality(posterior, arrays, opening, name) for name in opening.modalities],
        "cells": cells,
        "costs": list(models),
        "opening": opening.to_dict(),
        "answer": dict(answer) if opening.cost.name in models else None,
    }
    page |= {"draws": arrays.length, "arrays": arrays.to_base64()}
    recorded = {name: {s: made for s, (_, made) in by.items()} for name, by in models.items()}
    return {"page": page, "formulas": formulas | {"costs": recorded}}


class _Arrays:
    """Arrays of draws, each kept once."""

    def __init__(self) -> None:
        self._place: dict[bytes, int] = {}
        self.length = 0

    def add(self, values: xr.DataArray) -> int:
        """Where the array is kept; its dimensions are chain and draw."""
        content = np.ascontiguousarray(values.transpose("chain", "draw").to_numpy(), dtype="<f8").tobytes()
        self.length = len(content) // 8
        return self._place.setdefault(content, len(self._place))

    def to_base64(self) -> str:
        """All of them, one after the other, little-endian."""
        return base64.b64encode(b"".join(self._place)).decode()


_Models = dict[str, dict[str, tuple[costs.Cost, dict[str, str]]]]
"""By name and structure: the cost model, and its formulas."""


def _recorded(models: Mapping[str, costs.Cost], structures: list[str]) -> _Models:
    found: _Models = {}
    for name, cost in models.items():
        by_structure = {}
        for structure in structures:
            mine = cost.for_structure(structure)
            formulas = cost_formulas(mine)
            if formulas is not None:
                by_structure[structure] = (mine, formulas)
        if len(by_structure) == len(structures):
            found[name] = by_structure
    return found


def _bare(cost: costs.Cost) -> bool:
    """Whether it wraps another cost model and adds nothing to it."""
    return isinstance(cost, costs.Hardware) and not cost.speedup


def _cell(
    posterior: xr.DataTree, arrays: _Arrays, names: list[str], models: _Models, modality: str, structure: str
) -> dict[str, Any]:
    """One modality and structure: where its draws are, which sparsities it allows, and where its runs end."""
    question = questions(posterior, modality)
    case = Case(posterior, question, modality, structure)
    return {
        "modality": modality,
        "structure": structure,
        "coefficients": [arrays.add(case.at[name]) for name in names],
        "fixed": case.fixed,
        "largest": case.largest,
        "trained": case.trained,
        "unseen": bool(unseen_notes(posterior, [(modality, structure)])),
        "ends": {name: _ends(posterior, modality, structure, by[structure][0]) for name, by in models.items()},
    }


def _ends(posterior: xr.DataTree, modality: str, structure: str, cost: costs.Cost) -> list[list[float]]:
    """Signed nats beyond the runs of one parameter and one token at sparsity 0, by axis and side.

    From there they are linear in the logs of size, data, density and FLOPs.
    """
    sparsity = xr.DataArray([0.0, 0.5], dims="at")  # a range that sparse questions are held against too
    nats = signed(posterior, modality, structure, nonzero_params=1.0, data_seen=1.0, sparsity=sparsity, cost=cost)
    return nats.isel(at=0).transpose("axis", "side").sel(axis=list(AXES), side=list(SIDES)).to_numpy().tolist()


def _modality(posterior: xr.DataTree, arrays: _Arrays, opening: Opening, name: str) -> dict[str, Any]:
    runs = posterior["constant_data"].to_dataset()
    mine = runs.isel(run=np.flatnonzero(runs["modality"].to_numpy() == name))
    question = opening.of(name)
    size, budget = float(question.nonzero_params), float(question.train_flops)
    sizes = mine["nonzero_params"].to_numpy()
    flops = question.flops_per_unit * sizes * mine["data_seen"].to_numpy()
    return {
        "name": name,
        "unit": str(mine["data_unit"].to_numpy()[0]),
        "nonzero_params": size,
        "train_flops": budget,
        "flops_per_unit": question.flops_per_unit,
        "sizes": [min(size, float(sizes.min()) / BELOW), max(size, float(sizes.max()) * ABOVE)],
        "budgets": [min(budget, float(flops.min()) / BELOW), max(budget, float(flops.max()) * ABOVE)],
        "slopes": _slopes(posterior, arrays, name),
    }


def _slopes(posterior: xr.DataTree, arrays: _Arrays, modality: str) -> list[list[int]] | None:
    """Where the draws of the slopes beyond the runs are, by axis and side."""
    if DISCREPANCY not in posterior.children:
        return None
    slope = posterior[DISCREPANCY].to_dataset()["slope"].sel(modality=modality, drop=True)
    if not slope.to_numpy().any():
        return None
    return [[arrays.add(slope.sel(axis=axis, side=side, drop=True)) for side in SIDES] for axis in AXES]
