"""From a model's density to draws: whitening at the mode, then NUTS by nutpie."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import softmax

from bayes_scaling.compiled import Compiled, Density, split
from bayes_scaling.curvature import STEP
from bayes_scaling.design import Design
from bayes_scaling.group_curvature import hessian_by_groups
from bayes_scaling.inputs import inputs
from bayes_scaling.laws.base import Grouped, Law, Pooled, latent_name

__all__ = ["nuts", "whitened"]

FLATTEST = 0.1
"""Least curvature of the log density that is believed: where priors are normal, they alone curve it by about one."""

SEARCHES, START_SD = 2, 0.5
"""Searches for the mode, and how far around the model's initial point they start."""

LEG, LEGS, GAIN = 20, 60, 1e-5
"""Steps of a search until its coordinates are made even anew, how often that is done at most, and which gain of the log
density is too little to go on."""

FEW_GROUPS = 4
"""Up to so many groups, the prior of the spread between them says as much of it as they do."""

ROUNDS = 3
"""Of finding the spread that many groups make likely."""

_STATS = ("depth", "diverging", "energy", "logp", "maxdepth_reached", "mean_tree_accept", "n_steps", "step_size")


def whitened(code: Compiled, law: Law, design: Design) -> Density:
    """A model's density in coordinates in which it is about a standard normal.

    These are centred and scaled at the mode that it has when populations have their average spread. Many groups know
    their spread far better than its prior does: there spreads count by how likely they make the runs, which is worked
    out around that mode in a few rounds.

    Searches start from the model's initial point and around it, and go in coordinates that the curvature where they are
    makes even: in the model's own, single ones stop early on this kind of surface, or take thousands of steps.

    Parameters
    ----------
    code : Compiled
    law : Law
    design : Design

    Returns
    -------
    Density
    """
    density = Density(code, inputs(law, design, average_spread={}))
    first = np.array(density.code.start)
    rng = np.random.default_rng(0)
    starts = [first, *(first + rng.normal(0, START_SD, (SEARCHES - 1, len(first))))]
    found = [_even(density, law, design, start) for start in starts]
    even = max(found, key=lambda there: density(there.centre)[0])
    crowded = [name for name, prior in design.active(law).items() if _crowded(prior, design)]
    for _ in range(ROUNDS if crowded else 0):
        spreads = {name: _likely_spreads(even, name, law, design) for name in crowded}
        even = _even(Density(code, inputs(law, design, average_spread=spreads)), law, design, even.centre)
    return Density(code, inputs(law, design), even.centre, even.root)


def _even(density: Density, law: Law, design: Design, point: np.ndarray) -> Density:
    """The density in coordinates that its curvature at its mode makes even, climbing there from a point."""
    even, last = density.moved(point, _root(density, law, design, point)), -np.inf
    for _ in range(LEGS):
        point = even.centre + even.root @ _climb(even)
        even = density.moved(point, _root(density, law, design, point))
        value = density(point)[0]
        if not value > last + GAIN:
            break
        last = value
    return even


def _crowded(prior: Grouped, design: Design) -> bool:
    return isinstance(prior, Pooled) and len(design.groups(prior)) > FEW_GROUPS


def _likely_spreads(even: Density, name: str, law: Law, design: Design) -> np.ndarray:
    """Weights of a population's spreads: how likely the runs are under each, to second order around the mode."""
    prior = design.active(law)[name]
    assert isinstance(prior, Pooled)
    latent = latent_name(name, prior)
    steps = STEP * np.eye(even.code.dim)
    ahead, behind = even.variables(steps)[latent], even.variables(-steps)[latent]
    jacobian = (ahead - behind).T / (2 * STEP)
    population, groups = design.population(prior)
    precision = np.linalg.inv(jacobian @ jacobian.T)
    pull = precision @ (even.variables(np.zeros(even.code.dim))[latent] - population.mean)
    # What the runs alone say of the groups is what is left without the population of now.
    axes, along = even.data[f"{latent}_axes"][0], even.data[f"{latent}_precision"][0, 0]
    values, vectors = np.linalg.eigh(precision - (axes.T * along) @ axes)
    from_runs = (vectors * np.maximum(values, 0)) @ vectors.T
    within, log_det = population.precision(groups)
    total = within + from_runs
    evidence = log_det - np.linalg.slogdet(total)[1] + np.linalg.solve(total, pull) @ pull
    return softmax(evidence / 2)


