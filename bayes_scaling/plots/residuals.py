"""What the law leaves of the runs, over each axis of the design."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayes_scaling.checks.levels import levels
from bayes_scaling.intervals import PROB, check_prob
from bayes_scaling.notes import read_notes
from bayes_scaling.plots.axes import axes_asked, labels, log_ticks, nats_of
from bayes_scaling.plots.questions import modalities_of, needs, runs_of
from bayes_scaling.plots.style import GREY, distinct, grid_of, key, look_of, percent, text, warn
from bayes_scaling.predict import expected_loss
from bayes_scaling.runs import diverged

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_residuals"]

MOST_LEVELS = 12
"""Of an axis with more levels than that, the mean at each would be a second cloud of points."""


def plot_residuals(
    posterior: xr.DataTree,
    axes: str | Sequence[str] | None = None,
    *,
    modality: str | Sequence[str] | None = None,
    prob: float = PROB,
) -> "Figure":
    """How far the runs lie off the law, over size, data and sparsity; a row of panels per modality.

    A trend along an axis, seen in the means of its levels, is something that the law misses.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    axes : str or sequence of str, optional
        Any of ``nonzero_params``, ``data_seen`` and ``sparsity``; all unless said, of a dense law the first two.
    modality : str or sequence of str, optional
        Which; all that the posterior has unless said.
    prob : float
        Probability of the band, in which new runs would lie if the law were true.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If a modality or an axis is not known, ``prob`` does not lie between 0 and 1, or the posterior has no
        predictions of its runs.
    """
    tail = (1 - check_prob(prob)) / 2
    needs(posterior, "posterior_predictive", "plot_residuals")
    columns = axes_asked(posterior, axes)
    modalities = modalities_of(posterior, modality)
    of_run = posterior["constant_data"]["modality"].to_numpy()
    table = posterior["runs"].to_dataset()
    finished = table.isel(run=np.flatnonzero(~diverged(table).to_numpy()))
    law = expected_loss(posterior, finished.assign(modality=("run", of_run))).median(("chain", "draw")).to_numpy()
    replicated = posterior["posterior_predictive"]["log_loss"] - np.log(law)
    notes = read_notes(posterior.attrs)
    figure, grid = grid_of(len(modalities), len(columns), sharey="row")
    for row, name in zip(grid, modalities, strict=True):
        mine = of_run == name
        runs = runs_of(posterior, name)
        off = 100 * (runs["loss"].to_numpy() / law[mine] - 1)
        low, high = 100 * np.expm1(np.quantile(replicated.isel(run=np.flatnonzero(mine)), [tail, 1 - tail]))
        trends = [note.about for note in notes if note.code == "residual_trend"]
        missed = {about.get("column") for about in trends if about.get("modality") == name}
        for ax, column in zip(row, columns, strict=True):
            ax.axhspan(low, high, color=GREY, alpha=0.15, lw=0)
            ax.axhline(0, color=GREY, lw=0.8)
            _points(ax, runs, column, off)
            ax.set_xlabel(labels(runs)[column])
            if column in missed:
                ax.set_title("the law misses this trend", fontsize="medium", fontweight="bold")
            if column != "sparsity":
                ax.set_xscale("log")
                log_ticks(ax.xaxis, "count")
        inside = int(((off >= low) & (off <= high)).sum())
        row[0].set_ylabel(f"{text(name)}\nmeasured loss off the law (%)")
        row[0].set_title(f"{inside} of {off.size} inside", loc="left", fontsize="small")
        row[0].legend(frameon=False, fontsize="small")
    key(figure, band=f"{percent(prob)} of new runs, if the law is true", more=[_mean_handle()])
    warn(figure, notes)
    return figure


def _points(ax: "Axes", runs: xr.Dataset, column: str, off: np.ndarray) -> None:
    """Runs by structure, and the mean at each level of the axis."""
    values, structure = runs[column].to_numpy().astype(float), runs["structure"].to_numpy()
    looks = look_of(structure.tolist())
    for (kind, look), shown in zip(looks.items(), distinct(looks), strict=True):
        k = structure == kind
        ax.plot(values[k], off[k], ls="", ms=4.5, alpha=0.6, label=shown, mew=0.5, mec="white", **look)
    of_level = levels(nats_of(column, values))
    used = np.unique(of_level)
    if used.size <= MOST_LEVELS:
        at = [values[of_level == i].mean() for i in used]
        ax.plot(at, [off[of_level == i].mean() for i in used], color="black", lw=1.1, marker="_", ms=11, mew=2)


def _mean_handle() -> object:
    from matplotlib.lines import Line2D

    return Line2D([], [], color="black", lw=1.1, marker="_", ms=11, mew=2, label="mean at a level")
