"""Posteriors by the hundred: importance sampling around the mode, and NUTS where that will not do.

Validation refits a law again and again, to most of the runs or to simulated ones. In the coordinates that the model is
sampled in, its posterior is close enough to a multivariate t that importance sampling is exact, quick, and knows when
it fails: by the Pareto shape of its weights (k-hat; Vehtari et al., arXiv:1507.02646). The proposals are adapted in a
few rounds, and all rounds count (deterministic mixture weights, as in Cornuet et al., arXiv:0907.1254).
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import gammaln, logsumexp

from bayes_scaling import laws
from bayes_scaling.assemble import posterior_of
from bayes_scaling.compiled import Density, compiled_model
from bayes_scaling.design import Design, design_of
from bayes_scaling.discrepancy import SCALE, add_discrepancy
from bayes_scaling.laws.base import Law
from bayes_scaling.mixture import mix
from bayes_scaling.priors import given, stated
from bayes_scaling.sampling import nuts, whitened
from bayes_scaling.threads import one_blas_thread

__all__ = ["MAX_KHAT", "importance", "refit", "sampled"]

ROUNDS = (1000, 1000, 1500, 2500)
"""Points drawn in each round of adaptation."""

PROPOSAL_DF = 4
MAX_KHAT = 0.5
"""Up to here the weights have a finite variance (arXiv:1507.02646). Means bear more, up to 0.7, but the tails of T5's
irreducible loss then came out short."""

LEAST_ESS = 200
FALLBACK: dict[str, Any] = {"tune": 400, "target_accept": 0.9, "chains": 4}


def refit(
    runs: xr.Dataset,
    law: Law,
    *,
    prior: Mapping[str, Any] | None = None,
    seed: int = 0,
    draws: int = 2000,
    discrepancy: bool = True,
) -> xr.DataTree:
    """The posterior of a law for a validated run table, with what answering questions needs and no more.

    Parameters
    ----------
    runs : Dataset
        Finished runs, as `load_runs` returns them, grouped by ``modality``.
    law : Law
    prior : dict of pymc_extras.prior.Prior, optional
        As `bayes_scaling.fit` takes it.
    seed : int
    draws : int
        Draws returned, in one chain.
    discrepancy : bool
        Whether losses beyond the runs carry what the law may miss there.

    Returns
    -------
    DataTree
        As `posterior_of` makes it. The attribute ``diagnostics`` is JSON with ``method`` ("importance" or "nuts"),
        ``khat`` and ``ess``, both of importance sampling.
    """
    design = design_of(runs)
    own = stated(prior, law)
    if law.parts:
        fitted = {name: _refit(runs, given(laws.get(name), own), design, seed, draws) for name in law.parts}
        tree = mix(fitted, law, np.random.default_rng([seed, 8]))
        found = {name: json.loads(part.attrs["diagnostics"]) for name, part in fitted.items()}
        weakest = max(found.values(), key=lambda f: f["khat"])
        tree.attrs["diagnostics"] = json.dumps(weakest | {"laws": found})
    else:
        tree = _refit(runs, given(law, own), design, seed, draws)
    add_discrepancy(tree, SCALE if discrepancy else 0.0, np.random.default_rng([seed, 7]))
    return tree


def _refit(runs: xr.Dataset, law: Law, design: Design, seed: int, draws: int) -> xr.DataTree:
    chains, found = sampled(law, design, seed=seed, draws=draws)
    drawn = {name: values.reshape(1, -1, *values.shape[2:])[:, :draws] for name, values in chains.items()}
    tree = posterior_of(drawn, law, design, runs, {"seed": seed, "group": "modality"})
    tree.attrs["diagnostics"] = json.dumps(found)
    return tree


def sampled(
    law: Law, design: Design, *, seed: int, draws: int, thin: int = 2
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Draws from the posterior of a design: importance sampling, or NUTS where its weights will not do.

    Parameters
    ----------
    law : Law
        Without parts.
    design : Design
    seed : int
    draws : int
    thin : int
        Every how many draws NUTS keeps one.

    Returns
    -------
    drawn : dict of ndarray, shape (chain, draw, …)
        The model's free variables; as many draws as asked for, or a few more.
    found : dict
        ``method``, ``khat`` and ``ess``.
    """

    def build() -> Any:
        from bayes_scaling.model import build_model

        return build_model(law, design)

    with one_blas_thread():
        density = whitened(compiled_model(law, design, build), law, design)
        points, found = importance(density, draws, np.random.default_rng([seed, 6]))
        if found["khat"] <= MAX_KHAT and found["ess"] >= LEAST_ESS:
            drawn = {name: values[None] for name, values in density.variables(points).items()}
            return drawn, found | {"method": "importance"}
        drawn, _ = nuts(density, seed=seed, draws=-(-draws // FALLBACK["chains"]), thin=thin, **FALLBACK)
    return drawn, found | {"method": "nuts"}


def importance(density: Density, draws: int, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, float]]:
    """Draw from a density by adaptive importance sampling and resampling.

    Parameters
    ----------
    density : Density
        Whitened.
    draws : int
    rng : numpy.random.Generator

    Returns
    -------
    points : ndarray, shape (draws, dim)
    found : dict
        ``khat``, the Pareto shape of the weights, and ``ess``, the effective number of points before resampling.
    """
    from arviz_stats.base import array_stats

    proposals = [(np.zeros(density.code.dim), np.eye(density.code.dim))]
    points = np.empty((0, density.code.dim))
    target = np.empty(0)
    for i, count in enumerate(ROUNDS):
        mean, root = proposals[-1]
        heavy = np.sqrt(rng.chisquare(PROPOSAL_DF, (count, 1)) / PROPOSAL_DF)
        fresh = mean + rng.standard_normal((count, len(mean))) @ root.T / heavy
        points = np.vstack([points, fresh])
        target = np.concatenate([target, [density(point)[0] for point in fresh]])
        share = np.array(ROUNDS[: i + 1]) / sum(ROUNDS[: i + 1])
        mixture = [np.log(s) + _log_t(points, *proposal) for s, proposal in zip(share, proposals, strict=True)]
        log_weight = target - logsumexp(mixture, axis=0)
        weight = np.exp(log_weight - logsumexp(log_weight))
        # A few points with most of the weight must not narrow the next proposal to themselves.
        clipped = np.minimum(weight, np.sort(weight)[-max(len(weight) // 50, 10)])
        clipped /= clipped.sum()
        mean = clipped @ points
        centred = points - mean
        covariance = (centred * clipped[:, None]).T @ centred + 1e-6 * np.eye(len(mean))
        proposals.append((mean, np.linalg.cholesky(covariance)))
    finite = np.isfinite(log_weight)
    # ArviZ takes log likelihoods, whose weights are their inverses.
    smoothed, khat = array_stats.psislw(log_weight[finite].max() - log_weight[finite])
    weight = np.exp(smoothed - logsumexp(smoothed))
    # Systematic resampling: as even as weights allow.
    position = (np.arange(draws) + rng.random()) / draws
    chosen = np.searchsorted(np.cumsum(weight), position).clip(max=len(weight) - 1)
    picked = points[finite][rng.permutation(chosen)]
    return picked, {"khat": float(khat), "ess": float(1 / (weight**2).sum())}


def _log_t(points: np.ndarray, mean: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Log density of a multivariate t."""
    from scipy.linalg import solve_triangular

    dim = len(mean)
    square = (solve_triangular(root, (points - mean).T, lower=True) ** 2).sum(axis=0)
    constant = gammaln((PROPOSAL_DF + dim) / 2) - gammaln(PROPOSAL_DF / 2) - dim / 2 * np.log(PROPOSAL_DF * np.pi)
    return constant - np.log(np.diag(root)).sum() - (PROPOSAL_DF + dim) / 2 * np.log1p(square / PROPOSAL_DF)
