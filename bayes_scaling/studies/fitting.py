"""From a study's model to a posterior: sampled, gated with one stricter retry, and put into ArviZ's groups."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.compiled import Compiled, Density, compiled_graph
from bayes_scaling.curvature import hessian
from bayes_scaling.diagnostics import diagnose, gate_notes
from bayes_scaling.errors import InputError
from bayes_scaling.fit import STRICTER, versions
from bayes_scaling.noise import NOISE_DF, draw_noise, log_density
from bayes_scaling.notes import Note, read_notes, write_notes
from bayes_scaling.progress import Progress
from bayes_scaling.sampling import nuts
from bayes_scaling.threads import one_blas_thread

__all__ = ["Study", "check_settings", "fit_study", "log_survival", "settings_of", "student_noise", "table_of"]

FIRST_TRY = {"tune": 1000, "target_accept": 0.95, "thin": 4}
"""A model of twenty coordinates costs little. Where runs are hardly more than coefficients, all of these move on the
scale of the noise, which single steps of the sampler change slowly: hence one draw of four."""

LEGS, LEG = 4, 100
"""Searches for the mode, each in coordinates that the curvature where it starts makes even, and their steps."""

FLATTEST = 0.1
"""Least curvature of the log density that is believed: priors alone curve it by about as much."""

PRIOR_DRAWS = 1000


@dataclass(frozen=True)
class Study:
    """What is fitted to a table.

    Attributes
    ----------
    law : str
        Name of the study.
    model : callable
        Makes the ``pymc.Model``, with all data in ``pm.Data``.
    coefficients : callable
        Draws of the model's variables by name, shape (chain, draw, …), to the variables of the posterior group, over
        ``chain`` and ``draw``; one of them is ``sigma``.
    pointwise : callable
        The posterior group and a random generator to the groups ``observed_data``, ``log_likelihood`` and
        ``posterior_predictive``, a variable each, over ``run``; of `student_noise`, where each run has one number.
    response : str
        What that variable is called, ``log_loss`` or the like.
    scales : tuple of str
        Variables of the model that are standard deviations.
    first_try : dict
        Settings of the sampler.
    """

    law: str
    model: Callable[[], Any]
    coefficients: Callable[[Mapping[str, np.ndarray]], xr.Dataset]
    pointwise: Callable[[xr.Dataset, np.random.Generator], Mapping[str, xr.DataArray]]
    response: str
    scales: tuple[str, ...]
    first_try: Mapping[str, Any] = field(default_factory=lambda: FIRST_TRY)


def check_settings(**settings: int) -> None:
    """Refuse settings of a fit that are out of range."""
    least = {"seed": 0, "draws": 4, "chains": 1}
    for name, value in settings.items():
        if value < least[name]:
            raise InputError(f"{name} is {value}; it is a whole number of at least {least[name]}")


def settings_of(posterior: xr.DataTree, law: str) -> dict[str, Any]:
    """The settings of a study's posterior.

    Raises
    ------
    InputError
        If the posterior is of something else.
    """
    found = posterior.attrs.get("law")
    if found != law:
        raise InputError(f"the posterior is of {found!r}, where one of bs.{law}.fit is needed")
    return dict(json.loads(posterior.attrs["settings"]))


def table_of(posterior: xr.DataTree) -> xr.Dataset:
    """The table that a posterior was fitted to."""
    return posterior["runs"].to_dataset()


def log_survival(z: Any, xp: Any) -> Any:
    """Log probability that Student-t noise of `noise.NOISE_DF` degrees of freedom exceeds z.

    With u = z / sqrt(z^2 + 4), four degrees of freedom have the survival function (1 - u)^2 (2 + u) / 4; 1 - abs(u) is
    written as a quotient that keeps its digits far out.

    Parameters
    ----------
    z : array or tensor
    xp : module
        Whose functions to use: numpy or pytensor.tensor.
    """
    assert NOISE_DF == 4
    root, size = xp.sqrt(z**2 + 4), xp.abs(z)
    short = 4 / (root * (root + size))
    less = xp.where(z > 0, short, 2 - short)
    return 2 * xp.log(less) + xp.log(3 - less) - np.log(4)


def fit_study(
    study: Study,
    table: xr.Dataset,
    settings: Mapping[str, Any],
    *,
    cores: int | None = None,
    progressbar: bool = True,
    notes: Callable[[xr.DataTree], Iterable[Note]],
) -> xr.DataTree:
    """Sample a study's model; where the gate fails, once more with stricter settings.

    Parameters
    ----------
    study : Study
    table : Dataset
        What it is fitted to; travels in the posterior.
    settings : dict
        ``seed``, ``draws``, ``chains``, and what else the study wants to remember.
    cores : int, optional
        Chains run at a time.
    progressbar : bool
    notes : callable
        The posterior to notes about it, beside those of the table and of the gate.

    Returns
    -------
    DataTree
        With the groups ``posterior``, ``sample_stats``, ``prior``, ``log_likelihood``, ``posterior_predictive``,
        ``observed_data``, ``constant_data`` and ``runs``; law, settings, diagnostics, versions and notes are JSON in
        the attributes.
    """
    with Progress(progressbar) as progress:
        progress.say("compiling the model")
        began = time.perf_counter()
        model = study.model()
        code = compiled_graph(model)
        compiled = time.perf_counter() - began
        with one_blas_thread():
            data = {each.name: each.get_value() for each in model.data_vars}
            density = _whitened(Density(code, data), model, study.scales)
        tree = _sampled(study, density, study.first_try, settings, cores, progress)
        found = diagnose(tree)
        if not found["ok"]:
            progress.say("diagnostics failed; fitting once more with stricter settings")
            again = dict(settings) | {"draws": 2 * settings["draws"]}
            tree = _sampled(study, density, STRICTER, again, cores, progress)
            found = diagnose(tree)
        tree["prior"] = xr.DataTree(study.coefficients(_prior(model, code, settings["seed"])))
    _add_pointwise(tree, study, table, settings["seed"])
    tree["runs"] = xr.DataTree(table)
    seconds = {"import": 0.0, "compile": compiled, "sample": time.perf_counter() - began - compiled}
    tree.attrs = {"law": study.law} | {
        name: json.dumps(value)
        for name, value in {
            "settings": dict(settings),
            "diagnostics": found,
            "versions": versions(),
            "seconds": seconds,
        }.items()
    }
    write_notes(tree.attrs, [*read_notes(table.attrs), *gate_notes(found), *notes(tree)])
    return tree


def _whitened(density: Density, model: Any, scales: tuple[str, ...]) -> Density:
    """The density in coordinates that are even at the mode which it has when standard deviations are as at the start.

    Free ones would draw the mode to where all runs are met without noise.
    """
    from scipy.optimize import minimize

    initial = model.initial_point()
    # The compiled code has the variables in an order of its own.
    of_name = {name: initial[model.rvs_to_values[model[name]].name].size for name in density.code.names}
    coordinates = [name for name, size in of_name.items() for _ in range(size)]
    free = np.flatnonzero([name not in scales for name in coordinates])
    centre = np.array(density.code.start)
    root = np.eye(len(centre))[:, free]
    for _ in range(LEGS):

        def objective(z: np.ndarray, at: np.ndarray = centre, along: np.ndarray = root) -> tuple[float, np.ndarray]:
            value, gradient = density(at + along @ z)
            return (-value, -gradient @ along) if np.isfinite(value) else (1e300, np.zeros(len(free)))

        found = minimize(objective, np.zeros(len(free)), jac=True, method="L-BFGS-B", options={"maxiter": LEG})
        centre = centre + root @ found.x
        curved = hessian(density, centre)
        root = np.zeros((len(centre), len(free)))
        root[free] = _even(curved, free)
    whole = np.zeros((len(centre), len(centre)))
    held = np.setdiff1d(np.arange(len(centre)), free)
    for those in (free, held):
        whole[np.ix_(those, those)] = _even(curved, those)
    return density.moved(centre, whole)


def _even(curved: np.ndarray, those: np.ndarray) -> np.ndarray:
    """Directions, of lengths in which a log density of this curvature is even in some of its coordinates."""
    values, vectors = np.linalg.eigh(-curved[np.ix_(those, those)])
    directions: np.ndarray = vectors / np.sqrt(np.maximum(np.abs(values), FLATTEST))
    return directions


def _sampled(
    study: Study,
    density: Density,
    sampler: Mapping[str, Any],
    settings: Mapping[str, Any],
    cores: int | None,
    progress: Progress,
) -> xr.DataTree:
    with one_blas_thread():
        drawn, stats = nuts(
            density,
            draws=settings["draws"],
            chains=settings["chains"],
            seed=settings["seed"],
            cores=cores,
            progress=progress.sampling,
            **sampler,
        )
    posterior = study.coefficients(drawn).assign_coords(
        chain=np.arange(stats.sizes["chain"]), draw=np.arange(stats.sizes["draw"])
    )
    return xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats})


def _prior(model: Any, code: Compiled, seed: int) -> dict[str, np.ndarray]:
    """Draws of the model's variables from their prior, as one chain."""
    import pymc as pm

    variables = [model[name] for name in code.names]
    values = pm.draw(variables, draws=PRIOR_DRAWS, random_seed=seed, mode="FAST_COMPILE")
    return {name: value[None] for name, value in zip(code.names, values, strict=True)}


