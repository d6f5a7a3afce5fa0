"""How runs that were held out fell into the intervals predicted for them."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.plots.axes import INSIDE
from bayes_scaling.plots.style import ALARM, BEYOND, COLOURS, GREY, distinct, grid_of, key, percent, text, warn
from bayes_scaling.validate.result import Holdout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_coverage"]


def plot_coverage(result: Holdout) -> "Figure":
    """Runs held out, against the intervals predicted for them; a row per modality.

    One panel for each predictor shows its intervals relative to what was measured, the lowest loss first. The last one
    shows the share of runs inside central intervals of every probability, which should be that probability.

    Parameters
    ----------
    result : Holdout
        From `holdout` or `kfold`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If it is no such result.
    """
    if not isinstance(result, Holdout):
        raise InputError(f"result is a {type(result).__name__}; it comes from bayes_scaling.holdout or kfold")
    predictions = result.predictions
    modality = predictions["modality"].to_numpy()
    sources = predictions["predicted_by"].to_numpy().tolist()
    levels = list(dict.fromkeys(modality.tolist()))
    figure, grid = grid_of(len(levels), len(sources) + 1, width=4.3, height=3.6)
    for row, name in zip(grid, levels, strict=True):
        mine = predictions.isel(run=np.flatnonzero(modality == name))
        for ax, source in zip(row, sources, strict=False):
            _intervals(ax, mine.sel(predicted_by=source), source)
        ends = np.array([ax.get_ylim() for ax in row[:-1]])
        for ax in row[:-1]:
            ax.set_ylim(ends[:, 0].min(), ends[:, 1].max())
        row[0].set_ylabel(f"{text(name)}\npredicted over measured loss (%)")
        row[0].set_xlabel(f"{row[0].get_xlabel()}\n{_far(result.beyond.get(name, {}))}")
        _curve(row[-1], mine, sources, result.prob)
    figure.suptitle(f"{text(result.held_out, 80)}, held out; law {text(result.law)}, {percent(result.prob)} intervals")
    _key(figure)
    warn(figure, result.notes)
    return figure


def _intervals(ax: "Axes", predicted: xr.Dataset, source: str) -> None:
    """Each run's interval relative to what was measured; those that missed stand out."""
    known = predicted.isel(run=np.flatnonzero(np.isfinite(predicted["median"].to_numpy())))
    known = known.isel(run=np.argsort(known["observed"].to_numpy(), kind="stable"))
    observed = known["observed"].to_numpy()
    lower, median, upper = (100 * np.expm1(known[n].to_numpy() - observed) for n in ("lower", "median", "upper"))
    x = np.arange(observed.size)
    hit = (lower <= 0) & (upper >= 0)
    for k, colour, marker, label in ((hit, COLOURS[0], "o", "inside"), (~hit, ALARM, "X", "outside")):
        ends = [(median - lower)[k], (upper - median)[k]]
        ax.errorbar(x[k], median[k], ends, fmt=marker, color=colour, ms=5, lw=1.4, label=label)
    ax.axhline(0, color=GREY, lw=1, zorder=0)
    share = f" ({hit.mean():.0%})" if hit.size else ""
    ax.set(
        title=f"{text(source)}: {hit.sum()} of {hit.size} inside{share}", xlabel="runs, lowest loss first", xticks=[]
    )


def _far(beyond: dict[str, float]) -> str:
    """How far the runs held out lie beyond those kept, on the axis where they do most."""
    axis, nats = max(beyond.items(), key=lambda item: item[1], default=("", 0.0))
    return f"up to {np.exp(nats):.3g}× {BEYOND} kept in {axis}" if nats > INSIDE else "inside the runs kept"


def _curve(ax: "Axes", predicted: xr.Dataset, sources: list[str], prob: float) -> None:
    """The share of runs inside central intervals of every probability."""
    ax.plot([0, 1], [0, 1], color=GREY, lw=1)
    ax.axvline(prob, color=GREY, lw=1, ls=":")
    for source, shown, colour, style in zip(sources, distinct(sources), COLOURS, ("-", "--", "-.", ":"), strict=False):
        pit = predicted["pit"].sel(predicted_by=source).to_numpy()
        needed = np.sort(np.abs(2 * pit[np.isfinite(pit)] - 1))
        if not needed.size:
            continue
        share = np.arange(1, needed.size + 1) / needed.size
        at, up = np.concatenate([[0], needed, [1]]), np.concatenate([[0], share, share[-1:]])
        ax.step(at, up, where="post", color=colour, ls=style, lw=1.8, label=shown)
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="probability of the interval", ylabel="share of runs inside")
    ax.set_title(f"dotted: {percent(prob)}", fontsize="medium")
    ax.legend(frameon=False, loc="upper left", fontsize="small")


def _key(figure: "Figure") -> None:
    from matplotlib.lines import Line2D

    inside = Line2D([], [], color=COLOURS[0], marker="o", lw=1.4, label="measured loss inside the interval")
    outside = Line2D([], [], color=ALARM, marker="X", lw=1.4, label="outside")
    key(figure, more=[inside, outside])
