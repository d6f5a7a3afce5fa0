"""Pictures of studies: steps over batch sizes, compositions of a total, and double descent."""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_scaling.intervals import PROB, check_prob, interval
from bayes_scaling.studies import batch, mixture, solvable
from bayes_scaling.studies.fitting import settings_of, table_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_descent", "plot_mixture", "plot_steps", "shades"]

RIDGES = (0.0, 0.1, "optimal")


def plot_steps(posterior: xr.DataTree, *, prob: float = PROB) -> "Figure":
    """Steps to the target over the batch size, with intervals of the law, and where each critical batch size lies.

    Parameters
    ----------
    posterior : DataTree
        From `batch.fit`.
    prob : float
        Probability of the intervals.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt

    settings_of(posterior, batch.LAW)
    runs, critical = table_of(posterior), batch.critical_batch(posterior)
    groups = critical["group"].to_numpy().tolist()
    tried = runs["batch_size"].to_numpy()
    sizes = np.geomspace(tried.min() / 1.5, tried.max() * 1.5, 80)
    tail = (1 - check_prob(prob)) / 2
    low, middle, high = batch.predict(posterior, sizes).quantile([tail, 0.5, 1 - tail], ("chain", "draw")).to_numpy()
    figure, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
    for i, (group, colour) in enumerate(zip(groups, shades(len(groups)), strict=True)):
        mine = runs.isel(run=np.flatnonzero(runs["group"].to_numpy() == group))
        told = interval(critical.sel(group=group), prob)
        label = f"{_text(group)}: {told['median']:,.0f} [{told['lower']:,.0f}, {told['upper']:,.0f}]"
        ax.fill_between(sizes, low[i], high[i], color=colour, alpha=0.3, lw=0)
        ax.plot(sizes, middle[i], color=colour, lw=1.2, label=label)
        got_there = mine["steps_to_target"].notnull().to_numpy()
        batches, steps = mine["batch_size"].to_numpy(), mine["steps_trained"].to_numpy()
        ax.plot(batches[got_there], steps[got_there], "o", color=colour, ms=4)
        ax.plot(batches[~got_there], steps[~got_there], "^", color=colour, mfc="white", ms=6)
        at = float(np.interp(np.log(told["median"]), np.log(sizes), np.log(middle[i])))
        ax.errorbar(
            told["median"], np.exp(at), xerr=[[told["median"] - told["lower"]], [told["upper"] - told["median"]]],
            fmt="D", color="black", mfc=colour, ms=6, capsize=3, zorder=3,
        )  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="batch size (unit of the table)", ylabel="steps to the target loss")
    ax.set_title(f"Steps over batch size; diamonds: critical batch sizes, {prob:.0%} intervals", fontsize=11)
    ax.legend(title="critical batch size", frameon=False, fontsize=9)
    return figure


def plot_mixture(
    posterior: xr.DataTree, total: float | None = None, *, floor: float = 0.2, prob: float = PROB
) -> "Figure":
    """The best composition of a total: what is recommended, and where every draw's own optimum lies.

    Parameters
    ----------
    posterior : DataTree
        From `mixture.fit`.
    total, floor
        As of `mixture.optimal_weights`.
    prob : float
        Probability of the intervals.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt

    best = mixture.optimal_weights(posterior, total, floor=floor)
    base = table_of(posterior)["base"]
    order = np.argsort(best["recommended_weight"].to_numpy())
    figure, ax = plt.subplots(figsize=(7, 0.7 + 0.45 * (len(order) + 1)), layout="constrained")
    for row, i in enumerate(order.tolist()):
        told = interval(best["weight"].isel(domain=i), prob)
        ax.plot([told["lower"], told["upper"]], [row, row], color="#0072B2", lw=5, alpha=0.45, solid_capstyle="butt")
        least = floor * float(base[i]) / best.attrs["total"]
        ax.plot([least, least], [row - 0.25, row + 0.25], color="0.45", lw=1.5)
    share = best["recommended_weight"].to_numpy()[order]
    ax.plot(share, range(len(order)), "D", color="#D55E00", ms=6)
    ax.plot((base / base.sum()).to_numpy()[order], range(len(order)), "|", color="black", ms=12, mew=1.5)
    ax.set_yticks(range(len(order)), [_text(best["domain"].to_numpy()[i]) for i in order.tolist()])
    ax.set(xlabel=f"weight of the domain in a total of {best.attrs['total']:g}", xlim=(0, None))
    loss = interval(best["relative_loss"], prob)
    figure.suptitle(  # of the figure, not of axes that long names of domains push aside
        f"Diamond: recommended, loss {loss['median']:.3f} [{loss['lower']:.3f}, {loss['upper']:.3f}] of the base's;\n"
        f"bar: the optimum, {prob:.0%} interval; black: base composition; grey: floor",
        fontsize=10,
    )
    return figure


def plot_descent(model: solvable.Model, samples: int, ridges: tuple[Any, ...] = RIDGES) -> "Figure":
    """Expected loss of the solvable model over its features, at several ridges, beside single trained runs.

    Parameters
    ----------
    model : Model
    samples : int
        Examples, T.
    ridges : tuple of float or "optimal"
        A curve each.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt

    ends = (max(2, samples // 20), 4 * max(samples, model.latent))
    features = np.unique(np.round(np.geomspace(*ends, 120)).astype(int))
    features = features[features != samples]
    trained = np.unique(np.round(np.geomspace(ends[0], samples * 4, 14)).astype(int))
    figure, ax = plt.subplots(figsize=(7, 4.4), layout="constrained")
    for i, (ridge, colour) in enumerate(zip(ridges, shades(len(ridges)), strict=True)):
        ax.plot(features, solvable.expected_loss(model, features, samples, ridge), color=colour, label=f"ridge {ridge}")
        losses = solvable.simulate(model, trained.tolist(), [samples], ridge=ridge, seed=i)
        ax.plot(losses["nonzero_params"], losses["loss"], "o", color=colour, ms=4)
    ax.axvline(samples, color="0.5", lw=1, ls=":")
    ax.axvline(model.latent, color="0.5", lw=1, ls="--")
    ax.text(samples, 0.02, " N = T", transform=ax.get_xaxis_transform(), va="bottom", color="0.35")
    ax.text(model.latent, 0.02, " N = M", transform=ax.get_xaxis_transform(), va="bottom", color="0.35")
    ax.set(xscale="log", yscale="log", xlabel="features, N", ylabel="held-out squared error")
    ax.set_title(f"Exact expected loss (lines) and single runs (points), T = {samples} examples", fontsize=11)
    ax.legend(frameon=False)
    return figure


def shades(number: int) -> list[Any]:
    """Colours in an order, from dark to light, that stay visible on white."""
    import matplotlib as mpl

    return list(mpl.colormaps["viridis"](np.linspace(0.0, 0.85, number)))


def _text(name: Any) -> str:
    """A name as it stands: matplotlib takes dollars for mathematics."""
    return str(name).replace("$", r"\$")
