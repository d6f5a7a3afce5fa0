"""Adaptive importance sampling: exact draws from a density that is close to a multivariate t, if the weights say so.

Their Pareto shape (k-hat; Vehtari et al., arXiv:1507.02646) tells when it fails. The proposals are adapted in a few
rounds, and all rounds count (deterministic mixture weights, as in Cornuet et al., arXiv:0907.1254).
"""

import numpy as np
from scipy.special import gammaln, logsumexp

from bayes_scaling.compiled import Density

__all__ = ["importance"]

ROUNDS = (1000, 1000, 1500, 2500)
"""Points drawn in each round of adaptation."""

PROPOSAL_DF = 4


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
