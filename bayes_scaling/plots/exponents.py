"""A forest of the law's exponents, and how pooling moves them."""

import textwrap
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.intervals import PROB, check_prob
from bayes_scaling.notes import read_notes
from bayes_scaling.plots.questions import GROUPS, pure_numbers, quantiles, shown_names
from bayes_scaling.plots.style import COLOURS, GREY, panels, percent, text, warn, warning

__all__ = ["plot_exponents", "plot_shrinkage"]


def plot_exponents(posterior: xr.DataTree, *, prob: float = PROB, backend: str | None = None, **pc_kwargs: Any) -> Any:
    """ArviZ's forest plot of the law's pure numbers: exponents, with the population's where there are several groups.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    prob : float
        Probability of the wide interval; the inner one has half of it.
    backend : str, optional
        Plotting library of ArviZ; ArviZ's default unless said.
    **pc_kwargs
        Passed to ``arviz_plots.PlotCollection``.

    Returns
    -------
    arviz_plots.PlotCollection
        ``.savefig`` saves it; ``.viz`` holds what was drawn.

    Raises
    ------
    InputError
        If ``prob`` does not lie between 0 and 1.
    """
    import arviz as az

    check_prob(prob)
    draws = posterior["posterior"].to_dataset()
    names = [n for name in pure_numbers(posterior) for n in (name, f"{name}_population") if n in draws]
    shown = draws[[name for name in names if not bool(draws[name].isnull().any())]]
    forest = az.plot_forest(
        xr.DataTree.from_dict({"posterior": shown_names(shown)}),
        ci_kind="eti",
        ci_probs=(prob / 2, prob),
        point_estimate="median",
        combined=True,
        backend=backend,
        **pc_kwargs,
    )
    said = warning(read_notes(posterior.attrs), 70)
    title = f"Exponents: median, {percent(prob / 2)} and {percent(prob)} intervals"
    forest.add_title(f"{title}\n{said}" if said else title)
    return forest


def plot_shrinkage(pooled: xr.DataTree, unpooled: xr.DataTree, *, prob: float = PROB) -> Any:
    """What pooling does to each group's exponents: their intervals without it and with it, one panel per exponent.

    Parameters
    ----------
    pooled : DataTree
        From `fit`: groups that learn from each other.
    unpooled : DataTree
        The same runs fitted with groups that do not, as by ``fit(..., prior={"b_N": Prior(...), ...})``.
    prob : float
        Probability of the intervals.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If the two are of different laws, share no group, or ``prob`` does not lie between 0 and 1.
    """
    check_prob(prob)
    if pooled.attrs["law"] != unpooled.attrs["law"]:
        raise InputError(
            f"pooled is a posterior of law {pooled.attrs['law']!r} and unpooled of {unpooled.attrs['law']!r}; "
            "shrinkage is between posteriors of one law"
        )
    names = [name for name in pure_numbers(pooled) if name in unpooled["posterior"]]
    before, after = (_by_group(each, names) for each in (unpooled, pooled))
    shared = {name: [group for group in after[name] if group in before[name]] for name in names}
    if not any(shared.values()):
        there = [", ".join(map(str, each["posterior"]["modality"].to_numpy())) for each in (pooled, unpooled)]
        raise InputError(f"pooled has {there[0]} and unpooled has {there[1]}; they share no group")
    names = [name for name in names if shared[name]]
    rows = max(len(groups) for groups in shared.values())
    figure, axes = panels(len(names), width=4.2, height=1.9 + 0.55 * rows)
    for ax, name in zip(axes, names, strict=True):
        groups = shared[name]
        for y, group in enumerate(groups):
            for each, shift, colour, face in ((before, -0.16, COLOURS[1], "white"), (after, 0.16, COLOURS[0], None)):
                low, median, high = quantiles(each[name][group], prob)
                ax.plot([low, high], [y + shift] * 2, color=colour, lw=2, solid_capstyle="butt")
                ax.plot(median, y + shift, marker="o", ms=7, mew=1.5, color=colour, mfc=face or colour)
        if f"{name}_population" in pooled["posterior"]:
            # Where laws are mixed, the draws of those that have it.
            lower, centre, upper = map(float, quantiles(pooled["posterior"].to_dataset()[f"{name}_population"], prob))
            ax.axvspan(lower, upper, color=GREY, alpha=0.15, lw=0, zorder=0)
            ax.axvline(centre, color=GREY, lw=1, ls=":", zorder=0)
        ax.set(yticks=range(len(groups)), yticklabels=[", ".join(map(text, group)) for group in groups])
        ax.set(ylim=(len(groups) - 0.4, -0.6), title=name, xlabel=_meaning(pooled, name))
    _key(figure, percent(prob))
    warn(figure, [*read_notes(pooled.attrs), *read_notes(unpooled.attrs)])
    return figure


def _meaning(posterior: xr.DataTree, name: str) -> str:
    return textwrap.fill(str(posterior["posterior"][name].attrs.get("long_name", name)), 36)


def _by_group(posterior: xr.DataTree, names: list[str]) -> dict[str, dict[tuple[str, ...], xr.DataArray]]:
    """Draws of each quantity by the names of its group."""
    draws = posterior["posterior"].to_dataset()
    found = {}
    for name in names:
        dims = [dim for dim in GROUPS if dim in draws[name].dims]
        levels = [draws[dim].to_numpy().tolist() for dim in dims]
        found[name] = {
            tuple(levels[i][j] for i, j in enumerate(at)): draws[name].isel(dict(zip(dims, at, strict=True)))
            for at in np.ndindex(*map(len, levels))
        }
    return found


def _key(figure: Any, shown: str) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], color=COLOURS[1], marker="o", mfc="white", mew=1.5, lw=2, label=f"unpooled, {shown} interval"),
        Line2D([], [], color=COLOURS[0], marker="o", lw=2, label=f"pooled, {shown} interval"),
        Patch(color=GREY, alpha=0.2, label=f"population, {shown} interval"),
    ]
    columns = min(3, max(1, int(figure.get_figwidth() // 2.4)))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize="small")
