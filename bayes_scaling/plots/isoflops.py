"""Loss at a fixed budget, over sparsity or over size, and where its minimum may lie."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import xarray as xr

from bayes_scaling.checks.levels import SAME, levels
from bayes_scaling.decide import costs
from bayes_scaling.decide.optimum import cost_of, optimal_sparsity
from bayes_scaling.decide.question import Question
from bayes_scaling.decide.thresholds import dense_optimal_flops
from bayes_scaling.display import count
from bayes_scaling.errors import InputError
from bayes_scaling.groups import law_of, names_of
from bayes_scaling.intervals import PROB, check_prob
from bayes_scaling.notes import read_notes
from bayes_scaling.plots.axes import LOSS, band, labels, log_ticks, outside, power
from bayes_scaling.plots.losses import losses_at
from bayes_scaling.plots.questions import law_that_prunes, modalities_of, quantiles, runs_of
from bayes_scaling.plots.style import headed, key, panels, percent, shades, text, warn
from bayes_scaling.structures import check_structure, pattern_sparsity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_isoflops"]

Over = Literal["sparsity", "nonzero_params"]

BUDGETS = 4
FURTHER = 10.0
"""End of the default budgets, as a multiple of the largest one trained."""

POINTS = 60
SPAN = 10.0
"""Sizes are drawn that far to either side of those compute-optimal."""

SIZES = np.geomspace(1e2, 1e14, 5)
"""Where optimal budgets of dense models are worked out: their logs are all but straight lines over log size."""

LEAST, MOST = 1e-60, 1e120
"""Between which budgets of a draw are kept, so that they have a log; no question comes near."""


def plot_isoflops(
    posterior: xr.DataTree,
    train_flops: float | Sequence[float] | None = None,
    *,
    over: Over | None = None,
    nonzero_params: float | None = None,
    modality: str | Sequence[str] | None = None,
    structure: str | None = None,
    cost: str | costs.Cost = "gradual",
    flops_per_unit: float | None = None,
    prob: float = PROB,
) -> "Figure":
    """Curves of equal training budget, each with its minimum and the interval in which that may lie.

    Over sparsity the size is fixed, and what sparsity costs is paid for with data. Over size the models are dense, and
    what size costs is paid for with data. One panel per modality; points are runs within 10 % of a curve.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    train_flops : float or sequence of float, optional
        Budgets; unless said, four from the smallest one trained to ten times the largest.
    over : {"sparsity", "nonzero_params"}, optional
        The axis; ``sparsity`` unless said, of a dense law ``nonzero_params``.
    nonzero_params : float, optional
        Size of the model, over sparsity; the largest one trained unless said.
    modality : str or sequence of str, optional
        Which; all that the posterior has unless said.
    structure : str, optional
        Of the sparse models; the posterior's first whose sparsity is free unless said.
    cost : str or Cost
        How sparsity changes the cost of training; see `decide.costs`.
    flops_per_unit : float, optional
        FLOPs per non-zero parameter and token or example; 6 unless said.
    prob : float
        Probability of the bands, and of the optimum's interval.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If a law of dense models is asked for sparsity, a structure is a pattern n:m, which has one sparsity, a size or
        structure comes with the axis of sizes, or an argument is out of range.
    """
    check_prob(prob)
    axis = over or ("sparsity" if law_of(posterior).prunes else "nonzero_params")
    if axis not in get_args(Over):
        raise InputError(f"over is {over!r}; it is one of {', '.join(get_args(Over))}")
    if axis == "sparsity":
        law_that_prunes(posterior, "isoFLOP curve over sparsity")
    else:
        for name, value in (("nonzero_params", nonzero_params), ("structure", structure)):
            if value is not None:
                raise InputError(f"{name} is {value!r}; it goes with over='sparsity', not {axis!r}")
    kind = _free(posterior, structure) if axis == "sparsity" else "dense"
    how = cost_of(posterior, cost).for_structure(kind)
    modalities = modalities_of(posterior, modality)
    figure, axes = panels(len(modalities))
    beyond = []
    for ax, name in zip(axes, modalities, strict=True):
        runs = runs_of(posterior, name)
        size = float(runs["nonzero_params"].max()) if nonzero_params is None else nonzero_params
        question = Question.of(size, 1.0, how, flops_per_unit)
        budgets = _budgets(runs, question, axis) if train_flops is None else np.atleast_1d(train_flops)
        question = replace(question, train_flops=Question.of(1.0, budgets).train_flops)
        view = _View(posterior, name, kind, axis, question)
        beyond.append(_panel(ax, view, prob))
        fixed = f"{count(size)} non-zero parameters, {text(kind)}" if axis == "sparsity" else "dense models"
        ax.set(title=headed(name, fixed), xlabel=labels(runs)[axis])
    axes[0].set_ylabel(LOSS)
    shown = percent(prob)
    key(figure, band=f"{shown} interval, expected loss", beyond=any(beyond), more=[_optimum_handle(shown)])
    warn(figure, read_notes(posterior.attrs))
    return figure


@dataclass(frozen=True)
class _View:
    """One panel: its axis, and a question of one size, or of none, and several budgets."""

    posterior: xr.DataTree
    modality: str
    structure: str
    axis: str
    question: Question

    @property
    def budgets(self) -> np.ndarray:
        return np.asarray(self.question.train_flops)

    def optimum(self) -> xr.DataArray:
        """Draws of the minimum, over the budgets."""
        per_unit = self.question.flops_per_unit
        if self.axis == "sparsity":
            size = float(self.question.nonzero_params)
            how: dict[str, Any] = {"cost": self.question.cost, "flops_per_unit": per_unit}
            return optimal_sparsity(self.posterior, size, self.budgets, self.modality, self.structure, **how)
        of_size = dense_optimal_flops(self.posterior, SIZES, self.modality, flops_per_unit=per_unit)
        rows = np.log(of_size.transpose("chain", "draw", ...).clip(LEAST, MOST).to_numpy()).reshape(-1, SIZES.size)
        rows += 1e-9 * np.arange(SIZES.size)  # rising also where they were cut off
        log_size = np.array([_crossing(np.log(self.budgets), row, np.log(SIZES)) for row in rows])
        shape = (of_size.sizes["chain"], of_size.sizes["draw"], self.budgets.size)
        return xr.DataArray(np.exp(log_size).reshape(shape), dims=("chain", "draw", "train_flops"))

    def points(self, best: tuple[np.ndarray, ...], runs: xr.Dataset) -> np.ndarray:
        """Where the curves are worked out: where the runs and the optima are, and a little further."""
        if self.axis == "nonzero_params":
            return np.geomspace(best[0].min() / SPAN, best[2].max() * SPAN, POINTS)
        largest = max(float(runs["sparsity"].max()), float(best[2].max()))
        return -np.expm1(np.linspace(0.0, np.log1p(-largest) - np.log(2), POINTS))

    def where(self, x: np.ndarray, budget: float) -> dict[str, Any]:
        """Size, data and sparsity of the points that a budget pays for, data being NaN elsewhere."""
        sparse = self.axis == "sparsity"
        size, zeros = (float(self.question.nonzero_params), x) if sparse else (x, 0.0)
        data = replace(self.question, nonzero_params=size, train_flops=budget).data_seen(zeros)
        data = np.broadcast_to(np.asarray(data), x.shape)
        return {"nonzero_params": size, "data_seen": np.where(data >= 1, data, np.nan), "sparsity": zeros}

    def runs_at(self, runs: xr.Dataset, budget: float) -> xr.Dataset:
        """The runs that cost as much."""
        close = np.abs(np.log(_flops(runs, self.question)) - np.log(budget)) <= SAME
        if self.axis == "nonzero_params":
            close &= runs["sparsity"].to_numpy() == 0
        else:
            size = np.log(runs["nonzero_params"].to_numpy()) - np.log(float(self.question.nonzero_params))
            close &= (np.abs(size) <= SAME) & np.isin(runs["structure"].to_numpy(), [self.structure, "dense"])
        return runs.isel(run=np.flatnonzero(close))


def _panel(ax: "Axes", view: _View, prob: float) -> bool:
    """Draw one panel; whether a part of it lies beyond the runs."""
    runs = runs_of(view.posterior, view.modality)
    best = quantiles(view.optimum(), prob)
    x = view.points(best, runs)
    found = False
    heights: list[np.ndarray] = []
    for i, (budget, look) in enumerate(zip(view.budgets, shades(len(view.budgets)), strict=True)):
        where = view.where(x, budget)
        paid = np.isfinite(where["data_seen"])
        here = {name: np.broadcast_to(values, x.shape)[paid] for name, values in where.items()}
        edges = quantiles(losses_at(view.posterior, view.modality, view.structure, **here), prob)
        beyond = outside(view.posterior, view.modality, view.structure, **here, cost=view.question.cost)
        found |= bool(beyond.any())
        band(ax, x[paid], edges, beyond, color=look["color"], label=f"{power(budget)} FLOPs")
        low, median, high = (float(each[i]) for each in best)
        height = float(np.interp(median, x[paid], edges[1]))
        heights.append(np.array([height, edges[2][np.argmin(edges[1])]]))
        errors = [[median - low], [high - median]]
        ax.errorbar([median], [height], xerr=errors, **look, ms=8, mec="black", lw=2.2, capsize=4, zorder=4)
        seen = view.runs_at(runs, budget)
        if "loss" in seen and seen.sizes["run"]:
            ax.plot(seen[view.axis], seen["loss"], ls="", ms=6.5, mec="white", mew=0.7, zorder=3, **look)
    if view.axis == "nonzero_params":
        ax.set_xscale("log")
        log_ticks(ax.xaxis, "count")
    # What is of interest is near the minima; curves may leave the picture elsewhere.
    lows = np.array(heights)
    room = max(np.ptp(lows[:, 0]), 0.08 * lows[:, 0].max())
    ax.set_ylim(lows[:, 0].min() - 0.25 * room, lows[:, 0].max() + 0.9 * room)
    ax.legend(framealpha=0.9, edgecolor="none", fontsize="small", title="training budget", loc="upper center", ncols=2)
    return found


def _free(posterior: xr.DataTree, structure: str | None) -> str:
    """A structure whose sparsity is free."""
    names = [check_structure(name) for name in names_of(posterior, "structure", structure)]
    free = [name for name in names if pattern_sparsity(name) is None]
    if not free:
        raise InputError(
            f"structure {names[0]!r} has one sparsity, and an isoFLOP curve over sparsity needs one that is free"
        )
    return free[0]


def _flops(runs: xr.Dataset, question: Question) -> np.ndarray:
    size, data, sparsity = (runs[name].to_numpy() for name in ("nonzero_params", "data_seen", "sparsity"))
    return np.asarray(question.flops_per_unit * size * data * question.cost.multiplier(sparsity))


def _budgets(runs: xr.Dataset, question: Question, axis: str) -> np.ndarray:
    """Budgets that were trained, if they are a few with several runs each; else some around them."""
    flops = _flops(runs, question)
    if axis == "nonzero_params":
        of_level = levels(np.log(flops))
        often = np.flatnonzero(np.bincount(of_level) >= 3)
        if 2 <= often.size <= BUDGETS + 2 and np.isin(of_level, often).mean() > 0.8:
            return np.array([np.exp(np.log(flops[of_level == i]).mean()) for i in often])
        return np.geomspace(flops.min(), FURTHER * flops.max(), BUDGETS)
    # The data of every run, as they would cost at the size asked for.
    there = flops / runs["nonzero_params"].to_numpy() * float(question.nonzero_params)
    return np.geomspace(there.min(), FURTHER * there.max(), BUDGETS)


def _crossing(at: np.ndarray, rising: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where a rising, all but straight line reaches some heights, straight on beyond its ends."""
    piece = np.clip(np.searchsorted(rising, at) - 1, 0, rising.size - 2)
    share = (at - rising[piece]) / (rising[piece + 1] - rising[piece])
    return values[piece] + share * (values[piece + 1] - values[piece])


def _optimum_handle(shown: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color="0.45", marker="o", mec="black", ms=8, lw=2.2, label=f"optimum, {shown} interval")
