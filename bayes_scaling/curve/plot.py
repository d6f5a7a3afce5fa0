"""Pictures of learning curves and what comes next."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_scaling.curve.predict import predict
from bayes_scaling.curve.table import points_of
from bayes_scaling.errors import InputError
from bayes_scaling.intervals import PROB
from bayes_scaling.plots.axes import log_ticks
from bayes_scaling.plots.style import text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot"]

ACROSS = 4
"""Panels side by side."""

MOST_PANELS = 24

SEEN, FORECAST, LATER = "#000000", "#0072B2", "#D55E00"
"""Okabe and Ito's colours."""


def plot(
    posterior: xr.DataTree,
    curves: Sequence[str] | None = None,
    *,
    later: Any = None,
    columns: Mapping[str, str] | None = None,
    times: float = 4.0,
    prob: float = PROB,
) -> "Figure":
    """Points of each curve, and forecasts of new points beyond.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    curves : sequence of str, optional
        Which; all, but no more than 24, by default.
    later : path, DataFrame, Dataset or list of dicts, optional
        Points that were measured later, as `fit` takes them.
    columns : dict of str to str, optional
        As of `fit`, for ``later``.
    times : float
        How far forecasts go, as a multiple of a curve's last x.
    prob : float
        Probability of the intervals.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        A curve is not in the posterior, or ``times`` is not above 1.
    """
    import matplotlib.pyplot as plt

    there = posterior["posterior"]["curve"].to_numpy().tolist()
    names = there[:MOST_PANELS] if curves is None else list(curves)
    if unknown := [name for name in names if name not in there]:
        raise InputError(f"curve {unknown[0]!r} is not in the posterior")
    if not times > 1:
        raise InputError(f"times is {times}; forecasts go beyond the last x, so it is above 1")
    measured = {} if later is None else points_of(later, columns)
    rows = -(-len(names) // ACROSS)
    across = min(ACROSS, len(names))
    figure, axes = plt.subplots(rows, across, figsize=(3.1 * across, 2.6 * rows), squeeze=False, layout="constrained")
    log_x = posterior["constant_data"]["log_x"].sel(curve=names)
    span = np.linspace(0, np.log(times), 60)
    ahead = xr.DataArray(np.exp(log_x.max("point") + xr.DataArray(span, dims="x")))
    found = predict(posterior, ahead, prob=prob)
    for axis in axes.flat[len(names) :]:
        axis.remove()
    label = f"forecast of new points, {prob:.0%} interval"
    for axis, name in zip(axes.flat, names, strict=False):
        seen = np.exp(posterior["observed_data"]["log_loss"].sel(curve=name))
        band, x = found.sel(curve=name), ahead.sel(curve=name)
        axis.fill_between(x, band["lower"], band["upper"], color=FORECAST, alpha=0.25, lw=0, label=label)
        axis.plot(np.exp(log_x.sel(curve=name)), seen, "o", ms=2.5, color=SEEN, label="fitted")
        if name in measured:
            axis.plot(*measured[name], "D", ms=2, mew=0, color=LATER, alpha=0.6, label="measured later")
        axis.plot(x, band["median"], color=FORECAST, lw=1.6)
        axis.set(xscale="log", yscale="log")
        log_ticks(axis.xaxis, "count")
        log_ticks(axis.yaxis, "number")
        axis.set_title(text(name), fontsize="small")
        axis.tick_params(labelsize="x-small", which="both")
    figure.supxlabel("x", fontsize="small")
    figure.supylabel("loss", fontsize="small")
    handles = {
        mark.get_label(): mark for axis in axes.flat[: len(names)] for mark in axis.get_legend_handles_labels()[0]
    }
    figure.legend(handles=list(handles.values()), loc="outside upper center", ncols=3, frameon=False, fontsize="small")
    return figure
