"""How a loss depends on the amounts of data of each domain, and the best composition of a total.

Each domain's data remove a part of the loss, (x_i + a_i)^-b_i for an amount x_i relative to a base composition; the
loss is, relative to that of the base, 1 + sum over domains of (x_i + a_i)^-b_i - (1 + a_i)^-b_i (Kang et al.,
arXiv:2407.20177, whose floors are c_i = 1 - (1 + a_i)^-b_i). The terms are convex, so the best composition of a total
has equal gradients: water-filling.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.noise import NOISE_DF
from bayes_scaling.notes import Note
from bayes_scaling.studies.compositions import (
    best_of_mean,
    offset_of,
    relative_loss,
    removable,
    share_of,
    water_filling,
)
from bayes_scaling.studies.fitting import Study, check_settings, fit_study, settings_of, student_noise, table_of
from bayes_scaling.studies.mixture_table import load, relative_amounts

__all__ = [
    "LATEX",
    "REFERENCE",
    "extrapolate",
    "fit",
    "load",
    "optimal_weights",
    "point_fit",
    "predict",
    "relative_loss",
    "removable",
    "water_filling",
]

LAW = "mixture"
REFERENCE = "Kang et al. (2025), AutoScale, arXiv:2407.20177"
LATEX = r"L / L_0 = 1 + \sum_i \left[(x_i + a_i)^{-b_i} - (1 + a_i)^{-b_i}\right]"

# Priors. Runs determine the gradient at the base composition, a domain's `slope`, far better than a or b: it is what
# has a prior beside the exponent, and what the sampler moves along.
SLOPES_MEDIAN, SLOPE_SD = 0.3, 1.0
"""Median of the relative fall of the loss per base amount, all domains together, and the standard deviation of the log
of each domain's."""
ALL_OF_IT = 0.02
"""Together, domains cannot remove more than all of the loss: a bound as soft as this, so that samplers do not break."""
EXPONENT_MEDIAN, EXPONENT_SD, EXPONENT_SPREAD = 1.0, 0.5, 0.3
"""Of b: median and standard deviation of the log of the population's, and of the domains' scatter around it."""
BASE_SD = 0.3
SIGMA_MEDIAN, SIGMA_SD = 0.002, 0.5
"""Noise of log loss: with a run or two per coefficient, runs say next to nothing about it. Replicate language models
differ by .0007 to .003 nats."""


def fit(
    table: Any,
    columns: Mapping[str, str] | None = None,
    *,
    seed: int = 0,
    draws: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    progressbar: bool = True,
) -> xr.DataTree:
    """Fit the hierarchical model of a loss over amounts per domain.

    Parameters
    ----------
    table : path, DataFrame, Dataset or list of dict
        As `load` reads it.
    columns : dict of str to str, optional
        Their names to ours.
    seed : int
        Seed of all random numbers.
    draws, chains : int
        Draws kept per chain; number of chains.
    cores : int, optional
        Chains run at a time; as many as there are processors unless said.
    progressbar : bool
        Whether to show progress on stderr, where that is a terminal.

    Returns
    -------
    DataTree
        An ArviZ posterior. ``a``, ``b`` and ``c`` over ``domain``; ``slope``, the relative fall of the loss per base
        amount there; ``share``, what the domain's data can still remove of the base's loss, 1 - c; ``fixed`` is what no
        domain's data remove.
        ``base_loss`` in the unit of the table, ``b_population`` and ``b_spread`` (on the log) of the domains, and
        ``sigma`` of log loss. Law, settings, diagnostics and notes are JSON in its attributes.

    Raises
    ------
    InputError
        If a setting is out of range or the table is wrong.
    """
    check_settings(seed=seed, draws=draws, chains=chains)
    runs = load(table, columns)
    settings = {"seed": seed, "draws": draws, "chains": chains}
    return fit_study(_study(runs), runs, settings, cores=cores, progressbar=progressbar, notes=_notes)


