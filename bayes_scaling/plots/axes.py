"""Axes with units and ticks that can be read, and curves that show where the runs end."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.display import count
from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation import beyond
from bayes_scaling.groups import law_of
from bayes_scaling.plots.style import HATCH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

__all__ = [
    "AXES",
    "BUDGET",
    "INSIDE",
    "LOSS",
    "MULTIPLIER",
    "SPARSITY",
    "axes_asked",
    "band",
    "labels",
    "log_ticks",
    "nats_of",
    "outside",
    "power",
]

AXES = ("nonzero_params", "data_seen", "sparsity")
"""Columns that a law is drawn over."""

LOSS = "held-out loss (unit of the runs)"
BUDGET = "training budget (FLOPs)"
SPARSITY = "sparsity (fraction of zeros)"
MULTIPLIER = "dense parameters per non-zero one (×)"

INSIDE = 1e-3
"""Nats beyond the runs up to which a question counts as inside: 0 but for rounding."""

MARKS = 6
"""Markers along a curve."""


def labels(runs: xr.Dataset) -> dict[str, str]:
    """The label of each column, with its unit."""
    units = " or ".join(dict.fromkeys(runs["data_unit"].to_numpy().tolist())) if "data_unit" in runs else "tokens"
    return {
        "nonzero_params": "non-zero parameters",
        "data_seen": f"training data ({units})",
        "sparsity": SPARSITY,
        "train_flops": BUDGET,
        "loss": LOSS,
    }


def axes_asked(posterior: xr.DataTree, axes: str | Sequence[str] | None) -> list[str]:
    """The axes asked for; all that the law has unless said.

    Raises
    ------
    InputError
        If the law does not have one.
    """
    law = law_of(posterior)
    allowed = [name for name in (AXES if law.prunes else AXES[:-1]) if name not in law.held]
    asked = allowed if axes is None else [axes] if isinstance(axes, str) else list(axes)
    for name in asked:
        if name not in allowed:
            why = f"law {law.name!r} has no sparsity axis; there are" if name == "sparsity" else "the axes are"
            raise InputError(f"axes names {name!r}; {why} {', '.join(allowed)}")
    return asked


def nats_of(column: str, values: np.ndarray) -> np.ndarray:
    """Values on the scale along which levels are told apart: logs, of density where the column is sparsity."""
    return -np.log1p(-values) if column == "sparsity" else np.log(values)


def outside(
    posterior: xr.DataTree,
    modality: str,
    structure: str,
    *,
    nonzero_params: Any,
    data_seen: Any,
    sparsity: Any,
    cost: str | costs.Cost = "gradual",
) -> np.ndarray:
    """Which questions lie beyond the runs on any axis, FLOPs included; arrays of one shape."""
    columns = np.broadcast_arrays(nonzero_params, data_seen, sparsity)
    at = dict(zip(AXES, (xr.DataArray(values, dims="point") for values in columns), strict=True))
    nats = beyond(posterior, modality, structure, **at, cost=cost)
    return np.asarray(nats.max(("axis", "side")).to_numpy() > INSIDE)


def band(
    ax: "Axes",
    x: np.ndarray,
    edges: tuple[np.ndarray, np.ndarray, np.ndarray],
    beyond_runs: np.ndarray,
    *,
    color: Any,
    marker: str | None = None,
    label: str = "",
) -> None:
    """A median with its interval, dashed and hatched where it lies beyond the runs.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x : ndarray, shape (point,)
    edges : tuple of ndarray, shape (point,)
        Lower end, median and upper end.
    beyond_runs : ndarray of bool, shape (point,)
    color, marker, label
        As matplotlib takes them.
    """
    lower, median, upper = edges
    ax.fill_between(x, lower, upper, color=color, alpha=0.22, lw=0)
    if beyond_runs.any():
        hatched = beyond_runs.copy()  # as far as the curve inside reaches
        hatched[:-1] |= beyond_runs[1:]
        hatched[1:] |= beyond_runs[:-1]
        look: dict[str, Any] = {"facecolor": "none", "edgecolor": color, "hatch": HATCH, "alpha": 0.35, "lw": 0}
        ax.fill_between(x, lower, upper, where=hatched, **look)
    ax.plot(x, median, color=color, ls="--", lw=1.2)
    every = max(1, len(x) // MARKS)
    trained = np.where(beyond_runs, np.nan, median)
    ax.plot(x, trained, color=color, lw=1.8, marker=marker, ms=4.5, markevery=(every // 2, every), label=label)


def power(value: float) -> str:
    """A large number with a power of ten, as matplotlib sets it."""
    digits, exponent = f"{value:.1e}".split("e")
    return rf"${float(digits):g} \times 10^{{{int(exponent)}}}$"


def log_ticks(axis: "Axis", what: str) -> None:
    """Ticks of a logarithmic axis, as 2M or 10^20: a few of them, and some on axes of less than two decades too.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
    what : {"count", "flops", "number"}
        Counts have a letter for their size, FLOPs powers of ten, other numbers are as they are.
    """
    from matplotlib.ticker import FuncFormatter, LogFormatterSciNotation, LogLocator, MaxNLocator, NullLocator

    low, high = sorted(abs(value) for value in axis.get_view_interval())
    decades = np.log10(high / low)
    if what == "number" and decades < 1.2:
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    else:
        subs = (1.0,) if decades > 2.5 else (1.0, 3.0) if decades > 1.5 else (1.0, 2.0, 5.0)
        axis.set_major_locator(LogLocator(subs=subs, numticks=7))
    axis.set_minor_locator(NullLocator())
    if what == "flops":
        axis.set_major_formatter(LogFormatterSciNotation(labelOnlyBase=False, minor_thresholds=(np.inf, np.inf)))
    else:
        axis.set_major_formatter(FuncFormatter(lambda v, _: count(v) if what == "count" else f"{v:g}"))
