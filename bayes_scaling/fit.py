"""From runs to a posterior, and the gate that says whether to trust it."""

import json
import os
import platform
import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling import laws
from bayes_scaling.assemble import UNSEEN, assemble, prior_draws
from bayes_scaling.checks import design_notes
from bayes_scaling.design import Design, design_of, grouped
from bayes_scaling.diagnostics import diagnose, gate_notes
from bayes_scaling.errors import InputError
from bayes_scaling.laws.base import Law
from bayes_scaling.noise import draw_noise, log_density
from bayes_scaling.notes import read_notes, write_notes
from bayes_scaling.predict import expected_loss, noise_scale
from bayes_scaling.progress import Progress
from bayes_scaling.runs import diverged, load_runs

__all__ = ["fit", "update"]

DEFAULT_LAW = "sparse"
PRIOR_DRAWS = 1000

FIRST_TRY = {"tune": 800, "target_accept": 0.9}
STRICTER = {"tune": 2500, "target_accept": 0.99}
"""Settings of the one refit; it also draws twice as often, since too few effective draws is one way to fail."""

_STATS = ("depth", "diverging", "energy", "logp", "maxdepth_reached", "mean_tree_accept", "n_steps", "step_size")
_COMPILED: dict[tuple[Any, ...], Any] = {}
"""Compiled models by what their code depends on: the law and the numbers of groups, never the runs."""


def fit(
    runs: Any,
    law: str | None = None,
    *,
    seed: int = 0,
    draws: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    group: str = "modality",
    progressbar: bool = True,
) -> xr.DataTree:
    """Fit the hierarchical model of a law to training runs.

    Runs whose loss is not finite have diverged; they are set aside, counted and noted. Where the sampling diagnostics
    fail, the model is fitted once more with stricter settings; where they fail again, the posterior is returned with
    notes of severity ``error`` that every later answer repeats.

    Parameters
    ----------
    runs : Dataset, DataFrame, path or list of dict
        A run table, or anything that `load_runs` takes.
    law : str, optional
        Name of the law; ``sparse`` unless said.
    seed : int
        Seed of all random numbers.
    draws : int
        Draws kept per chain.
    chains : int
        Number of chains.
    cores : int, optional
        Chains run at a time; as many as there are processors unless said.
    group : str
        The column whose values are the groups of comparable losses; its levels become the dimension ``modality``.
    progressbar : bool
        Whether to show progress on stderr, where that is a terminal.

    Returns
    -------
    DataTree
        An ArviZ posterior with the groups ``posterior`` (coefficients in physical units, over ``chain``, ``draw``,
        ``modality`` and ``structure``), ``sample_stats``, ``posterior_predictive``, ``log_likelihood``,
        ``observed_data`` and ``constant_data`` (over ``run``; log loss in nats of log), ``prior``,
        ``unseen_structure`` and ``runs``. Law, settings, diagnostics and notes are JSON in its attributes.

    Raises
    ------
    InputError
        If the law or the group is not known, a setting is out of range, or the runs are wrong or fewer than a fit can
        bear.
    """
    for name, value, least in (("seed", seed, 0), ("draws", draws, 4), ("chains", chains, 1)):
        if value < least:
            raise InputError(f"{name} is {value}; it is a whole number of at least {least}")
    known_law = laws.get(law or DEFAULT_LAW)
    table = load_runs(grouped(load_runs(runs), group))
    failed = diverged(table)
    finished = table.isel(run=np.flatnonzero(~failed.to_numpy()))
    design = design_of(finished)
    settings = {"seed": seed, "draws": draws, "chains": chains, "group": group}

    with Progress(progressbar) as progress:
        posterior = _fit_once(known_law, design, finished, FIRST_TRY, settings, cores, progress)
        found = diagnose(posterior)
        if not found["ok"]:
            progress.say("diagnostics failed; fitting once more with stricter settings")
            again = settings | {"draws": 2 * draws}
            posterior = _fit_once(known_law, design, finished, STRICTER, again, cores, progress)
            found = diagnose(posterior)

    posterior["runs"] = xr.DataTree(table)
    posterior.attrs |= {
        "law": known_law.name,
        "settings": json.dumps(settings),
        "diagnostics": json.dumps(found),
        "versions": json.dumps(_versions()),
    }
    write_notes(posterior.attrs, [*read_notes(table.attrs), *design_notes(design, finished), *gate_notes(found)])
    return posterior


def update(posterior: xr.DataTree, more_runs: Any, *, progressbar: bool = True) -> xr.DataTree:
    """Refit with runs that came later, under the same law and settings.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    more_runs : Dataset, DataFrame, path or list of dict
        The new runs; their ``run_id`` must differ from the old ones'.
    progressbar : bool
        Whether to show progress on stderr, where that is a terminal.

    Returns
    -------
    DataTree
        As `fit` returns, for the old runs and the new ones together.

    Raises
    ------
    InputError
        If the new runs are wrong or repeat a ``run_id``.
    """
    import pandas as pd

    old = posterior["runs"].to_dataset()
    settings = json.loads(posterior.attrs["settings"])
    new = grouped(load_runs(more_runs), settings["group"])
    both = pd.concat([table.reset_coords("run_id").to_dataframe() for table in (old, new)], ignore_index=True)
    return fit(both, posterior.attrs["law"], progressbar=progressbar, **settings | {"group": "modality"})