def _climb(density: Density) -> np.ndarray:
    """Where climbing from zero gets in some steps."""
    from scipy import optimize

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = density(x)
        return (-value, -gradient) if np.isfinite(value) else (1e300, gradient)

    options = {"maxiter": LEG, "maxcor": LEG, "ftol": 1e-13, "gtol": 1e-6}
    start = np.zeros(density.code.dim)
    return np.asarray(optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x)


def _root(density: Density, law: Law, design: Design, point: np.ndarray) -> np.ndarray:
    """A root of the inverse of minus the Hessian, whose directions of too little or wrong curvature are bounded."""
    values, vectors = np.linalg.eigh(-hessian_by_groups(density, law, design, point))
    return vectors / np.sqrt(np.maximum(np.abs(values), FLATTEST))


def nuts(
    density: Density,
    *,
    draws: int,
    tune: int,
    chains: int,
    seed: int,
    target_accept: float,
    thin: int = 1,
    cores: int | None = None,
    progress: Callable[[list[Any]], None] | None = None,
) -> tuple[dict[str, np.ndarray], xr.Dataset]:
    """Sample a density by NUTS.

    Parameters
    ----------
    density : Density
        Whitened, so that chains may start around zero and a short tuning is enough.
    draws, tune, chains : int
        Kept and discarded draws per chain; number of chains.
    thin : int
        Every how many draws one is kept. Draws are cheap here and whatever is worked out of them is not.
    seed : int
    target_accept : float
        Acceptance that the step size is tuned to.
    cores : int, optional
        Chains run at a time; as many as there are processors unless said.
    progress : callable, optional
        Called with nutpie's progress of all chains now and then.

    Returns
    -------
    drawn : dict of ndarray, shape (chain, draw, …)
        The model's variables.
    stats : Dataset
        The sampler's statistics over (``chain``, ``draw``); a draw counts as divergent if one that it stands for was.
    """
    import nutpie

    running = nutpie.sample(
        _for_nutpie(density),
        draws=draws * thin,
        tune=tune,
        chains=chains,
        seed=seed,
        cores=min(chains, cores or os.cpu_count() or 1),
        target_accept=target_accept,
        save_warmup=False,
        progress_bar=False,
        progress_callback=progress,
        blocking=False,
    )
    # Left to itself, nutpie answers an interrupt with the draws made so far, as if they were all.
    try:
        trace = running.wait()
    except BaseException:
        running.cancel()
        raise
    stats = trace["sample_stats"].to_dataset()
    stats = stats[[name for name in _STATS if name in stats]].rename({"logp": "lp"})
    ending = {name: stats[name].coarsen(draw=thin).max() for name in ("diverging", "maxdepth_reached")}
    kept = stats.isel(draw=slice(thin - 1, None, thin)).drop_vars("draw")
    kept = kept.assign({name: values.drop_vars("draw") > 0 for name, values in ending.items()})
    drawn = trace["posterior"]["variables"].to_numpy()[:, thin - 1 :: thin]
    return split(density.code, drawn), kept.assign_coords(draw=np.arange(draws))


def _for_nutpie(density: Density) -> Any:
    """The density as nutpie takes compiled models: C functions, and a table that they read their data from."""
    from nutpie.compile_pymc import CompiledPyMCModel

    code = density.code

    def start(seed: Any) -> np.ndarray:
        # Wider than the posterior, as R-hat wants, in coordinates in which that is about a standard normal.
        return np.random.default_rng(seed).uniform(-2, 2, code.dim)

    names: Mapping[str, Any] = {"variables": (code.expanded,)}
    return CompiledPyMCModel(
        _n_dim=code.dim,
        dims={},
        _coords={},
        _shapes=dict(names),
        compiled_logp_func=code.density,
        compiled_expand_func=code.expand,
        initial_point_func=start,
        shared_data={"density": density},
        shared_var_keys={},
        user_data=density.table,
        n_expanded=code.expanded,
        shape_info=(["variables"], [slice(0, code.expanded)], [(code.expanded,)]),
        logp_func=None,
        expand_func=None,
        reparameterized_names=[],
    )