def _study(runs: xr.Dataset) -> Study:
    domains = runs["domain"].to_numpy().tolist()
    relative, observed = relative_amounts(runs).to_numpy(), np.log(runs["loss"].to_numpy())
    rough = float(np.median(observed))

    def model() -> Any:
        import pymc as pm
        import pytensor.tensor as pt

        coords = {"domain": domains, "run": np.arange(len(observed))}
        with pm.Model(coords=coords) as built:
            x = pm.Data("relative_amount", relative, dims=("run", "domain"))
            base = pm.Data("rough", np.array([rough]))[0] + pm.Normal("base_offset", 0.0, BASE_SD)
            slope = pt.exp(pm.Normal("log_slope", np.log(SLOPES_MEDIAN / len(domains)), SLOPE_SD, dims="domain"))
            population = pm.Normal("log_b_population", np.log(EXPONENT_MEDIAN), EXPONENT_SD)
            spread = pm.HalfNormal("b_spread", EXPONENT_SPREAD)
            # Single domains say little of their exponents, so it is their scatter that has a standard scale.
            b = pt.exp(population + spread * pm.Normal("b_scatter", 0.0, 1.0, dims="domain"))
            share = share_of(slope, b)
            pm.Potential("not_more_than_all", pt.log(pt.sigmoid((1 - share.sum()) / ALL_OF_IT)))
            terms = removable(x, a=offset_of(share, b), b=b) - share
            sigma = pm.LogNormal("sigma", np.log(SIGMA_MEDIAN), SIGMA_SD)
            mean = base + pt.log(1 + terms.sum(axis=-1))
            pm.StudentT(
                "observed",
                nu=NOISE_DF,
                mu=mean,
                sigma=sigma,
                observed=pm.Data("log_loss", observed, dims="run"),
                dims="run",
            )
        return built

    def coefficients(drawn: Mapping[str, np.ndarray]) -> xr.Dataset:
        over = ("chain", "draw")
        b = np.exp(drawn["log_b_population"][..., None] + drawn["b_spread"][..., None] * drawn["b_scatter"])
        share = share_of(np.exp(drawn["log_slope"]), b)
        found = {
            "a": ((*over, "domain"), offset_of(share, b)),
            "b": ((*over, "domain"), b),
            "c": ((*over, "domain"), 1 - share),
            "share": ((*over, "domain"), share),
            "slope": ((*over, "domain"), np.exp(drawn["log_slope"])),
            "fixed": (over, 1 - share.sum(axis=-1)),
            "base_loss": (over, np.exp(rough + drawn["base_offset"])),
            "b_population": (over, np.exp(drawn["log_b_population"])),
            "b_spread": (over, drawn["b_spread"]),
            "sigma": (over, drawn["sigma"]),
        }
        return xr.Dataset(found, {"domain": domains})

    def log_mean(posterior: xr.Dataset) -> xr.DataArray:
        at = xr.DataArray(relative, {"domain": domains}, ("run", "domain"))
        mean: Any = np.log(posterior["base_loss"] * relative_loss(at, posterior))
        return mean

    return Study(LAW, model, coefficients, student_noise(log_mean, observed), "log_loss", ("sigma", "b_spread"))


def _notes(posterior: xr.DataTree) -> Iterable[Note]:
    runs = table_of(posterior)
    quantities = 2 * runs.sizes["domain"] + 1
    if runs.sizes["run"] < 2 * quantities:
        message = (
            f"{runs.sizes['run']} runs for {quantities} coefficients: the noise of a run is what the prior says of it "
            f"(median {SIGMA_MEDIAN:g} of log loss), and exponents are mostly what domains have in common."
        )
        numbers = {"runs": runs.sizes["run"], "coefficients": quantities}
        yield Note("prior_decides_noise", "warning", message, numbers=numbers)