def _fit_once(
    law: Law,
    design: Design,
    runs: xr.Dataset,
    sampler: Mapping[str, Any],
    settings: Mapping[str, Any],
    cores: int | None,
    progress: Progress,
) -> xr.DataTree:
    """Sample, and put the draws into ArviZ's groups."""
    drawn, stats, seconds = _sample(law, design, sampler, settings, cores, progress)
    seed = settings["seed"]
    variables, unseen = assemble(drawn, law, design, np.random.default_rng([seed, 1]))
    prior, _ = assemble(
        prior_draws(law, design, PRIOR_DRAWS, np.random.default_rng([seed, 2])),
        law,
        design,
        np.random.default_rng([seed, 3]),
    )
    run = {"run": runs["run_id"].to_numpy()}
    observed = xr.DataArray(design.runs["log_loss"], run, ("run",))
    columns = ("modality", "structure", "strategy", "sparsity", "nonzero_params", "data_seen", "data_unit")
    constant = xr.Dataset(
        {name: ("run", runs[name].to_numpy(), runs[name].attrs) for name in columns}
        | {"log_loss_se": ("run", design.runs["log_loss_se"])}
        | {
            "reference_nonzero_params": ("level", design.nonzero_params),
            "reference_data_seen": ("level", design.data_seen),
            "rough_log_loss": ("level", design.rough_log_loss),
        },
        # `modality` itself is a column of the runs here, so its levels go by another name.
        coords=run | {"level": list(design.modality)},
    )
    tree = xr.DataTree.from_dict(
        {
            "posterior": variables,
            "sample_stats": stats,
            "prior": prior,
            UNSEEN: unseen,
            "observed_data": xr.Dataset({"log_loss": observed}),
            "constant_data": constant,
        }
    )
    tree.attrs = {"law": law.name, "settings": json.dumps(dict(settings)), "seconds": json.dumps(seconds)}

    progress.say("pointwise likelihood and posterior predictive")
    mean = xr.apply_ufunc(np.log, expected_loss(tree, runs)).assign_coords(run)
    scale = noise_scale(tree, runs, design.runs["log_loss_se"]).assign_coords(run)
    predicted = mean + scale * draw_noise(mean.shape, np.random.default_rng([seed, 4]))
    tree["posterior_predictive"] = xr.DataTree(xr.Dataset({"log_loss": predicted}))
    density = mean.copy(data=log_density(observed.to_numpy(), mean.to_numpy(), scale.to_numpy()))
    tree["log_likelihood"] = xr.DataTree(xr.Dataset({"log_loss": density}))
    return tree


def _sample(
    law: Law,
    design: Design,
    sampler: Mapping[str, Any],
    settings: Mapping[str, Any],
    cores: int | None,
    progress: Progress,
) -> tuple[dict[str, np.ndarray], xr.Dataset, dict[str, float]]:
    """The free variables' draws, the sampler's statistics, and how long it took."""
    progress.say("importing PyMC")
    began = time.perf_counter()
    import nutpie

    from bayes_scaling.model import build_model

    progress.say("compiling the model (a minute the first time, less later)")
    start = time.perf_counter()
    model = build_model(law, design)
    shape = (law.name, repr(law.priors), design.pretrained, len(design.modality), len(design.cells))
    if shape not in _COMPILED:
        # Free variables only: a traced variable of the length of the runs would tie the code to that length.
        _COMPILED[shape] = nutpie.compile_pymc_model(model, var_names=[v.name for v in model.free_RVs])
    data = {name: value.get_value() for name, value in model.named_vars.items() if hasattr(value, "get_value")}
    compiled = _COMPILED[shape].with_data(**data)
    compiled_at = time.perf_counter()

    trace = nutpie.sample(
        compiled,
        draws=settings["draws"],
        chains=settings["chains"],
        seed=settings["seed"],
        cores=min(settings["chains"], cores or os.cpu_count() or 1),
        save_warmup=False,
        progress_bar=False,
        progress_callback=progress.sampling,
        **sampler,
    )
    drawn = {name: values.to_numpy() for name, values in trace["posterior"].to_dataset().data_vars.items()}
    stats = trace["sample_stats"].to_dataset()
    stats = stats[[name for name in _STATS if name in stats]].rename({"logp": "lp"})
    seconds = {"import": start - began, "compile": compiled_at - start, "sample": time.perf_counter() - compiled_at}
    return {str(name): values for name, values in drawn.items()}, stats, seconds


def _versions() -> dict[str, str]:
    packages = ("bayes-scaling", "pymc", "pytensor", "nutpie", "arviz", "xarray", "numpy")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in packages}