def _add_pointwise(tree: xr.DataTree, study: Study, table: xr.Dataset, seed: int) -> None:
    """Row by row: what was observed, how likely it is, and what a repetition may give."""
    groups = study.pointwise(tree["posterior"].to_dataset(), np.random.default_rng([seed, 4]))
    for name, values in groups.items():
        tree[name] = xr.DataTree(xr.Dataset({study.response: values.assign_coords(run_id=table["run_id"])}))
    numbers = [name for name, values in table.data_vars.items() if values.dtype.kind in "biuf"]
    tree["constant_data"] = xr.DataTree(table[numbers].drop_attrs())


def student_noise(
    log_mean: Callable[[xr.Dataset], xr.DataArray], observed: np.ndarray, censored: np.ndarray | None = None
) -> Callable[[xr.Dataset, np.random.Generator], Mapping[str, xr.DataArray]]:
    """Row by row, where each has Student-t noise of the scale ``sigma`` on a logarithm.

    Parameters
    ----------
    log_mean : callable
        The posterior group to the expected log of what is observed, over (``chain``, ``draw``, ``run``).
    observed : ndarray, shape (run,)
        Log of what is observed; of a censored run, how far it is known to exceed.
    censored : ndarray of bool, shape (run,), optional
        Runs of which only that is known.
    """

    def pointwise(posterior: xr.Dataset, rng: np.random.Generator) -> dict[str, xr.DataArray]:
        mean = log_mean(posterior).transpose("chain", "draw", "run")
        scale = posterior["sigma"].to_numpy()[..., None]
        likelihood = log_density(observed, mean.to_numpy(), scale)
        if censored is not None:
            exceeded = log_survival((observed - mean.to_numpy()) / scale, np)
            likelihood = np.where(censored, exceeded, likelihood)
        return {
            "observed_data": xr.DataArray(observed, dims="run"),
            "log_likelihood": mean.copy(data=likelihood),
            "posterior_predictive": mean + scale * draw_noise(mean.shape, rng),
        }

    return pointwise
