"""Pictures of what fine-tuning and regularisers do: effective data, fine-tuning curves, and effects on spectra."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_scaling.intervals import PROB, check_prob, interval
from bayes_scaling.plots.style import COLOURS, MARKERS, distinct, text
from bayes_scaling.studies import effects, rectified, transfer
from bayes_scaling.studies.fitting import settings_of, table_of
from bayes_scaling.studies.plots import shades

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_effects", "plot_rectified", "plot_transfer"]

BEYOND = 2.0
"""How far lines go on beyond the data, as a factor."""


def _band(draws: xr.DataArray, prob: float) -> Any:
    tail = (1 - check_prob(prob)) / 2
    return draws.quantile([tail, 0.5, 1 - tail], ("chain", "draw"))


def plot_transfer(posterior: xr.DataTree, *, group: str | None = None, prob: float = PROB) -> "Figure":
    """What a pretrained start multiplies data by, over the data fine-tuned on: the law, and run by run.

    Parameters
    ----------
    posterior : DataTree
        From `transfer.fit`.
    group : str, optional
        Of fine-tuned runs; the first unless said.
    prob : float
        Probability of the intervals.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullLocator

    found = transfer.effective_data(posterior)
    groups = posterior["posterior"]["group"].to_numpy().tolist()
    group = groups[0] if group is None else group
    found = found.isel(run=np.flatnonzero(found["group"].to_numpy() == group))
    data, sizes = found["finetune_data"].to_numpy(), np.unique(found["nonzero_params"].to_numpy())
    over = np.geomspace(data.min() / BEYOND, data.max() * BEYOND, 60)
    law = transfer.multiplier(posterior, nonzero_params=sizes, finetune_data=over).sel(group=group)
    low, middle, high = _band(law, prob).transpose("quantile", "nonzero_params", "finetune_data").to_numpy()
    figure, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
    for i, (size, colour) in enumerate(zip(sizes, shades(len(sizes)), strict=True)):
        ax.fill_between(over, low[i], high[i], color=colour, alpha=0.25, lw=0)
        ax.plot(over, middle[i], color=colour, lw=1.4, label=f"N = {size:,.0f}")
        for run in np.flatnonzero(found["nonzero_params"].to_numpy() == size).tolist():
            told = interval(found.isel(run=run) / data[run], prob)
            # Runs of one cell, and sizes, stand beside each other.
            at = data[run] * 1.06 ** (i - (len(sizes) - 1) / 2)
            ax.plot([at, at], [told["lower"], told["upper"]], color=colour, lw=1)
            ax.plot(at, told["median"], "o", color=colour, ms=4)
    ax.axhline(1, color="0.4", lw=1, ls="--")
    ax.text(over[0], 1, " as good as from scratch", va="bottom", color="0.35", fontsize=9)
    ax.set(xscale="log", yscale="log", xlabel="data fine-tuned on, D_F (unit of the table)")
    ax.set_ylabel("(D_F + D_T) / D_F")
    ax.set_ylim(bottom=min(0.5, float(middle.min()) / 2))
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())
    named = f" of {text(group)}" if len(groups) > 1 else ""
    ax.set_title(f"Worth of a pretrained start{named}: the law, and runs (points); {prob:.0%} intervals", fontsize=11)
    ax.legend(frameon=False)
    return figure


