"""From runs to a posterior, and the gate that says whether to trust it."""

import json
import math
import platform
import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling import laws
from bayes_scaling.assemble import assemble, posterior_of, prior_draws
from bayes_scaling.checks import design_notes
from bayes_scaling.compiled import compiled_model
from bayes_scaling.design import Design, design_of, grouped
from bayes_scaling.diagnostics import diagnose, gate_notes, nearly, worst
from bayes_scaling.discrepancy import SCALE, add_discrepancy
from bayes_scaling.errors import InputError
from bayes_scaling.groups import refuse_studies
from bayes_scaling.laws.base import Law
from bayes_scaling.log_prior import log_prior
from bayes_scaling.mixing import mix
from bayes_scaling.notes import read_notes, write_notes
from bayes_scaling.pointwise import MOST_NUMBERS, add_pointwise
from bayes_scaling.priors import as_json, given, stated
from bayes_scaling.progress import Progress
from bayes_scaling.review import review
from bayes_scaling.runs import diverged, load_runs
from bayes_scaling.sampling import nuts, whitened
from bayes_scaling.threads import one_blas_thread

__all__ = ["FIRST_TRY", "STRICTER", "fit", "update", "versions"]

DEFAULT_LAW = "sparse+coupled"
PRIOR_DRAWS = 1000

MANY_RUNS = 3000
"""From here on a draw costs more than keeping it, and posteriors are close to normal: no draw is thinned away."""

FIRST_TRY = {"tune": 400, "target_accept": 0.9, "thin": 2}
LONGER = FIRST_TRY | {"thin": 8}
"""Settings where all that a first try lacked is draws: chains of four times the length, thinned to as many."""

STRICTER = {"tune": 2000, "target_accept": 0.99, "thin": 4}
"""Settings of a refit where steps were too long as well. It also keeps twice as many draws."""


