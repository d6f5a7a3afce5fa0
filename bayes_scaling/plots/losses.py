"""Loss over size, data and sparsity: the posterior's bands and the runs at the same place."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_scaling.checks.levels import SAME, levels
from bayes_scaling.display import count
from bayes_scaling.errors import InputError
from bayes_scaling.groups import law_of
from bayes_scaling.intervals import PROB, check_prob
from bayes_scaling.notes import read_notes
from bayes_scaling.plots.axes import AXES, LOSS, axes_asked, band, labels, log_ticks, nats_of, outside
from bayes_scaling.plots.questions import pairs_of, quantiles, runs_of, strategy_of
from bayes_scaling.plots.style import grid_of, key, percent, shades, text, warn
from bayes_scaling.predict import predict
from bayes_scaling.structures import pattern_sparsity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["losses_at", "plot_losses"]

POINTS = 60
BELOW, ABOVE = 1 / 2, 10.0
"""Range of an axis, as multiples of the smallest and the largest one trained."""

MOST = 5
"""Curves in a panel."""

ROLES = {
    "nonzero_params": ("sparsity", "data_seen"),
    "data_seen": ("sparsity", "nonzero_params"),
    "sparsity": ("nonzero_params", "data_seen"),
}
"""For each axis: what its curves differ in, and what is the same for all of them."""

DENSE_ROLES = {"nonzero_params": ("data_seen", "sparsity"), "data_seen": ("nonzero_params", "sparsity")}

KINDS = {"mean": "expected loss", "new-run": "loss of a new run"}


def plot_losses(
    posterior: xr.DataTree,
    axes: str | Sequence[str] | None = None,
    *,
    modality: str | Sequence[str] | None = None,
    structure: str | Sequence[str] | None = None,
    at: Mapping[str, float] | None = None,
    kind: str = "mean",
    prob: float = PROB,
) -> "Figure":
    """Loss over size, data and sparsity, with the runs: a row per modality and structure, a column per axis.

    Along one axis another is held, at its level with the most runs unless said, and curves differ in the third. Points
    are the runs within 10 % of a curve. Curves go on to ten times the largest size and amount of data trained.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    axes : str or sequence of str, optional
        Any of ``nonzero_params``, ``data_seen`` and ``sparsity``; all unless said, of a dense law the first two.
    modality, structure : str or sequence of str, optional
        Which; all that had runs unless said.
    at : dict of float, optional
        Where ``nonzero_params`` and ``data_seen`` are held.
    kind : {"mean", "new-run"}
        As `predict` takes it: the expected loss, or that of a single run with its noise.
    prob : float
        Probability of the bands.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If a modality, an axis or the kind is not known, a law of dense models is asked for sparsity, or an argument is
        out of range.
    """
    check_prob(prob)
    if kind not in KINDS:
        raise InputError(f"kind is {kind!r}; it is one of {', '.join(KINDS)}")
    columns = axes_asked(posterior, axes)
    fixed = _fixed(at)
    pairs = pairs_of(posterior, modality, structure)
    figure, grid = grid_of(len(pairs), len(columns), sharey="row")
    beyond = []
    for row, (m, s) in zip(grid, pairs, strict=True):
        for ax, column in zip(row, columns, strict=True):
            view = _View.of(posterior, m, s, column, fixed)
            beyond.append(_panel(ax, view, kind, prob))
        shown = text(m) if s == "dense" else f"{text(m)}, {text(s)}"
        row[0].set_ylabel(f"{shown}\n{LOSS}")
        if len(row) > 1 or column != "sparsity":
            row[0].set_yscale("log")
            log_ticks(row[0].yaxis, "number")
    key(figure, band=f"{percent(prob)} interval, {KINDS[kind]}", beyond=any(beyond), runs="runs")
    warn(figure, read_notes(posterior.attrs))
    return figure


def losses_at(
    posterior: xr.DataTree, modality: str, structure: str, kind: str = "mean", **columns: Any
) -> xr.DataArray:
    """Draws of the loss in one modality and structure, from ``nonzero_params``, ``data_seen`` and ``sparsity``."""
    size, data, sparsity = np.broadcast_arrays(*(np.asarray(columns[name], dtype=float) for name in AXES))
    runs = runs_of(posterior, modality)
    same: dict[str, Any] = {
        "modality": modality,
        "strategy": strategy_of(posterior),
        "data_unit": str(runs["data_unit"][0].item()),
    }
    same[json.loads(posterior.attrs["settings"])["group"]] = modality
    if same["strategy"] != "scratch":
        same["pretrain_data"] = float(posterior["runs"]["pretrain_data"].median())
    sparse = np.where(sparsity > 0, structure, "dense")
    table = xr.Dataset(
        {name: ("run", values) for name, values in zip(AXES, (size, data, sparsity), strict=True)}
        | {name: ("run", np.full(size.size, value)) for name, value in same.items()}
        | {"structure": ("run", sparse)}
    )
    return predict(posterior, table, kind)


@dataclass(frozen=True)
class _View:
    """One panel: what its axis is, what its curves differ in, and where the rest is held."""

    posterior: xr.DataTree
    modality: str
    structure: str
    runs: xr.Dataset
    axis: str
    by: str
    held: str
    value: float

    @classmethod
    def of(
        cls, posterior: xr.DataTree, modality: str, structure: str, axis: str, fixed: Mapping[str, float]
    ) -> "_View":
        runs = runs_of(posterior, modality)
        mine = np.isin(runs["structure"].to_numpy(), [structure, "dense"])
        mine &= runs["strategy"].to_numpy() == strategy_of(posterior)
        runs = runs.isel(run=np.flatnonzero(mine if mine.any() else np.ones_like(mine)))
        by, held = (ROLES if law_of(posterior).prunes else DENSE_ROLES)[axis]
        value = fixed.get(held, 0.0 if held == "sparsity" else _commonest(runs[held].to_numpy()))
        return cls(posterior, modality, structure, runs, axis, by, held, value)

    @property
    def pattern(self) -> float | None:
        return pattern_sparsity(self.structure)

    def points(self) -> np.ndarray:
        """Where the curves are worked out."""
        seen = self.runs[self.axis].to_numpy().astype(float)
        if self.axis != "sparsity":
            return np.geomspace(BELOW * seen.min(), ABOVE * seen.max(), POINTS)
        if self.pattern is not None:
            return np.array([0.0, self.pattern])
        return -np.expm1(np.linspace(0.0, np.log1p(-seen.max()) + np.log(BELOW), POINTS))

    def curves(self) -> np.ndarray:
        """The levels that the curves differ in."""
        if self.by == "sparsity" and self.pattern is not None:
            return np.array([0.0, self.pattern])
        values = self.runs[self.by].to_numpy().astype(float)
        of_level = levels(nats_of(self.by, values))
        centres = np.array([values[of_level == i].mean() for i in np.unique(of_level)])
        if len(centres) <= MOST:
            return centres
        return centres[np.linspace(0, len(centres) - 1, MOST).round().astype(int)]

    def runs_at(self, level: float) -> xr.Dataset:
        """The runs of one curve."""
        close = [
            np.abs(nats_of(name, self.runs[name].to_numpy()) - nats_of(name, np.asarray(value))) <= SAME
            for name, value in ((self.by, level), (self.held, self.value))
        ]
        # A curve is of data seen once, whatever further columns the law reads.
        for name, read in law_of(self.posterior).reads.items():
            table = self.posterior["runs"].to_dataset()
            if name in table and read.absent in table:
                new = (table[name] >= table[read.absent]).to_numpy()
                once = dict(zip(table["run_id"].to_numpy(), new, strict=True))
                close.append(np.array([once.get(run, True) for run in self.runs["run"].to_numpy()]))
        return self.runs.isel(run=np.flatnonzero(np.all(close, axis=0)))

    def name(self, column: str, value: float) -> str:
        """A value in words."""
        if column == "sparsity":
            return "dense" if value == 0 else f"S = {value:.3g}"
        return f"{'N' if column == 'nonzero_params' else 'D'} = {count(value)}"


def _panel(ax: "Axes", view: _View, kind: str, prob: float) -> bool:
    """Draw one panel; whether a part of it lies beyond the runs."""
    x, curves = view.points(), view.curves()
    where: dict[str, Any] = {
        view.axis: np.tile(x, len(curves)),
        view.by: np.repeat(curves, len(x)),
        view.held: view.value,
    }
    draws = losses_at(view.posterior, view.modality, view.structure, kind, **where)
    shape = (len(curves), len(x))
    edges = [each.reshape(shape) for each in quantiles(draws, prob)]
    beyond = outside(view.posterior, view.modality, view.structure, **where).reshape(shape)
    for i, (level, look) in enumerate(zip(curves, shades(len(curves)), strict=True)):
        here, label = tuple(each[i] for each in edges), view.name(view.by, level)
        if view.axis == "sparsity" and view.pattern is not None:
            low, median, high = here
            ends = [median - low, high - median]
            ax.errorbar(x, median, ends, color=look["color"], ls=":", capsize=4)
        else:
            band(ax, x, (here[0], here[1], here[2]), beyond[i], color=look["color"])
        ax.plot([], [], lw=1.8, ms=6, mec="white", mew=0.7, label=label, **look)
        seen = view.runs_at(level)
        if "loss" in seen:
            ax.plot(seen[view.axis], seen["loss"], ls="", ms=6, mec="white", mew=0.7, zorder=3, **look)
    ax.set(xlabel=labels(view.runs)[view.axis], title=view.name(view.held, view.value))
    if view.axis != "sparsity":
        ax.set_xscale("log")
        log_ticks(ax.xaxis, "count")
    ax.legend(frameon=False, fontsize="small")
    return bool(beyond.any())


def _fixed(at: Mapping[str, float] | None) -> dict[str, float]:
    fixed = dict(at or {})
    for name, value in fixed.items():
        if name not in ("nonzero_params", "data_seen"):
            raise InputError(f"at names {name!r}; what can be held is nonzero_params, data_seen")
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"at holds {name} at {value}; it is a number above 0")
    return fixed


def _commonest(values: np.ndarray) -> float:
    """The level with the most runs, the largest of those that have as many."""
    of_level = levels(np.log(values))
    often = np.bincount(of_level)
    return float(np.median(values[of_level == np.flatnonzero(often == often.max())[-1]]))
