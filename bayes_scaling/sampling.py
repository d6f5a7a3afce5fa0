"""From a model's density to draws: whitening at the mode, then NUTS by nutpie."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import softmax

from bayes_scaling.compiled import Compiled, Density, split
from bayes_scaling.curvature import STEP, hessian
from bayes_scaling.design import Design
from bayes_scaling.inputs import inputs
from bayes_scaling.laws.base import Grouped, Law, Pooled, latent_name

__all__ = ["nuts", "whitened"]

FLATTEST = 0.1
"""Least curvature of the log density that is believed: where priors are normal, they alone curve it by about one."""

SEARCHES, START_SD = 6, 0.5
"""Searches for the mode, and how far around the model's initial point they start."""

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

    Searches start from the model's initial point and around it, since single ones stop early on this kind of surface;
    the best is followed once more in coordinates that its own curvature has made even.

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
    found = [_search(density, start) for start in starts]
    even = _even(density, max(found, key=lambda point: density(point)[0]), times=2)
    crowded = [name for name, prior in design.active(law).items() if _crowded(prior, design)]
    for _ in range(ROUNDS if crowded else 0):
        spreads = {name: _likely_spreads(even, name, law, design) for name in crowded}
        even = _even(Density(code, inputs(law, design, average_spread=spreads)), even.centre, times=1)
    return Density(code, inputs(law, design), even.centre, even.root)


def _even(density: Density, point: np.ndarray, times: int) -> Density:
    """The density in coordinates that its curvature at its mode makes even, climbing there from a point nearby."""
    for _ in range(times):
        even = density.moved(point, _root(density, point))
        point = even.centre + even.root @ _search(even, np.zeros(len(point)))
    return density.moved(point, _root(density, point))


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
    values, vectors = np.linalg.eigh(precision - even.data[f"{latent}_precision"][0])
    from_runs = (vectors * np.maximum(values, 0)) @ vectors.T
    within, log_det = population.precision(groups)
    total = within + from_runs
    evidence = log_det - np.linalg.slogdet(total)[1] + np.linalg.solve(total, pull) @ pull
    return softmax(evidence / 2)


def _search(density: Density, start: np.ndarray) -> np.ndarray:
    """Where climbing from a start ends."""
    from scipy import optimize

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = density(x)
        return (-value, -gradient) if np.isfinite(value) else (1e300, gradient)

    options = {"maxiter": 2000, "maxfun": 4000, "maxcor": 30, "ftol": 1e-13, "gtol": 1e-6}
    return np.asarray(optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x)


def _root(density: Density, point: np.ndarray) -> np.ndarray:
    """A root of the inverse of minus the Hessian, whose directions of too little or wrong curvature are bounded."""
    values, vectors = np.linalg.eigh(-hessian(density, point))
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