def optimal_weights(posterior: xr.DataTree, total: float | None = None, *, floor: float = 0.2) -> xr.Dataset:
    """The composition of a total that makes the loss least.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    total : float, optional
        Amount of all domains together, in the unit of the table; the base composition's unless said.
    floor : float
        Least amount of every domain, relative to the base's; 0.2 in arXiv:2407.20177.

    Returns
    -------
    Dataset
        ``amount`` and ``weight`` over (``chain``, ``draw``, ``domain``): every draw's own optimum.
        ``recommended_amount`` and ``recommended_weight`` over ``domain``: what makes the posterior mean of the loss
        least. ``relative_loss`` (to the base composition) and ``regret`` (what is lost against the draw's own optimum,
        relative to the base's loss) over (``chain``, ``draw``): of the recommended composition. ``extrapolation`` over
        ``domain``: how far the recommended amounts lie beyond those tried, in nats.

    Raises
    ------
    InputError
        If the posterior is of something else, or floor and total leave no room.
    """
    settings_of(posterior, LAW)
    runs, draws = table_of(posterior), posterior["posterior"].to_dataset()
    base = runs["base"]
    whole = float(base.sum()) if total is None else float(total)
    a, b = (draws[name].transpose("chain", "draw", "domain") for name in ("a", "b"))
    own = a.copy(data=water_filling(a.to_numpy(), b.to_numpy(), base.to_numpy(), whole, floor))
    best = base.copy(data=best_of_mean(a, b, base.to_numpy(), whole, floor))
    loss = relative_loss(best, draws)
    tried = relative_amounts(runs)
    low, high = tried.min("run"), tried.max("run")
    return xr.Dataset(
        {
            "amount": own * base,
            "weight": own * base / whole,
            "recommended_amount": best * base,
            "recommended_weight": best * base / whole,
            "relative_loss": loss,
            "regret": np.maximum(loss - relative_loss(own, draws), 0.0),
            "extrapolation": _beyond(best, low, high),
        },
        attrs={"total": whole, "floor": floor},
    )


def predict(posterior: xr.DataTree, amounts: Any, *, kind: str = "mean", seed: int | None = None) -> xr.DataArray:
    """Loss of other compositions, at any total.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    amounts : DataArray or dict of str to float or sequence of float
        Amounts of every domain, in the unit of the table: over ``domain`` and what else there may be, or by name, alike
        in length, which makes the dimension ``composition``.
    kind : {"mean", "new-run"}
        The law, or a run with its noise.
    seed : int, optional
        Of that noise; the posterior's unless said.

    Returns
    -------
    DataArray
        Loss over ``chain``, ``draw`` and the dimensions of ``amounts`` but ``domain``; beside it ``extrapolation``, how
        far the amount furthest out lies beyond those tried, in nats.

    Raises
    ------
    InputError
        If the posterior is of something else, domains are missing or unknown, or an amount is negative.
    """
    settings = settings_of(posterior, LAW)
    if kind not in ("mean", "new-run"):
        raise InputError(f"kind is {kind!r}; it is 'mean' or 'new-run'")
    runs, draws = table_of(posterior), posterior["posterior"].to_dataset()
    at = _amounts(amounts, runs["domain"].to_numpy().tolist())
    relative = at / runs["base"]
    loss: Any = draws["base_loss"] * relative_loss(relative, draws)
    loss = loss.transpose("chain", "draw", ...)
    if kind == "new-run":
        rng = np.random.default_rng([settings["seed"] if seed is None else seed, 13])
        loss = loss * np.exp(draws["sigma"] * loss.copy(data=rng.standard_t(NOISE_DF, loss.shape)))
    low, high = (each("run") for each in (relative_amounts(runs).min, relative_amounts(runs).max))
    far = _beyond(relative, low, high).max("domain")
    return loss.rename("loss").assign_coords(extrapolation=far)


def _amounts(amounts: Any, domains: list[str]) -> xr.DataArray:
    if not isinstance(amounts, xr.DataArray):
        each = {name: np.atleast_1d(np.asarray(values, dtype=float)) for name, values in dict(amounts).items()}
        if len({values.shape for values in each.values()}) != 1:
            raise InputError("amounts differ in length, where there is one of every domain for each composition")
        amounts = xr.DataArray(np.stack(list(each.values())), {"domain": list(each)}, ("domain", "composition"))
    found = amounts["domain"].to_numpy().tolist() if "domain" in amounts.dims else []
    if sorted(found) != sorted(domains):
        raise InputError(f"amounts are of the domains {', '.join(found) or 'none'}; they are of {', '.join(domains)}")
    if not (amounts >= 0).all():
        raise InputError(f"an amount is {float(amounts.min()):g}; it is of at least 0")
    return amounts.sel(domain=domains)


