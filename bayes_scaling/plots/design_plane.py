"""The runs to train next, on the plane of sizes and data."""

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_scaling.decide.next.next_runs import NextRuns
from bayes_scaling.errors import InputError
from bayes_scaling.notes import read_notes
from bayes_scaling.plots.axes import INSIDE, labels, log_ticks
from bayes_scaling.plots.questions import runs_of
from bayes_scaling.plots.style import BEYOND, COLOURS, GREY, distinct, key, look_of, panels, percent, text, warn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_next_runs"]


def plot_next_runs(found: NextRuns, posterior: xr.DataTree | None = None) -> "Figure":
    """Runs to train next on the plane of sizes and data, a panel per modality, and what each is expected to tell.

    Numbers are ranks, colours sparsities, markers structures; a ring says that a run lies beyond those trained. The
    last panel follows the measure of the target over the FLOPs spent, pick by pick.

    Parameters
    ----------
    found : NextRuns
        From `next_runs`.
    posterior : DataTree, optional
        That was asked: its runs are drawn too.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If it is no such table, or has no runs.
    """
    if not isinstance(found, NextRuns):
        raise InputError(f"found is a {type(found).__name__}; it comes from bayes_scaling.next_runs")
    runs = found.runs
    if not runs.sizes["run"]:
        why = f": {found.notes[-1].message}" if found.notes else ""
        raise InputError(f"there are no runs to draw{why}")
    modality = runs["modality"].to_numpy()
    levels = list(dict.fromkeys(modality.tolist()))
    far = np.array([max(each.values()) > INSIDE for each in found.extrapolation])
    kinds = runs["structure"].to_numpy().tolist()
    looks = look_of(kinds)
    figure, axes = panels(len(levels) + 1, width=5.0, height=4.6)
    for ax, name in zip(axes, levels, strict=False):
        mine = np.flatnonzero(modality == name)
        if posterior is not None:
            _trained(ax, runs_of(posterior, name))
        points = _picks(ax, runs.isel(run=mine), far[mine], looks)
        ax.set(xscale="log", yscale="log", title=text(name), xlabel=labels(runs)["nonzero_params"])
        ax.set_ylabel(labels(runs.isel(run=mine))["data_seen"])
        ax.margins(0.15)
        for axis in (ax.xaxis, ax.yaxis):
            log_ticks(axis, "count")
        figure.colorbar(points, ax=ax, label="sparsity (fraction of zeros)", shrink=0.8)
    _told(axes[-1], found)
    key(figure, more=_handles(looks, bool(far.any()), posterior is not None))
    warn(figure, found.notes if posterior is None else [*found.notes, *read_notes(posterior.attrs)])
    return figure


def _trained(ax: "Axes", runs: xr.Dataset) -> None:
    """The runs there are, and the range that they span."""
    from matplotlib.patches import Rectangle

    size, data = runs["nonzero_params"].to_numpy(), runs["data_seen"].to_numpy()
    ax.plot(size, data, ls="", marker=".", ms=5, color=GREY, alpha=0.5, zorder=1)
    corner, extent = (size.min(), data.min()), (np.ptp(size), np.ptp(data))
    ax.add_patch(Rectangle(corner, *extent, fill=False, ls=":", ec=GREY, lw=1.2))


def _picks(ax: "Axes", runs: xr.Dataset, far: np.ndarray, looks: dict[str, dict[str, Any]]) -> Any:
    """The picks by rank; those at one place share a label."""
    size, data, sparsity = (runs[n].to_numpy() for n in ("nonzero_params", "data_seen", "sparsity"))
    kind = runs["structure"].to_numpy()
    points = None
    for name, look in looks.items():
        k = kind == name
        style: dict[str, Any] = {
            "marker": look["marker"],
            "s": 110,
            "cmap": "viridis",
            "vmin": 0.0,
            "vmax": 1.0,
            "zorder": 3,
        }
        drawn = ax.scatter(size[k], data[k], c=sparsity[k], edgecolors="black", linewidths=0.8, **style)
        points = drawn if points is None or k.any() else points
    ax.scatter(size[far], data[far], s=330, facecolors="none", edgecolors=COLOURS[1], lw=1.6, zorder=2)
    ranks: dict[tuple[float, float], list[str]] = {}
    for n, d, rank in zip(size.tolist(), data.tolist(), runs["rank"].to_numpy().tolist(), strict=True):
        ranks.setdefault((n, d), []).append(str(rank))
    for at, here in ranks.items():
        ax.annotate(", ".join(here), at, xytext=(9, 9), textcoords="offset points", fontweight="bold", zorder=4)
    return points


def _told(ax: "Axes", found: NextRuns) -> None:
    """The measure of the target after each pick."""
    spent = np.concatenate([[0.0], found.runs["cumulative_flops"].to_numpy()])
    left = np.concatenate([[found.before], found.runs["after"].to_numpy()])
    ax.step(spent, left, where="post", color=COLOURS[0], lw=1.8)
    ax.plot(spent, left, ls="", marker="o", color=COLOURS[0])
    for x, y, rank in zip(spent[1:], left[1:], found.runs["rank"].to_numpy().tolist(), strict=True):
        ax.annotate(str(rank), (x, y), xytext=(3, 5), textcoords="offset points", fontweight="bold")
    now = f"now {found.now['median']:.3g} [{found.now['lower']:.3g}, {found.now['upper']:.3g}], {percent(found.prob)}"
    unit = "" if found.target.units == "1" else f" ({text(found.target.units)})"
    ax.set(xlabel="training FLOPs spent", ylabel=f"{found.measure} expected{unit}")
    ax.set(ylim=(0, 1.1 * found.before))
    target = textwrap.fill(text(found.target, 150), 55)
    ax.set_title(f"{target}\n{now}", fontsize="medium")


def _handles(looks: dict[str, dict[str, Any]], far: bool, trained: bool) -> list[object]:
    from matplotlib.lines import Line2D

    handles: list[object] = [
        Line2D([], [], ls="", marker=look["marker"], ms=8, color="white", mec="black", label=shown)
        for look, shown in zip(looks.values(), distinct(looks), strict=True)
    ]
    if far:
        handles.append(Line2D([], [], ls="", marker="o", ms=14, mfc="none", mec=COLOURS[1], mew=1.6, label=BEYOND))
    if trained:
        handles.append(Line2D([], [], ls=":", marker=".", color=GREY, label="runs trained, and their range"))
    return handles
