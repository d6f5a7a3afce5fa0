"""Pictures of laws and decisions; ArviZ draws the rest."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.decide.optimum import cost_of, optimal_sparsity
from bayes_scaling.decide.question import FLOPS_PER_UNIT
from bayes_scaling.display import count
from bayes_scaling.groups import law_of
from bayes_scaling.intervals import PROB, check_prob
from bayes_scaling.structures import pattern_sparsity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_exponents", "plot_measured", "plot_optimal_sparsity", "plot_prior_predictive"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which colour-blind readers tell apart."""

CELL_DIMS = ("modality", "structure", "strategy")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def plot_measured(posterior: xr.DataTree, *, prob: float = PROB) -> "Figure":
    """Measured against predicted loss, one panel per modality.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    prob : float
        Probability of the intervals of new runs.

    Returns
    -------
    matplotlib.figure.Figure
    """
    tail = (1 - check_prob(prob)) / 2
    runs = posterior["constant_data"].to_dataset()
    measured = np.exp(posterior["observed_data"]["log_loss"].to_numpy())
    draws = posterior["posterior_predictive"]["log_loss"].to_numpy()
    lower, median, upper = np.exp(np.quantile(draws, [tail, 0.5, 1 - tail], axis=(0, 1)))
    modality, structure = runs["modality"].to_numpy(), runs["structure"].to_numpy()
    levels = _levels(modality)
    figure, axes = _panels(len(levels))
    for ax, name in zip(axes, levels, strict=True):
        mine = modality == name
        for i, kind in enumerate(sorted(_levels(structure[mine]), key=lambda s: (s != "dense", s))):
            k = mine & (structure == kind)
            ax.errorbar(
                measured[k], median[k], [median[k] - lower[k], upper[k] - median[k]],
                fmt=MARKERS[i % len(MARKERS)], color=COLOURS[i % len(COLOURS)], ms=5, lw=0.8, alpha=0.75,
                label=_text(kind),
            )  # fmt: skip
        ends = np.array([min(lower[mine].min(), measured[mine].min()), max(upper[mine].max(), measured[mine].max())])
        ax.plot(ends, ends, color="0.5", lw=1, zorder=0)
        inside = ((measured >= lower) & (measured <= upper))[mine].mean()
        ax.set(
            title=f"{_text(name)}: {inside:.0%} of {mine.sum()} fitted runs inside",
            xlabel="measured held-out loss (unit of the runs)",
        )
        ax.legend(title="structure", frameon=False)
    axes[0].set_ylabel(f"predicted for a new run, {prob:.0%} interval")
    return figure


def plot_exponents(posterior: xr.DataTree, *, prob: float = PROB) -> Any:
    """ArviZ's forest plot of the law's pure numbers: exponents, with the population's where there are several groups.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    prob : float
        Probability of the wide interval; the inner one has half of it.

    Returns
    -------
    arviz_plots.PlotCollection
    """
    import arviz as az

    check_prob(prob)
    coefficients = law_of(posterior).coefficients
    draws = posterior["posterior"].to_dataset()
    names = [name for name, c in coefficients.items() if c.units == "1" and name in draws]
    candidates = [n for name in names for n in (name, f"{name}_population") if n in draws]
    # Where laws are mixed, what one of them lacks is NaN in its draws.
    shown = draws[[n for n in candidates if not bool(draws[n].isnull().any())]]
    groups = {dim: [_text(str(level)) for level in shown[dim].to_numpy()] for dim in CELL_DIMS if dim in shown.dims}
    forest = az.plot_forest(
        xr.DataTree.from_dict({"posterior": shown.assign_coords(groups)}),
        ci_kind="eti",
        ci_probs=(prob / 2, prob),
        point_estimate="median",
        combined=True,
        backend="matplotlib",
    )
    forest.viz["figure"].item().suptitle(f"Exponents: median, {prob / 2:.1%} and {prob:.0%} intervals")
    return forest


