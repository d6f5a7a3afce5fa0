"""Measured against predicted loss."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayes_scaling.intervals import PROB, check_prob
from bayes_scaling.notes import read_notes
from bayes_scaling.plots.axes import LOSS, log_ticks
from bayes_scaling.plots.questions import needs
from bayes_scaling.plots.style import GREY, distinct, headed, look_of, panels, percent, warn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_measured"]


def plot_measured(posterior: xr.DataTree, *, prob: float = PROB) -> "Figure":
    """Measured against predicted loss of the runs that were fitted, one panel per modality.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    prob : float
        Probability of the intervals of new runs.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If ``prob`` does not lie between 0 and 1, or the posterior has no predictions of its runs.
    """
    tail = (1 - check_prob(prob)) / 2
    needs(posterior, "posterior_predictive", "plot_measured")
    runs = posterior["constant_data"].to_dataset()
    measured = np.exp(posterior["observed_data"]["log_loss"].to_numpy())
    draws = posterior["posterior_predictive"]["log_loss"].to_numpy()
    lower, median, upper = np.exp(np.quantile(draws, [tail, 0.5, 1 - tail], axis=(0, 1)))
    modality, structure = runs["modality"].to_numpy(), runs["structure"].to_numpy()
    levels = list(dict.fromkeys(modality.tolist()))
    looks = look_of(structure.tolist())
    figure, axes = panels(len(levels))
    for ax, name in zip(axes, levels, strict=True):
        mine = modality == name
        here = [kind for kind in looks if kind in structure[mine]]
        for kind, shown in zip(here, distinct(here), strict=True):
            k = mine & (structure == kind)
            ax.errorbar(
                measured[k], median[k], [median[k] - lower[k], upper[k] - median[k]],
                fmt=looks[kind]["marker"], color=looks[kind]["color"], ms=5, lw=0.8, alpha=0.75, label=shown,
            )  # fmt: skip
        ends = np.array([min(lower[mine].min(), measured[mine].min()), max(upper[mine].max(), measured[mine].max())])
        ax.plot(ends, ends, color=GREY, lw=1, zorder=0)
        inside = int(((measured >= lower) & (measured <= upper))[mine].sum())
        ax.set(
            xscale="log", yscale="log", xlabel=f"measured {LOSS}",
            title=headed(name, f"{inside} of {mine.sum()} fitted runs ({inside / mine.sum():.0%}) inside"),
        )  # fmt: skip
        for axis in (ax.xaxis, ax.yaxis):
            log_ticks(axis, "number")
        ax.legend(title="structure", frameon=False)
    axes[0].set_ylabel(f"predicted for a new run, {percent(prob)} interval")
    warn(figure, read_notes(posterior.attrs))
    return figure