def plot_rectified(
    posterior: xr.DataTree, *, groups: Sequence[str] | None = None, most: int = 6, prob: float = PROB
) -> "Figure":
    """Fine-tuning curves: losses, the law with its interval, and where half of what can be learnt is.

    Parameters
    ----------
    posterior : DataTree
        From `rectified.fit`.
    groups : sequence of str, optional
        Curves to show; unless said, as many as ``most``, evenly chosen by their loss at the end.
    most : int
        How many that are.
    prob : float
        Probability of the intervals.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt

    settings_of(posterior, rectified.LAW)
    runs = table_of(posterior)
    data = runs["finetune_data"].to_numpy()
    over = np.geomspace(data.min() / BEYOND, data.max() * BEYOND**2, 80)
    losses = rectified.predict(posterior, over)
    if groups is None:
        ends = losses.sel(finetune_data=data.max(), method="nearest").median(("chain", "draw"))
        order = ends["group"].to_numpy()[np.argsort(ends.to_numpy())]
        few = np.unique(np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int))
        groups = order[few][::-1].tolist()
    low, middle, high = _band(losses.sel(group=list(groups)), prob).to_numpy()
    figure, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
    for i, (group, name, colour) in enumerate(zip(groups, distinct(groups), shades(len(groups)), strict=True)):
        mine = runs.isel(run=np.flatnonzero(runs["group"].to_numpy() == group))
        ax.fill_between(over, low[i], high[i], color=colour, alpha=0.3, lw=0)
        ax.plot(over, middle[i], color=colour, lw=1.2, label=name)
        ax.plot(mine["finetune_data"], mine["loss"], "o", color=colour, ms=4)
        half = float(posterior["posterior"]["half_data"].sel(group=group).median())
        if over[0] < half < over[-1]:
            ax.plot(
                half, np.interp(np.log(half), np.log(over), middle[i]), "D", color="black", mfc=colour, ms=7, zorder=3
            )
    ax.axvspan(data.max(), over[-1], color="0.93", zorder=0)
    ax.set(xscale="log", yscale="log", xlim=(over[0], over[-1]), xlabel="fine-tuning data (unit of the table)")
    ax.set_ylabel("held-out loss")
    ax.set_title(
        f"{prob:.0%} intervals of the law; diamonds: half learnt; grey: beyond the data",
        fontsize=10,
    )
    ax.legend(frameon=False, fontsize=9)
    return figure


def plot_effects(posterior: xr.DataTree, *, knob: str = effects.DATA, prob: float = PROB) -> "Figure":
    """Effects of every knob on every figure with their intervals, and how alike a knob is to each other one.

    Parameters
    ----------
    posterior : DataTree
        From `effects.fit`.
    knob : str
        The one that others are compared with.
    prob : float
        Probability of the intervals.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt

    alike = effects.similarity(posterior, knob)
    effect = posterior["posterior"]["effect"]
    low, middle, high = _band(effect.transpose("chain", "draw", "knob", "figure"), prob).to_numpy()
    knobs, figures = effect["knob"].to_numpy().tolist(), effect["figure"].to_numpy().tolist()
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.5, 0.8 + 0.75 * len(figures)), width_ratios=(2.4, 1), layout="constrained"
    )
    places = np.arange(len(figures))[::-1].astype(float)
    colours = dict(zip(knobs, (COLOURS * len(knobs))[: len(knobs)], strict=True))
    for i, name in enumerate(knobs):
        at = places + 0.13 * ((len(knobs) - 1) / 2 - i)
        left.hlines(at, low[i], high[i], color=colours[name], lw=2)
        left.plot(
            middle[i], at, MARKERS[i % len(MARKERS)], color=colours[name], ms=5, label=text(name.replace("_", " "))
        )
    left.axvline(0, color="0.4", lw=1)
    left.set_yticks(places, [text(name.replace("_", " ")) for name in figures])
    left.set_xlabel("effect from least to most, sd over runs")
    left.legend(frameon=False, fontsize=9, loc="best")
    for i, name in enumerate(alike["knob"].to_numpy().tolist()):
        told = interval(alike.sel(knob=name), prob)
        right.plot([told["lower"], told["upper"]], [-i, -i], color=colours[name], lw=5, alpha=0.5)
        right.plot(told["median"], -i, MARKERS[knobs.index(name) % len(MARKERS)], color=colours[name], ms=7)
    right.axvline(0, color="0.4", lw=1)
    names = [text(name.replace("_", " ")) for name in alike["knob"].to_numpy().tolist()]
    right.set_yticks(-np.arange(len(names)), names)
    right.set(xlim=(-1.05, 1.05), ylim=(-len(names) + 0.5, 0.5), xlabel=f"cosine with {text(knob.replace('_', ' '))}")
    left.set_title(f"What moves the spectra of weights; {prob:.0%} intervals", fontsize=11)
    right.set_title("Who does alike", fontsize=11)
    return figure
