"""Optimal sparsity over sizes and budgets, with the dense-optimal line and the end of the runs."""

from typing import TYPE_CHECKING, Any

import xarray as xr

from bayes_scaling.decide.sparsity_map import optimal_map
from bayes_scaling.errors import InputError
from bayes_scaling.notes import read_notes
from bayes_scaling.plots.axes import BUDGET, INSIDE, log_ticks
from bayes_scaling.plots.questions import law_that_prunes
from bayes_scaling.plots.style import COLOURS, HATCH, key, panels, percent, text, warn
from bayes_scaling.structures import pattern_sparsity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_optimal_map"]

CONTOURS = (0.1, 0.25, 0.5, 0.75, 0.875, 0.9375)
WIDTHS = (0.02, 0.05, 0.1, 0.2, 0.4)
CHANCES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Levels of a map's contours: optimal sparsity, the width of its interval, and how probable a pattern is the best."""


def plot_optimal_map(source: xr.Dataset | xr.DataTree, **question: Any) -> "Figure":
    """Optimal sparsity over sizes and budgets: its median, and how wide its interval is.

    An n:m pattern has two choices, so its map shows how probable it is that the pattern is the better one. What is not
    inside the runs is hatched.

    Parameters
    ----------
    source : Dataset or DataTree
        From `optimal_map`, or the posterior to ask.
    **question
        What `optimal_map` takes, ``prob`` included, where a posterior is asked.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If a map comes with a question, or the law is about dense models.
    """
    notes = []
    if isinstance(source, xr.DataTree):
        law_that_prunes(source, "map of optimal sparsity")
        notes += read_notes(source.attrs)
        source = optimal_map(source, **question)
    elif question:
        raise InputError(f"{', '.join(question)} are for a posterior; the map has been asked already")
    prob, structure = percent(float(source.attrs["prob"])), text(source.attrs["structure"])
    if pattern_sparsity(source.attrs["structure"]) is None:
        shown = {
            "optimal sparsity, median": (source["median"], CONTOURS),
            f"width of its {prob} interval": (source["upper"] - source["lower"], WIDTHS),
        }
    else:
        shown = {f"chance that {structure} beats dense": (1 - source["probability_zero"], CHANCES)}
    figure, axes = panels(len(shown), height=4.9)
    for ax, (title, (values, levels)) in zip(axes, shown.items(), strict=True):
        _map(ax, source, values, levels)
        ax.set_title(title)
        dense, lower, upper = (source[f"dense_optimal_{name}"].to_numpy() for name in ("flops", "lower", "upper"))
        sizes = source["nonzero_params"].to_numpy()
        ax.plot(sizes, dense, color=COLOURS[1], lw=1.6, label="dense compute-optimal budget")
        if ax is axes[0]:
            ax.fill_between(sizes, lower, upper, color=COLOURS[1], alpha=0.25, lw=0, label=f"its {prob} interval")
    lines = axes[0].get_legend_handles_labels()[0]
    key(figure, beyond=bool((source["beyond"] > INSIDE).any()), more=lines)
    figure.suptitle(f"{text(source.attrs['modality'])}, {structure}, cost {source.attrs['cost']!r}", fontsize="medium")
    warn(figure, [*notes, *read_notes(source.attrs)])
    return figure


def _map(ax: "Axes", source: xr.Dataset, values: xr.DataArray, levels: tuple[float, ...]) -> None:
    """Shades and contours of one quantity, and the end of the runs."""
    sizes, budgets = (source[name].to_numpy() for name in ("nonzero_params", "train_flops"))
    ax.set(
        xscale="log", yscale="log", xlim=sizes[[0, -1]], ylim=budgets[[0, -1]],
        xlabel="non-zero parameters", ylabel=BUDGET,
    )  # fmt: skip
    cells, beyond = (each.transpose("train_flops", "nonzero_params").to_numpy() for each in (values, source["beyond"]))
    ax.contourf(sizes, budgets, cells, [-1.0, *levels, 2.0], cmap="Blues")
    # A pale cover with hatches over all that is not inside the runs.
    ax.contourf(sizes, budgets, beyond, [INSIDE, 1e9], colors="white", alpha=0.4)
    cover = ax.contourf(sizes, budgets, beyond, [INSIDE, 1e9], colors="none", hatches=[HATCH[:2]])
    cover.set(edgecolor="0.6", linewidth=0)
    ax.contour(sizes, budgets, beyond, [INSIDE], colors="0.15", linewidths=1.1, linestyles=":")
    lines = ax.contour(sizes, budgets, cells, levels, colors="0.1", linewidths=0.9)
    for label in ax.clabel(lines, fmt="%g", fontsize="small"):
        label.set_bbox({"facecolor": "white", "alpha": 0.75, "pad": 0.5, "lw": 0})
    log_ticks(ax.xaxis, "count")
    log_ticks(ax.yaxis, "flops")
