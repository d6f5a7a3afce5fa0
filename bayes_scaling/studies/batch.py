"""Steps to a target loss over the batch size, and the critical batch size: K(B) = c1 / B + c2.

Small batches are limited by data, c1 examples whatever the batch; large ones by steps, c2 of them however many examples
each has. Where both are equal lies the critical batch size c1 / c2. The form is that of stochastic gradient descent
(Lee et al., arXiv:2003.11316, for sparsity; Zhang et al., arXiv:2410.21676, for size; McCandlish et al.,
arXiv:1812.06162). Groups, as sizes or sparsities, have coefficients of their own that resemble each other, and trends
over the logarithms of non-zero parameters and of density.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.noise import NOISE_DF
from bayes_scaling.notes import Note
from bayes_scaling.studies.batch_points import point_fit, power_law, steps
from bayes_scaling.studies.batch_table import groups_of, load, trend_values
from bayes_scaling.studies.fitting import (
    Study,
    check_settings,
    fit_study,
    log_survival,
    settings_of,
    student_noise,
    table_of,
)

__all__ = [
    "LATEX",
    "REFERENCE",
    "check_asked",
    "critical_batch",
    "fit",
    "load",
    "point_fit",
    "power_law",
    "predict",
    "steps",
]

LAW = "batch"
REFERENCE = "Lee et al. (2021), arXiv:2003.11316; Zhang et al. (2024), arXiv:2410.21676"
LATEX = r"K(B) = c_1 / B + c_2, \quad B_\mathrm{crit} = c_1 / c_2"

# Priors. Offsets are from the rough sizes that the table shows; exponents are pure numbers.
OFFSET_SD = 2.0
EXAMPLES_EXPONENT_SD, CRITICAL_EXPONENT_SD = 1.0, 0.5
SPREAD_MEDIAN, SPREAD_SD = 0.1, 0.7
"""How far groups lie off the trend, as a share: log-normal, since every group is tuned by itself."""
SIGMA_MEDIAN, SIGMA_SD = 0.05, 0.7
"""Noise of log steps: evaluations some per cent of a run apart, a search over few learning rates."""


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
    """Fit the hierarchical model of steps to a target.

    Log steps carry Student-t noise with one scale for all groups. Runs that never reached the target are censored: all
    that is known of their steps is that they exceed those trained.

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
        An ArviZ posterior. ``c1`` (in the unit of the batch size), ``c2`` (steps) and ``critical_batch`` over
        ``group``, and ``sigma``. Where there are several groups, ``c1_reference`` and ``critical_reference``, the
        trends' values at the groups' geometric mean, and ``c1_spread`` and ``critical_spread`` of groups around them,
        on the log; where groups differ in size or sparsity, ``c1_exponent`` and ``critical_exponent`` over ``trend``
        (``nonzero_params``, ``sparsity`` for a power of density). Law, settings, diagnostics and notes are JSON in its
        attributes.

    Raises
    ------
    InputError
        If a setting is out of range or the table is wrong.
    """
    check_settings(seed=seed, draws=draws, chains=chains)
    runs = load(table, columns)
    at = trend_values(runs)
    reference = {name: float(values.mean()) for name, values in at.items()}
    settings = {"seed": seed, "draws": draws, "chains": chains, "trends": reference}
    return fit_study(_study(runs, at, reference), runs, settings, cores=cores, progressbar=progressbar, notes=_notes)


def _study(runs: xr.Dataset, at: Mapping[str, xr.DataArray], reference: Mapping[str, float]) -> Study:
    levels = groups_of(runs)
    groups = levels["group"].to_numpy().tolist()
    of_run = np.array([groups.index(name) for name in runs["group"].to_numpy().tolist()])
    batch, trained = runs["batch_size"].to_numpy(), runs["steps_trained"].to_numpy()
    reached = np.isfinite(runs["steps_to_target"].to_numpy())
    observed = np.log(np.where(reached, runs["steps_to_target"].to_numpy(), trained))
    trend = (
        np.stack([at[name].to_numpy() - reference[name] for name in at], axis=-1) if at else np.zeros((len(groups), 0))
    )
    # Small batches waste the fewest examples, so the least product is nearest to c1.
    rough_examples = float(np.mean([np.min((observed + np.log(batch))[of_run == g]) for g in range(len(groups))]))
    rough_critical = float(np.mean(np.log(batch)))

    def model() -> Any:
        import pymc as pm
        import pytensor.tensor as pt

        def logp(value: Any, mean: Any, scale: Any, exceeds: Any) -> Any:
            density = pm.logp(pm.StudentT.dist(nu=NOISE_DF, mu=mean, sigma=scale), value)
            return pt.switch(exceeds, log_survival((value - mean) / scale, pt), density)

        coords = {"group": groups, "trend": list(at), "run": np.arange(len(batch))}
        with pm.Model(coords=coords) as built:
            x = pm.Data("trend_of_group", trend, dims=("group", "trend"))
            rough = pm.Data("rough", np.array([rough_examples, rough_critical]))
            latent = []
            for name, sd in (("examples", EXAMPLES_EXPONENT_SD), ("critical", CRITICAL_EXPONENT_SD)):
                if len(groups) == 1:  # nothing to pool
                    latent.append(pm.Normal(f"log_{name}", 0.0, OFFSET_SD, dims="group"))
                    continue
                centre = pm.Normal(f"{name}_offset", 0.0, OFFSET_SD)
                if at:
                    centre += x @ pm.Normal(f"{name}_exponent", 0.0, sd, dims="trend")
                spread = pm.LogNormal(f"{name}_spread", np.log(SPREAD_MEDIAN), SPREAD_SD)
                if name == "examples":  # each group knows its own better than the trend does
                    latent.append(pm.Normal(f"log_{name}", centre, spread, dims="group"))
                else:
                    latent.append(centre + spread * pm.Normal(f"{name}_scatter", 0.0, 1.0, dims="group"))
            log_c1, log_critical = (each + rough[i] for i, each in enumerate(latent))
            sigma = pm.LogNormal("sigma", np.log(SIGMA_MEDIAN), SIGMA_SD)
            group_of_run = pm.Data("group_of_run", of_run, dims="run")
            c1, c2 = pt.exp(log_c1)[group_of_run], pt.exp(log_c1 - log_critical)[group_of_run]
            mean = pt.log(steps(pm.Data("batch_size", batch, dims="run"), c1=c1, c2=c2))
            exceeds = pm.Data("exceeds", (~reached).astype(float), dims="run")
            seen = pm.Data("log_steps", observed, dims="run")
            pm.CustomDist("observed", mean, sigma, exceeds, logp=logp, observed=seen, dims="run")
        return built

    def coefficients(drawn: Mapping[str, np.ndarray]) -> xr.Dataset:
        over = ("chain", "draw")
        c1 = np.exp(drawn["log_examples"] + rough_examples)
        if len(groups) == 1:
            log_critical = drawn["log_critical"]
        else:
            log_critical = (
                drawn["critical_offset"][..., None] + drawn["critical_spread"][..., None] * drawn["critical_scatter"]
            )
            log_critical += drawn["critical_exponent"] @ trend.T if at else 0.0
        critical = np.exp(log_critical + rough_critical)
        found: dict[str, Any] = {
            "c1": ((*over, "group"), c1),
            "c2": ((*over, "group"), c1 / critical),
            "critical_batch": ((*over, "group"), critical),
            "sigma": (over, drawn["sigma"]),
        }
        if len(groups) > 1:
            found |= {
                "c1_reference": (over, np.exp(drawn["examples_offset"] + rough_examples)),
                "critical_reference": (over, np.exp(drawn["critical_offset"] + rough_critical)),
                "c1_spread": (over, drawn["examples_spread"]),
                "critical_spread": (over, drawn["critical_spread"]),
            }
        if at:
            found["c1_exponent"] = ((*over, "trend"), drawn["examples_exponent"])
            found["critical_exponent"] = ((*over, "trend"), drawn["critical_exponent"])
        return xr.Dataset(found, {**levels.coords, **({"trend": list(at)} if at else {})})

    def log_mean(posterior: xr.Dataset) -> xr.DataArray:
        mine = posterior[["c1", "c2"]].isel(group=xr.DataArray(of_run, dims="run")).drop_vars([*levels.coords])
        return np.log(steps(xr.DataArray(batch, dims="run"), c1=mine["c1"], c2=mine["c2"]))

    scales = ("sigma", "examples_spread", "critical_spread")
    return Study(LAW, model, coefficients, student_noise(log_mean, observed, ~reached), "log_steps", scales)


def _notes(posterior: xr.DataTree) -> Iterable[Note]:
    """Runs that did not get there, and groups whose batch sizes lie on one side of the critical one."""
    runs = table_of(posterior)
    never = int(runs["steps_to_target"].isnull().sum())
    if never:
        message = f"{never} of {runs.sizes['run']} runs never reached the target; they count as needing more steps."
        yield Note("censored_runs", "info", message, numbers={"runs": never})
    median = posterior["posterior"]["critical_batch"].median(("chain", "draw"))
    got_there = runs.isel(run=np.flatnonzero(runs["steps_to_target"].notnull().to_numpy()))
    for group in median["group"].to_numpy().tolist():
        tried = got_there["batch_size"].to_numpy()[got_there["group"].to_numpy() == group]
        critical = float(median.sel(group=group))
        if not tried.size or not tried.min() < critical < tried.max():
            span = f"from {tried.min():g} to {tried.max():g}" if tried.size else "none that reached the target"
            message = (
                f"The critical batch size of {group} is about {critical:.3g}, outside the batch sizes tried ({span}): "
                "prior and other groups decide on it."
            )
            yield Note("critical_batch_outside", "warning", message, {"group": group}, {"critical_batch": critical})


def critical_batch(
    posterior: xr.DataTree,
    *,
    nonzero_params: Any = None,
    sparsity: Any = None,
    overhead: float = 1.0,
    reference_batch: float = 0.0,
    seed: int | None = None,
) -> xr.DataArray:
    """The batch size at which a run needs a given share more examples than at a reference batch.

    Solves c1 + c2 B = (1 + overhead) (c1 + c2 B_0). With the defaults, twice the examples of the smallest batches, that
    is c1 / c2; arXiv:2410.21676 has an overhead of 0.2 over a batch of 256 sequences.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    nonzero_params, sparsity : float or sequence of float, optional
        Groups that no run had, by the trends; all that the posterior has trends in are needed. They carry the scatter
        of groups around the trend. Without them the answer is about the groups of the table.
    overhead : float
        Share of further examples, above 0.
    reference_batch : float
        What it is in excess of, at least 0.
    seed : int, optional
        Of that scatter; the posterior's unless said.

    Returns
    -------
    DataArray
        Over ``chain``, ``draw`` and ``group``, or the quantities asked for, in the unit of the table's batch sizes.
        Beside a quantity asked for stands ``extrapolation_…``, in nats beyond the table.

    Raises
    ------
    InputError
        If the posterior is of something else, a trend is missing or unknown, or a value is out of range.
    """
    settings = settings_of(posterior, LAW)
    if not overhead > 0 or not reference_batch >= 0:
        raise InputError(
            f"overhead is {overhead:g} and reference_batch {reference_batch:g}; they are above 0 and of at least 0"
        )
    asked = {n: v for n, v in (("nonzero_params", nonzero_params), ("sparsity", sparsity)) if v is not None}
    draws = posterior["posterior"].to_dataset()
    balance = _by_trend(posterior, settings, asked, seed) if asked else draws["critical_batch"]
    return (overhead * balance + (1 + overhead) * reference_batch).rename("critical_batch")


def _by_trend(
    posterior: xr.DataTree, settings: Mapping[str, Any], asked: Mapping[str, Any], seed: int | None
) -> xr.DataArray:
    """c1 / c2 of new groups, with their scatter around the trend."""
    draws, reference = posterior["posterior"].to_dataset(), settings["trends"]
    check_asked(asked, reference)
    seen, far = trend_values(table_of(posterior)), {}
    log: Any = np.log(draws["critical_reference"])
    for name, values in asked.items():
        given = np.atleast_1d(np.asarray(values, dtype=float))
        x = xr.DataArray(np.log(1 - given if name == "sparsity" else given), {name: given}, (name,))
        log = log + draws["critical_exponent"].sel(trend=name, drop=True) * (x - reference[name])
        beyond = np.maximum(x - seen[name].max(), seen[name].min() - x)
        far[f"extrapolation_{name}"] = np.maximum(beyond, 0.0)
    rng = np.random.default_rng([settings["seed"] if seed is None else seed, 11])
    found: Any = np.exp(log + draws["critical_spread"] * log.copy(data=rng.standard_normal(log.shape)))
    return found.assign_coords(far)


def check_asked(asked: Mapping[str, Any], trends: Iterable[str]) -> None:
    """Refuse to answer about new groups by other quantities than there are trends in, or by values that none can have.

    Parameters
    ----------
    asked : dict
        Values, one or more, by the name of the quantity.
    trends : iterable of str
        Of the posterior, or of a table about to be fitted.
    """
    if set(asked) != set(trends):
        raise InputError(
            f"asked by {', '.join(asked)}, where the table has trends over {', '.join(trends) or 'nothing'}; "
            "say one value or more for each of these and for no other"
        )
    for name, values in asked.items():
        given = np.atleast_1d(np.asarray(values, dtype=float))
        allowed = (given >= 0) & (given < 1) if name == "sparsity" else (given > 0) & np.isfinite(given)
        if not allowed.all():
            rule = "at least 0 and below 1" if name == "sparsity" else "above 0"
            raise InputError(f"{name} is {given[~allowed][0]:g}; it is {rule}")


def predict(posterior: xr.DataTree, batch_size: Any) -> xr.DataArray:
    """Steps to the target in the groups of the table, by the law without noise.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    batch_size : float or sequence of float
        In the unit of the table.

    Returns
    -------
    DataArray
        Steps, over ``chain``, ``draw``, ``group`` and ``batch_size``.

    Raises
    ------
    InputError
        If the posterior is of something else or a batch size is not above 0.
    """
    settings_of(posterior, LAW)
    given = np.atleast_1d(np.asarray(batch_size, dtype=float))
    if not (given > 0).all():
        raise InputError(f"batch_size is {given[~(given > 0)][0]:g}; it is above 0")
    draws = posterior["posterior"].to_dataset()
    x = xr.DataArray(given, {"batch_size": given}, ("batch_size",))
    return steps(x, c1=draws["c1"], c2=draws["c2"]).rename("steps_to_target")