def _beyond(relative: xr.DataArray, low: xr.DataArray, high: xr.DataArray) -> xr.DataArray:
    """How far amounts lie outside those tried, in nats; nothing lies below 0."""
    least = xr.where(low > 0, low, 1.0)
    below = xr.where(low > 0, np.log(least / np.maximum(relative, 1e-300)), 0.0)
    return np.maximum(np.maximum(np.log(np.maximum(relative, 1e-300) / high), below), 0.0)


def extrapolate(first: xr.DataArray, second: xr.DataArray, steps: int = 1, *, seed: int = 0) -> xr.Dataset:
    """Optimal amounts at larger scales from those at two: each domain keeps its ratio, N(3) = N(2)^2 / N(1).

    Parameters
    ----------
    first, second : DataArray
        Optimal amounts over ``domain``, in one unit, at a smaller and a larger total; with draws, as ``amount`` of
        `optimal_weights`, or without, as where they are known.
    steps : int
        How many scales further.
    seed : int
        Pairs the draws of two posteriors, which are independent of each other.

    Returns
    -------
    Dataset
        ``amount`` and ``weight`` over ``step`` (3, 4, …) and ``domain``, ``total`` over ``step``, with draws where
        these have.

    Raises
    ------
    InputError
        If the domains differ, an amount is not above 0 or there is no step.
    """
    names = [each["domain"].to_numpy().tolist() for each in (first, second)]
    if sorted(names[0]) != sorted(names[1]):
        raise InputError(
            f"the domains are {', '.join(names[0])} at first and {', '.join(names[1])} then; they are alike"
        )
    if steps < 1:
        raise InputError(f"steps is {steps}; it is at least 1")
    if not ((first > 0).all() and (second > 0).all()):
        raise InputError(
            "an optimal amount is 0 or negative, and what is 0 has no ratio; a floor keeps amounts above 0"
        )
    if "draw" in first.dims and "draw" in second.dims:
        rng = np.random.default_rng([seed, 12])
        few = min(first.sizes["draw"], second.sizes["draw"])
        first, second = (each.isel(draw=slice(few)).drop_vars("draw", errors="ignore") for each in (first, second))
        second = second.isel(draw=rng.permutation(few))
    step = xr.DataArray(np.arange(3, steps + 3), {"step": np.arange(3, steps + 3)}, ("step",))
    amount = second * (second / first) ** (step - 2)
    total = amount.sum("domain")
    return xr.Dataset({"amount": amount, "weight": amount / total, "total": total})


def point_fit(table: Any, columns: Mapping[str, str] | None = None) -> xr.Dataset:
    """Least squares on log loss; with three amounts a domain, changed one at a time, it meets every run exactly.

    Parameters
    ----------
    table : path, DataFrame, Dataset or list of dict
        As `load` reads it.
    columns : dict of str to str, optional
        Their names to ours.

    Returns
    -------
    Dataset
        ``a``, ``b`` and ``c`` over ``domain``, ``base_loss``, and ``misfit``, the root mean square of log loss.

    Raises
    ------
    InputError
        If the table is wrong or has fewer runs than there are coefficients.
    """
    from scipy.optimize import least_squares

    runs = load(table, columns)
    domains, observed, at = runs.sizes["domain"], np.log(runs["loss"].to_numpy()), relative_amounts(runs)
    if runs.sizes["run"] < 2 * domains + 1:
        raise InputError(f"{runs.sizes['run']} runs, where a point fit of {domains} domains needs {2 * domains + 1}")

    def coefficients(z: np.ndarray) -> xr.Dataset:
        share, b = 1 / (1 + np.exp(-z[1 : domains + 1])), np.exp(z[domains + 1 :])
        found = {"a": offset_of(share, b), "b": b, "c": 1 - share}
        over = {name: ("domain", values) for name, values in found.items()}
        return xr.Dataset({**over, "base_loss": np.exp(z[0])}, {"domain": runs["domain"]})

    def misfit(z: np.ndarray) -> np.ndarray:
        return z[0] + np.log(relative_loss(at, coefficients(z)).to_numpy()) - observed

    start = np.concatenate([[np.median(observed)], np.full(domains, -np.log(domains)), np.zeros(domains)])
    found = least_squares(misfit, start, xtol=1e-14, ftol=1e-14, gtol=1e-14, x_scale="jac", max_nfev=1000)
    return coefficients(found.x).assign(misfit=float(np.sqrt(np.mean(found.fun**2))))
