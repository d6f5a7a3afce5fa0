"""How the loss fell along the training of each run."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.plots.axes import SPARSITY, log_ticks
from bayes_scaling.plots.style import grid_of, key

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_learning_curves"]

NEEDED = ("data_seen", "train_loss", "heldout_loss", "sparsity")


def plot_learning_curves(curves: xr.Dataset) -> "Figure":
    """Training loss over data, with the held-out losses, and the sparsity in force; colours are final sparsities.

    Parameters
    ----------
    curves : Dataset
        From `load_curves`; a part of it shows some runs only.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If a variable is missing, or no run has a point of finite loss.
    """
    import matplotlib as mpl
    from matplotlib.lines import Line2D

    if missing := [name for name in NEEDED if name not in getattr(curves, "variables", ())]:
        raise InputError(f"curves has no {', '.join(missing)}; it comes from bayes_scaling.load_curves")
    figure, ((left, right),) = grid_of(1, 2, width=5.4, height=4.4)
    colours = mpl.colormaps["viridis"]
    drawn = 0
    for i in range(curves.sizes.get("run", 0)):
        data, loss, held_out, sparsity = (curves[name].isel(run=i).to_numpy() for name in NEEDED)
        there = np.isfinite(data) & np.isfinite(loss) & (data > 0) & (loss > 0)
        if not there.any():
            continue
        drawn += 1
        known = sparsity[there & np.isfinite(sparsity)]
        colour = colours(float(known[-1]) if known.size else 0.0)
        left.plot(data[there], loss[there], color=colour, lw=1, alpha=0.8)
        ends = np.isfinite(data) & np.isfinite(held_out) & (data > 0) & (held_out > 0)
        left.plot(data[ends], held_out[ends], ls="", marker="D", ms=4.5, color=colour, mec="black", mew=0.6, zorder=3)
        right.plot(data[there], sparsity[there], color=colour, lw=1, alpha=0.8)
    if not drawn:
        raise InputError("curves has no run with a point of finite loss, so there is nothing to draw")
    left.set(xscale="log", yscale="log", ylabel="loss (nats)", title=f"{drawn} runs")
    right.set(xscale="log", ylabel=f"{SPARSITY} in force", ylim=(-0.02, 1.0))
    for ax in (left, right):
        ax.set_xlabel(f"training data ({curves['data_seen'].attrs.get('units', 'tokens or examples')})")
        log_ticks(ax.xaxis, "count")
    log_ticks(left.yaxis, "number")
    figure.colorbar(
        mpl.cm.ScalarMappable(mpl.colors.Normalize(0.0, 1.0), colours), ax=right, label="sparsity at the end"
    )
    training = Line2D([], [], color="0.4", lw=1, label="training loss, mean since the point before")
    held = Line2D([], [], ls="", marker="D", ms=4.5, color="0.7", mec="black", mew=0.6, label="held-out loss")
    key(figure, more=[training, held])
    return figure