def plot_optimal_sparsity(
    posterior: xr.DataTree,
    nonzero_params: float | None = None,
    train_flops: Sequence[float] | None = None,
    *,
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
    structure : str or sequence of str, optional
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
    """
    tail = (1 - check_prob(prob)) / 2
    runs = posterior["constant_data"].to_dataset()
    size = float(runs["nonzero_params"].max()) if nonzero_params is None else nonzero_params
    per_unit = FLOPS_PER_UNIT if flops_per_unit is None else flops_per_unit
    dense = per_unit * size * runs["data_seen"].to_numpy()
    budgets = np.geomspace(dense.min(), 10 * dense.max(), 40) if train_flops is None else np.asarray(train_flops)
    names = posterior["posterior"]["structure"].to_numpy().tolist() if structure is None else structure
    names = [names] if isinstance(names, str) else list(names)
    best = optimal_sparsity(posterior, size, budgets, structure=names, cost=cost, flops_per_unit=flops_per_unit)
    figure, axes = _panels(len(names))
    for ax, name in zip(axes, names, strict=True):
        free = pattern_sparsity(name) is None
        for modality, colour in zip(best["modality"].to_numpy().tolist(), itertools.cycle(COLOURS)):
            here = best.sel(structure=name, modality=modality)
            if free:
                lower, median, upper = here.quantile([tail, 0.5, 1 - tail], ("chain", "draw")).to_numpy()
                ax.fill_between(budgets, lower, upper, color=colour, alpha=0.25, lw=0)
                ax.plot(budgets, median, color=colour, label=_text(modality))
            else:
                ax.plot(budgets, (here > 0).mean(("chain", "draw")), color=colour, label=_text(modality))
            ax.axvline(_largest_budget(runs, modality, per_unit, cost_of(posterior, cost)), color=colour, ls=":", lw=1)
        if free:
            largest = float(runs["sparsity"].where(runs["structure"] == name, 0.0).max())
            ax.axhline(largest, color="0.5", ls="--", lw=0.8, zorder=0)
        label = (
            f"optimal sparsity, median and {prob:.0%} interval" if free else f"chance that {_text(name)} beats dense"
        )
        ax.set(xscale="log", xlabel="training budget (FLOPs)", ylabel=label, title=_text(name), ylim=(-0.02, 1.02))
        ax.legend(frameon=False, loc="best")
    figure.suptitle(
        f"{count(size)} non-zero parameters\ndotted: largest budget trained, dashed: largest sparsity trained",
        fontsize="medium",
    )
    return figure


def plot_prior_predictive(posterior: xr.DataTree, *, prob: float = PROB) -> "Figure":
    """What the priors alone expect of the runs, one panel per modality.

    Parameters
    ----------
    posterior : DataTree
        From `fit`; its prior group is used, and its runs are drawn on top.
    prob : float
        Probability of the wide band; the inner one has half of it.

    Returns
    -------
    matplotlib.figure.Figure
    """
    check_prob(prob)
    prior = posterior["prior"].to_dataset()
    runs = posterior["constant_data"].to_dataset()
    measured = np.exp(posterior["observed_data"]["log_loss"].to_numpy())
    law = law_of(posterior)
    levels = prior["modality"].to_numpy().tolist()
    figure, axes = _panels(len(levels))
    for i, (ax, name) in enumerate(zip(axes, levels, strict=True)):
        mine = (runs["modality"] == name).to_numpy()
        here = prior.sel(modality=name).isel(structure=0, strategy=0, missing_dims="ignore")
        sizes = runs["nonzero_params"].to_numpy()[mine]
        x = np.geomspace(sizes.min() / 3, sizes.max() * 3, 60)
        data = float(runs["reference_data_seen"][i])
        loss = law.loss(0.0, xr.DataArray(x, dims="size"), data, **{c: here[c] for c in law.coefficients if c in here})
        for p, alpha in ((prob, 0.18), (prob / 2, 0.3)):
            lower, upper = loss.quantile([(1 - p) / 2, (1 + p) / 2], ("chain", "draw")).to_numpy()
            ax.fill_between(x, lower, upper, color=COLOURS[0], alpha=alpha, lw=0, label=f"{p:.3g} of prior draws")
        ax.plot(sizes, measured[mine], ".", color=COLOURS[1], label="runs, all sparsities and data")
        ax.set(
            xscale="log",
            yscale="log",
            title=_text(name),
            xlabel="non-zero parameters",
            ylabel="held-out loss (unit of the runs)",
        )
        ax.legend(frameon=False)
    figure.suptitle("Prior predictive, dense model at the runs' mean data", fontsize="medium")
    return figure


def _text(name: str) -> str:
    """A name as matplotlib shows it: no mathematics in it, and no legend that leaves it out."""
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")


def _panels(number: int) -> tuple["Figure", list[Any]]:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, number, figsize=(5.2 * number + 0.6, 4.6), squeeze=False, layout="constrained")
    return figure, list(axes[0])


def _levels(values: np.ndarray) -> list[str]:
    return list(dict.fromkeys(values.tolist()))


def _largest_budget(runs: xr.Dataset, modality: str, per_unit: float, cost: costs.Cost) -> float:
    mine = runs.isel(run=np.flatnonzero((runs["modality"] == modality).to_numpy()))
    flops = per_unit * mine["nonzero_params"] * mine["data_seen"] * cost.multiplier(mine["sparsity"])
    return float(flops.max())