def fit(
    runs: Any,
    law: str | None = None,
    *,
    seed: int = 0,
    draws: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    group: str = "modality",
    prior: Mapping[str, Any] | None = None,
    discrepancy: bool = True,
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
        Name of the law, which then stands alone. Unless one is named, a quarter of the draws come from ``sparse`` and
        the others from ``coupled``, which predicted held-out scales of public sweeps best; the coordinate ``law`` tells
        which.
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
    prior : dict of pymc_extras.prior.Prior, optional
        Priors in place of the law's own, by the name of the quantity, on its own scale: ``b_N``, ``b_D``, ``b_S``,
        ``floor`` (the share of the size term that no sparsity removes), ``k``, ``reference_loss`` (the loss at a
        modality's reference point), ``share`` (of the size term, irreducible loss and the data term in it: a
        Dirichlet), ``sigma`` (of log loss). A distribution with numbers for parameters holds in each group by itself;
        ``Prior("Normal", mu=Prior("Normal", mu=-1.2, sigma=0.3), sigma=Prior("HalfNormal", sigma=0.3),
        transform="exp")`` pools groups. Priors travel with the posterior, and `update` keeps them.
    discrepancy : bool
        Whether losses beyond the runs carry what the law may miss there (`discrepancy`); coefficients and optima never
        do, and nothing changes inside the range of the runs.
    progressbar : bool
        Whether to show progress on stderr, where that is a terminal.

    Returns
    -------
    DataTree
        An ArviZ posterior with the groups ``posterior`` (coefficients in physical units, over ``chain``, ``draw``,
        ``modality`` and ``structure``), ``sample_stats``, ``posterior_predictive``, ``prior_predictive``,
        ``log_likelihood``, ``observed_data`` and ``constant_data`` (over ``run``; log loss in nats of log), ``prior``,
        ``unseen_structure`` and ``runs``. Law, settings, diagnostics and notes are JSON in its attributes.

    Raises
    ------
    InputError
        If the law or the group is not known, a setting is out of range, a prior is of an unknown quantity or allows
        what its quantity cannot be, or the runs are wrong or fewer than a fit can bear.
    """
    for name, value, least in (("seed", seed, 0), ("draws", draws, 4), ("chains", chains, 1)):
        if value < least:
            raise InputError(f"{name} is {value}; it is a whole number of at least {least}")
    known_law = laws.get(law or DEFAULT_LAW)
    own = stated(prior, known_law)
    parts = [given(part, own) for part in [laws.get(name) for name in known_law.parts] or [known_law]]
    table = load_runs(grouped(load_runs(runs), group))
    failed = diverged(table)
    finished = table.isel(run=np.flatnonzero(~failed.to_numpy()))
    design = design_of(finished, known_law)
    settings: dict[str, Any] = {"seed": seed, "draws": draws, "chains": chains, "group": group}
    settings |= {"discrepancy": discrepancy} | ({"prior": as_json(own)} if own else {})

    with Progress(progressbar) as progress:
        fitted = {part.name: _gated(part, design, finished, settings, cores, progress) for part in parts}
        posterior = fitted[known_law.name] if not known_law.parts else _mixed(known_law, fitted, seed)
        found = json.loads(posterior.attrs["diagnostics"])
        add_discrepancy(posterior, SCALE if discrepancy else 0.0, np.random.default_rng([seed, 7]))
        progress.say("pointwise likelihood and posterior predictive")
        posterior["runs"] = xr.DataTree(table)
        few = _thinned(posterior, finished.sizes["run"])
        add_pointwise(few, finished, design.runs["log_loss_se"], seed)
        for name in ("observed_data", "posterior_predictive", "log_likelihood", "prior_predictive"):
            posterior[name] = few[name]
        posterior.attrs |= {"settings": json.dumps(settings), "versions": json.dumps(versions())}
        few.attrs |= posterior.attrs
        progress.say("looking for what the law misses")
        about_runs = [*read_notes(table.attrs), *design_notes(design, finished, known_law)]
        write_notes(posterior.attrs, [*about_runs, *gate_notes(found), *review(few)])
    return posterior


def update(posterior: xr.DataTree, more_runs: Any, *, progressbar: bool = True) -> xr.DataTree:
    """Refit with runs that came later, under the same law, priors and settings.

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

    refuse_studies(posterior)
    old = posterior["runs"].to_dataset()
    settings = json.loads(posterior.attrs["settings"])
    new = grouped(load_runs(more_runs), settings["group"])
    both = pd.concat([table.reset_coords("run_id").to_dataframe() for table in (old, new)], ignore_index=True)
    return fit(both, posterior.attrs["law"], progressbar=progressbar, **settings | {"group": "modality"})


def _gated(
    law: Law,
    design: Design,
    runs: xr.Dataset,
    settings: Mapping[str, Any],
    cores: int | None,
    progress: Progress,
) -> xr.DataTree:
    """The posterior of one law with its prior and diagnostics, tried again where these fail."""
    posterior = _fit_once(law, design, runs, FIRST_TRY, settings, cores, progress)
    found = diagnose(posterior)
    if nearly(found) and len(design.cell_of_run) <= MANY_RUNS:
        progress.say("too few effective draws; fitting once more with longer chains")
        posterior = _fit_once(law, design, runs, LONGER, settings, cores, progress)
        found = diagnose(posterior)
    if not found["ok"]:
        progress.say("diagnostics failed; fitting once more with stricter settings")
        again = dict(settings) | {"draws": 2 * settings["draws"]}
        posterior = _fit_once(law, design, runs, STRICTER, again, cores, progress)
        found = diagnose(posterior)
    posterior.attrs["diagnostics"] = json.dumps(found)
    return posterior


def _mixed(law: Law, fitted: Mapping[str, xr.DataTree], seed: int) -> xr.DataTree:
    """The posteriors of a law's parts as one, with the worst of their diagnostics."""
    draws = min(part["posterior"].sizes["draw"] for part in fitted.values())  # a second attempt has more
    alike = {
        name: part.map_over_datasets(lambda ds: ds.isel(draw=slice(draws)) if ds.sizes.get("draw", 0) > draws else ds)
        for name, part in fitted.items()
    }
    posterior = mix(alike, law, np.random.default_rng([seed, 8]))
    parts = {name: json.loads(part.attrs["diagnostics"]) for name, part in fitted.items()}
    seconds = [json.loads(part.attrs["seconds"]) for part in fitted.values()]
    posterior.attrs |= {
        "diagnostics": json.dumps(worst(parts.values()) | {"laws": parts}),
        "seconds": json.dumps({stage: sum(each[stage] for each in seconds) for stage in seconds[0]}),
    }
    return posterior


def _fit_once(
    law: Law,
    design: Design,
    runs: xr.Dataset,
    sampler: Mapping[str, Any],
    settings: Mapping[str, Any],
    cores: int | None,
    progress: Progress,
) -> xr.DataTree:
    """Sample, and put the draws and the prior's into ArviZ's groups."""
    drawn, stats, seconds = _sample(law, design, sampler, settings, cores, progress)
    seed = settings["seed"]
    tree = posterior_of(drawn, law, design, runs, settings)
    prior, _ = assemble(
        prior_draws(law, design, PRIOR_DRAWS, np.random.default_rng([seed, 2])),
        law,
        design,
        np.random.default_rng([seed, 3]),
    )
    tree["prior"] = xr.DataTree(prior)
    tree["sample_stats"] = xr.DataTree(stats)
    tree["log_prior"] = xr.DataTree(log_prior(tree["posterior"].to_dataset(), law, design))
    tree.attrs["seconds"] = json.dumps(seconds)
    return tree


def _thinned(posterior: xr.DataTree, runs: int) -> xr.DataTree:
    """The posterior with as many draws as numbers per draw and run are affordable; usually all."""
    sizes = posterior["posterior"].sizes
    every = math.ceil(sizes["chain"] * sizes["draw"] * runs / MOST_NUMBERS)
    groups = {}
    for name, node in posterior.children.items():
        group = node.to_dataset()
        by_draw = "draw" in group.dims and name != "prior"
        groups[name] = group.isel(draw=slice(every - 1, None, every)) if by_draw else group
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = dict(posterior.attrs)
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
    progress.say("importing the sampler")
    began = time.perf_counter()
    import nutpie  # noqa: F401  (takes seconds, which are no part of sampling)

    def build() -> Any:
        progress.say("compiling the model (a minute the first time, kept for later)")
        from bayes_scaling.model import build_model

        return build_model(law, design)

    start = time.perf_counter()
    code = compiled_model(law, design, build)
    compiled_at = time.perf_counter()
    progress.say("finding the mode")
    if len(design.cell_of_run) > MANY_RUNS:
        sampler = {**sampler, "thin": 1}
    with one_blas_thread():
        drawn, stats = nuts(
            whitened(code, law, design),
            draws=settings["draws"],
            chains=settings["chains"],
            seed=settings["seed"],
            cores=cores,
            progress=progress.sampling,
            **sampler,
        )
    seconds = {"import": start - began, "compile": compiled_at - start, "sample": time.perf_counter() - compiled_at}
    return drawn, stats, seconds


def versions() -> dict[str, str]:
    """Of Python and the packages that a posterior hangs on."""
    packages = ("bayes-scaling", "pymc", "pytensor", "nutpie", "arviz", "xarray", "numpy")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in packages}
