"""How large a dense model would have to be to be as good."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.groups import names_of, unseen_notes
from bayes_scaling.intervals import PROB, check_prob
from bayes_scaling.notes import read_notes
from bayes_scaling.plots.axes import MULTIPLIER, SPARSITY, band
from bayes_scaling.plots.questions import law_that_prunes, modalities_of, quantiles, runs_of, strategy_of
from bayes_scaling.plots.style import distinct, key, look_of, panels, percent, text, warn
from bayes_scaling.predict import dense_equivalent
from bayes_scaling.structures import check_structure, pattern_sparsity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_dense_equivalent"]

POINTS = 60
SAME = 1e-3
"""Counted zeros differ between runs in the fourth digit."""


def plot_dense_equivalent(
    posterior: xr.DataTree,
    max_sparsity: float | None = None,
    *,
    modality: str | Sequence[str] | None = None,
    structure: str | Sequence[str] | None = None,
    nonzero_params: float | None = None,
    prob: float = PROB,
) -> "Figure":
    """Parameters that a dense model of equal loss would need, over sparsity, per structure; one panel per modality.

    A pattern n:m has one sparsity and is a point with its interval.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    max_sparsity : float, optional
        End of the axis, in (0, 1); unless said, half the density of the sparsest run of the modality.
    modality, structure : str or sequence of str, optional
        Which; all that the posterior has unless said. A structure that no run of a modality had is answered from the
        population, and the legend says so.
    nonzero_params : float, optional
        Parameters of the sparse model, where the multiplier depends on them.
    prob : float
        Probability of the intervals.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If the law is about dense models, a modality is not known, ``nonzero_params`` is needed, or an argument is out
        of range.
    """
    check_prob(prob)
    law_that_prunes(posterior, "dense-equivalent multiplier")
    if max_sparsity is not None and not 0 < max_sparsity < 1:
        raise InputError(f"max_sparsity is {max_sparsity}; it lies between 0 and 1")
    modalities = modalities_of(posterior, modality)
    structures = [check_structure(name) for name in names_of(posterior, "structure", structure)]
    looks = look_of(structures)
    figure, axes = panels(len(modalities), sharey=True)
    beyond = []
    for ax, name in zip(axes, modalities, strict=True):
        sparsest = float(runs_of(posterior, name)["sparsity"].max())
        end = (1 + sparsest) / 2 if max_sparsity is None else max_sparsity
        for kind, shown in zip(structures, distinct(structures), strict=True):
            label = f"{shown} (no runs)" if unseen_notes(posterior, [(name, kind)]) else shown
            beyond.append(_curve(ax, posterior, (name, kind), nonzero_params, end, prob, looks[kind], label))
        ax.axhline(1, color="0.6", lw=0.8, zorder=0)
        ax.set(xlabel=SPARSITY, title=text(name), xlim=(0, None))
        ax.legend(frameon=False, loc="upper left", title="structure")
    axes[0].set_ylabel(MULTIPLIER)
    key(figure, band=f"{percent(prob)} interval", beyond=any(beyond))
    warn(figure, read_notes(posterior.attrs))
    return figure


def _curve(
    ax: "Axes",
    posterior: xr.DataTree,
    pair: tuple[str, str],
    size: float | None,
    end: float,
    prob: float,
    look: dict,
    label: str,
) -> bool:
    """Draw one structure of a modality; whether a part of it lies beyond the runs."""
    modality, kind = pair
    fixed = pattern_sparsity(kind)
    x = np.array([fixed]) if fixed is not None else -np.expm1(np.linspace(0.0, np.log1p(-end), POINTS))
    sparsity = xr.DataArray(x, dims="point")
    draws = dense_equivalent(posterior, sparsity, modality, kind, strategy_of(posterior), nonzero_params=size)
    low, median, high = quantiles(draws, prob)
    runs = runs_of(posterior, modality)
    own = runs["sparsity"].to_numpy()[(runs["structure"] == kind).to_numpy()]
    beyond = x > (own.max() if own.size else 0.0) + SAME
    if fixed is None:
        band(ax, x, (low, median, high), beyond, **look, label=label)
    else:
        face = look["color"] if own.size else "white"
        ends = [median - low, high - median]
        bars = ax.errorbar(x, median, ends, ls="", ms=8, capsize=4, mfc=face, **look, label=label, zorder=3)
        if not own.size:
            bars[2][0].set_linestyle("--")
    return bool(beyond.any())
