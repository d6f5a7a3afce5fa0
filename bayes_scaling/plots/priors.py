"""What the priors expect, and what the runs made of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_scaling.groups import law_of
from bayes_scaling.intervals import PROB, check_prob
from bayes_scaling.notes import read_notes
from bayes_scaling.plots.axes import LOSS, log_ticks
from bayes_scaling.plots.questions import chosen, needs, shown_names
from bayes_scaling.plots.style import COLOURS, GREY, panels, percent, text, warn, warning

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_prior_posterior", "plot_prior_predictive"]

SHOWN = 0.02
"""Share of draws beyond either end of an axis."""


def plot_prior_predictive(posterior: xr.DataTree, *, prob: float = PROB) -> "Figure":
    """What the priors alone expect of the runs, one panel per modality.

    Parameters
    ----------
    posterior : DataTree
        From `fit`; its prior group is used, and its runs are drawn on top.
    prob : float
        Probability of the wide band; the inner one has half of it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If ``prob`` does not lie between 0 and 1, or the posterior has no draws of its prior.
    """
    check_prob(prob)
    needs(posterior, "prior", "plot_prior_predictive")
    prior = posterior["prior"].to_dataset()
    runs = posterior["constant_data"].to_dataset()
    measured = np.exp(posterior["observed_data"]["log_loss"].to_numpy())
    law = law_of(posterior)
    levels = prior["modality"].to_numpy().tolist()
    figure, axes = panels(len(levels))
    for i, (ax, name) in enumerate(zip(axes, levels, strict=True)):
        mine = (runs["modality"] == name).to_numpy()
        here = prior.sel(modality=name).isel(structure=0, strategy=0, missing_dims="ignore")
        sizes = runs["nonzero_params"].to_numpy()[mine]
        x = np.geomspace(sizes.min() / 3, sizes.max() * 3, 60)
        data = float(runs["reference_data_seen"][i])
        loss = law.loss(0.0, xr.DataArray(x, dims="size"), data, **{c: here[c] for c in law.coefficients if c in here})
        for p, alpha in ((prob, 0.18), (prob / 2, 0.3)):
            lower, upper = loss.quantile([(1 - p) / 2, (1 + p) / 2], ("chain", "draw")).to_numpy()
            label = f"{p:.3g} of prior draws"
            ax.fill_between(x, lower, upper, color=COLOURS[0], alpha=alpha, lw=0, label=label)
        ax.plot(sizes, measured[mine], ".", color=COLOURS[1], label="runs, all sparsities and data")
        ax.set(xscale="log", yscale="log", title=text(name), xlabel="non-zero parameters", ylabel=LOSS)
        log_ticks(ax.xaxis, "count")
        log_ticks(ax.yaxis, "number")
        ax.legend(frameon=False)
    figure.suptitle("Prior predictive, dense model at the runs' mean data", fontsize="medium")
    warn(figure, read_notes(posterior.attrs))
    return figure


def plot_prior_posterior(
    posterior: xr.DataTree,
    var_names: str | Sequence[str] | None = None,
    *,
    prob: float = PROB,
    backend: str | None = None,
    **pc_kwargs: Any,
) -> Any:
    """ArviZ's plot of prior against posterior densities, one panel per quantity and group, with both intervals.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    var_names : str or sequence of str, optional
        Variables that prior and posterior have; the law's exponents and other pure numbers unless said.
    prob : float
        Probability of the intervals, the lines at the foot of the densities.
    backend : str, optional
        Plotting library of ArviZ; ArviZ's default unless said.
    **pc_kwargs
        Passed to ``arviz_plots.PlotCollection``, such as ``col_wrap``.

    Returns
    -------
    arviz_plots.PlotCollection
        ``.savefig`` saves it; ``.viz`` holds what was drawn.

    Raises
    ------
    InputError
        If a variable is not there, ``prob`` does not lie between 0 and 1, or the posterior has no draws of its prior.
    """
    import arviz as az

    check_prob(prob)
    needs(posterior, "prior", "plot_prior_posterior")
    names = chosen(posterior, var_names, ("posterior", "prior"))
    groups = {name: shown_names(posterior[name].to_dataset()[names]) for name in ("prior", "posterior")}
    groups = {name: draws.drop_vars("law", errors="ignore") for name, draws in groups.items()}
    tail = (1 - prob) / 2
    # Of all draws, where ArviZ thins the posterior to as many as the prior has.
    interval = _of_both(groups, [tail, 1 - tail])
    if az.rcParams["plot.backend"] == "matplotlib" if backend is None else backend == "matplotlib":
        pc_kwargs["figure_kwargs"] = {"layout": "constrained"} | pc_kwargs.get("figure_kwargs", {})
    picture = az.plot_prior_posterior(
        xr.DataTree.from_dict(groups),
        visuals={"credible_interval": {"width": 4}},
        aes_by_visuals={"credible_interval": ["color"]},
        stats={"credible_interval": interval},
        backend=backend,
        **({"color": [GREY, COLOURS[0]]} | pc_kwargs),
    )
    # Long tails of the prior would leave no room for the posterior.
    reach = _of_both(groups, [SHOWN, 1 - SHOWN])
    ends = xr.concat([reach.isel(ci_bound=0).min("group"), reach.isel(ci_bound=1).max("group")], "end")
    picture.map(_limits, "xlim", data=ends, ignore_aes="all", store_artist=False)
    said = warning(read_notes(posterior.attrs), 70)
    title = f"Prior and posterior densities, lines: {percent(prob)} intervals"
    picture.add_title(f"{title}\n{said}" if said else title)
    return picture


def _of_both(groups: dict[str, xr.Dataset], at: list[float]) -> xr.Dataset:
    """Quantiles of the prior and the posterior."""
    each = [draws.quantile(at, ("chain", "draw")) for draws in groups.values()]
    both = xr.concat(each, dim=xr.Variable("group", list(groups))).rename(quantile="ci_bound")
    return both.assign_coords(ci_bound=["lower", "upper"])


def _limits(ends: xr.DataArray, target: Any, **_: Any) -> Any:
    from arviz_plots.visuals import set_xlim

    return set_xlim(ends, target, tuple(ends.to_numpy().tolist()))
