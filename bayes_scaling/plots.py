"""Pictures of laws and decisions; ArviZ draws the rest."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.decide.optimum import cost_of, optimal_sparsity
from bayes_scaling.decide.question import FLOPS_PER_UNIT
from bayes_scaling.decide.sparsity_map import optimal_map
from bayes_scaling.display import count
from bayes_scaling.errors import InputError
from bayes_scaling.groups import law_of, names_of
from bayes_scaling.intervals import PROB, check_prob
from bayes_scaling.structures import pattern_sparsity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_exponents", "plot_measured", "plot_optimal_map", "plot_optimal_sparsity", "plot_prior_predictive"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which colour-blind readers tell apart."""

CELL_DIMS = ("modality", "structure", "strategy")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

CONTOURS = (0.1, 0.25, 0.5, 0.75, 0.875, 0.9375)
WIDTHS = (0.02, 0.05, 0.1, 0.2, 0.4)
CHANCES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Levels of a map's contours: optimal sparsity, the width of its interval, and how probable a pattern is the best."""

INSIDE = 1e-3
"""Nats beyond the runs up to which a question counts as inside: 0 but for rounding."""


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
    """
    tail = (1 - check_prob(prob)) / 2
    runs = posterior["constant_data"].to_dataset()
    modalities = names_of(posterior, "modality", modality)
    if modality is not None:
        runs = runs.isel(run=np.flatnonzero(np.isin(runs["modality"].to_numpy(), modalities)))
    size = float(runs["nonzero_params"].max()) if nonzero_params is None else nonzero_params
    per_unit = FLOPS_PER_UNIT if flops_per_unit is None else flops_per_unit
    dense = per_unit * size * runs["data_seen"].to_numpy()
    budgets = np.geomspace(dense.min(), 10 * dense.max(), 40) if train_flops is None else np.asarray(train_flops)
    names = names_of(posterior, "structure", structure)
    best = optimal_sparsity(posterior, size, budgets, modalities, names, cost=cost, flops_per_unit=flops_per_unit)
    figure, axes = _panels(len(names))
    for ax, name in zip(axes, names, strict=True):
        free = pattern_sparsity(name) is None
        for group, colour in zip(modalities, itertools.cycle(COLOURS)):
            here = best.sel(structure=name, modality=group)
            if free:
                lower, median, upper = here.quantile([tail, 0.5, 1 - tail], ("chain", "draw")).to_numpy()
                ax.fill_between(budgets, lower, upper, color=colour, alpha=0.25, lw=0)
                ax.plot(budgets, median, color=colour, label=_text(group))
            else:
                ax.plot(budgets, (here > 0).mean(("chain", "draw")), color=colour, label=_text(group))
            ax.axvline(_largest_budget(runs, group, per_unit, cost_of(posterior, cost)), color=colour, ls=":", lw=1)
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


def plot_optimal_map(source: xr.Dataset | xr.DataTree, **question: Any) -> "Figure":
    """Optimal sparsity over sizes and budgets: its median, and how wide its interval is.

    An n:m pattern has two choices, so its map shows how probable it is that the pattern is the better one.

    Parameters
    ----------
    source : Dataset or DataTree
        From `optimal_map`, or the posterior to ask.
    **question
        What `optimal_map` takes, where a posterior is asked.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If a map comes with a question.
    """
    if isinstance(source, xr.DataTree):
        source = optimal_map(source, **question)
    elif question:
        raise InputError(f"{', '.join(question)} are for a posterior; the map has been asked already")
    prob = float(source.attrs["prob"])
    if pattern_sparsity(source.attrs["structure"]) is None:
        shown = {
            "optimal sparsity, median": (source["median"], CONTOURS),
            f"width of its {prob:.0%} interval": (source["upper"] - source["lower"], WIDTHS),
        }
    else:
        chance = 1 - source["probability_zero"]
        shown = {f"chance that {_text(source.attrs['structure'])} beats dense": (chance, CHANCES)}
    figure, axes = _panels(len(shown))
    sizes, budgets = (source[name].to_numpy() for name in ("nonzero_params", "train_flops"))
    for ax, (title, (values, levels)) in zip(axes, shown.items(), strict=True):
        ax.set(
            xscale="log", yscale="log", xlim=sizes[[0, -1]], ylim=budgets[[0, -1]], title=title,
            xlabel="non-zero parameters", ylabel="training budget (FLOPs)",
        )  # fmt: skip
        cells, beyond = (
            each.transpose("train_flops", "nonzero_params").to_numpy() for each in (values, source["beyond"])
        )
        ax.contourf(sizes, budgets, cells, [-1.0, *levels, 2.0], cmap="Blues")
        # A pale cover over all that is not inside the runs.
        ax.contourf(sizes, budgets, beyond, [INSIDE, np.inf], colors="white", alpha=0.55)
        ax.contour(sizes, budgets, beyond, [INSIDE], colors="0.25", linewidths=0.9, linestyles=":")
        ax.clabel(ax.contour(sizes, budgets, cells, levels, colors="0.1", linewidths=0.9), fmt="%g", fontsize="small")
        dense = [source[f"dense_optimal_{name}"].to_numpy() for name in ("flops", "lower", "upper")]
        ax.plot(sizes, dense[0], color=COLOURS[1], lw=1.6, label="dense compute-optimal budget")
        if ax is axes[0]:
            ax.fill_between(sizes, *dense[1:], color=COLOURS[1], alpha=0.25, lw=0, label=f"its {prob:.0%} interval")
    axes[0].plot([], [], color="0.25", ls=":", lw=0.9, label="inside the runs")
    axes[0].legend(loc="upper left", fontsize="small", framealpha=0.9)
    figure.suptitle(
        f"{_text(source.attrs['modality'])}, {_text(source.attrs['structure'])}, cost {source.attrs['cost']!r}",
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
