"""Optimal sparsity over the training budget."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.decide.optimum import cost_of, optimal_sparsity
from bayes_scaling.decide.question import FLOPS_PER_UNIT, Question
from bayes_scaling.display import count
from bayes_scaling.groups import names_of
from bayes_scaling.intervals import PROB, check_prob
from bayes_scaling.notes import read_notes
from bayes_scaling.plots.axes import BUDGET, band, log_ticks, outside
from bayes_scaling.plots.questions import law_that_prunes, modalities_of, quantiles, runs_of
from bayes_scaling.plots.style import distinct, key, look_of, panels, percent, text, warn
from bayes_scaling.structures import pattern_sparsity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_optimal_sparsity"]


def plot_optimal_sparsity(
    posterior: xr.DataTree,
    nonzero_params: float | None = None,
    train_flops: Sequence[float] | None = None,
    *,
    modality: str | Sequence[str] | None = None,
    structure: str | Sequence[str] | None = None,
    cost: str | costs.Cost = "gradual",
    flops_per_unit: float | None = None,
    prob: float = PROB,
) -> "Figure":
    """Optimal sparsity over the training budget, one panel per structure.

    Where sparsity is free, the band is the credible interval of the optimum; an n:m pattern has two choices, so its
    panel shows how probable it is that the pattern is the better one.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    nonzero_params : float, optional
        Size of the model; the largest one trained unless said.
    train_flops : sequence of float, optional
        Budgets; unless said, from the smallest one trained at that size to ten times the largest.
    modality, structure : str or sequence of str, optional
        Which; all that the posterior has unless said.
    cost : str or Cost
        How sparsity changes the cost of training.
    flops_per_unit : float, optional
        FLOPs per non-zero parameter and token or example; 6 unless said.
    prob : float
        Probability of the band.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If the law is about dense models, a modality is not known, or an argument is out of range.
    """
    check_prob(prob)
    law_that_prunes(posterior, "optimal sparsity")
    runs = posterior["constant_data"].to_dataset()
    modalities = modalities_of(posterior, modality)
    if modality is not None:
        runs = runs.isel(run=np.flatnonzero(np.isin(runs["modality"].to_numpy(), modalities)))
    names = names_of(posterior, "structure", structure)
    how: dict[str, Any] = {"cost": cost, "flops_per_unit": flops_per_unit}
    size = float(runs["nonzero_params"].max()) if nonzero_params is None else nonzero_params
    per_unit = FLOPS_PER_UNIT if flops_per_unit is None else flops_per_unit
    dense = per_unit * size * runs["data_seen"].to_numpy()
    budgets = np.geomspace(dense.min(), 10 * dense.max(), 40) if train_flops is None else np.asarray(train_flops)
    best = optimal_sparsity(posterior, size, budgets, modalities, names, **how)
    looks = look_of(modalities)
    figure, axes = panels(len(names))
    beyond, shown = [], dict(zip(modalities, distinct(modalities), strict=True))
    for ax, name in zip(axes, names, strict=True):
        free = pattern_sparsity(name) is None
        model = cost_of(posterior, cost).for_structure(name)
        question = Question.of(size, budgets, model, flops_per_unit)
        for group in modalities:
            here, look = best.sel(structure=name, modality=group), looks[group]
            middle = here.median(("chain", "draw")).to_numpy()
            where: dict[str, Any] = {
                "nonzero_params": size,
                "data_seen": question.data_seen(middle).to_numpy(),
                "sparsity": middle,
            }
            off = outside(posterior, group, name, **where, cost=model)
            beyond.append(bool(off.any()))
            if free:
                band(ax, budgets, quantiles(here, prob), off, **look, label=shown[group])
            else:
                chance = (here > 0).mean(("chain", "draw")).to_numpy()
                band(ax, budgets, (chance, chance, chance), off, **look, label=shown[group])
            ax.axvline(_largest_budget(posterior, group, per_unit, model), color=look["color"], ls=":", lw=1)
        if free:
            largest = float(runs["sparsity"].where(runs["structure"] == name, 0.0).max())
            ax.axhline(largest, color="0.5", ls="--", lw=0.8, zorder=0)
        middling = f"optimal sparsity, median and {percent(prob)} interval"
        label = middling if free else f"chance that {text(name)} beats dense"
        ax.set(xscale="log", xlabel=BUDGET, ylabel=label, title=text(name), ylim=(-0.02, 1.02))
        log_ticks(ax.xaxis, "flops")
        ax.legend(frameon=False, loc="best")
    figure.suptitle(
        f"{count(size)} non-zero parameters\ndotted: largest budget trained, dashed: largest sparsity trained",
        fontsize="medium",
    )
    key(figure, beyond=any(beyond))
    warn(figure, read_notes(posterior.attrs))
    return figure


def _largest_budget(posterior: xr.DataTree, modality: str, per_unit: float, cost: costs.Cost) -> float:
    mine = runs_of(posterior, modality)
    flops = per_unit * mine["nonzero_params"] * mine["data_seen"] * cost.multiplier(mine["sparsity"])
    return float(flops.max())
