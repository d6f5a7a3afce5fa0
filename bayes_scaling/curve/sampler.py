"""Adaptive importance sampling of a density that takes thousands of points at once.

From the prior on, each round draws from what the weights say so far: in turn around their mean, which finds the place,
and around a handful of points drawn by weight, which follows bends and second modes. Where few points have all the
weight, weights are tempered until they count for enough of them. All points count, weighted by the mixture of all
proposals (adaptive multiple importance sampling, Cornuet et al., arXiv:0907.1254), and the Pareto shape of the weights
tells when that fails (Vehtari et al., arXiv:1507.02646).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, logsumexp

__all__ = ["Sample", "sample"]

FIRST, EACH = 2000, 1000
"""Points drawn from the prior, and in each round."""

LEAST_ROUNDS, MOST_ROUNDS, STRICT_ROUNDS = 5, 14, 40
WANTED = 400
"""Rounds go on until weights are worth so many points, if they ever are."""

TEMPERED = 80
"""How many points tempered weights are worth at least."""

CENTRES, SHRINK = 16, 0.6
"""Local proposals: around how many points, and how wide, relative to all of the posterior."""

PROPOSAL_DF = 5


@dataclass(frozen=True)
class Sample:
    """Equally weighted draws, and what is known of how they were found.

    Attributes
    ----------
    points : ndarray, shape (draw, dim)
    log_evidence : float
        Log of the density's integral.
    khat, ess : float
        Pareto shape of the weights and effective number of points, before resampling.
    """

    points: np.ndarray
    log_evidence: float
    khat: float
    ess: float


@dataclass(frozen=True)
class _Proposal:
    """Multivariate t distributions of one shape around several centres."""

    centres: np.ndarray
    root: np.ndarray
    count: int

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        dim = len(self.root)
        heavy = np.sqrt(rng.chisquare(PROPOSAL_DF, (self.count, 1)) / PROPOSAL_DF)
        around = self.centres[rng.integers(len(self.centres), size=self.count)]
        return around + rng.standard_normal((self.count, dim)) @ self.root.T / heavy

    def log_density(self, points: np.ndarray) -> np.ndarray:
        dim, white = len(self.root), np.linalg.inv(self.root)
        place, centres = points @ white.T, self.centres @ white.T
        square = np.maximum((place**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * place @ centres.T, 0)
        kernel = (1 + square / PROPOSAL_DF) ** (-(PROPOSAL_DF + dim) / 2)
        constant = gammaln((PROPOSAL_DF + dim) / 2) - gammaln(PROPOSAL_DF / 2) - dim / 2 * np.log(PROPOSAL_DF * np.pi)
        return np.log(kernel.mean(axis=1)) + constant - np.log(np.diag(self.root)).sum()


def sample(
    density: Callable[[np.ndarray], np.ndarray],
    mean: np.ndarray,
    sd: np.ndarray,
    *,
    draws: int,
    rng: np.random.Generator,
    strict: bool = False,
) -> Sample:
    """Draw from a density.

    Parameters
    ----------
    density : callable
        Log density, not normalised, of points of shape (n, dim).
    mean, sd : ndarray, shape (dim,)
        Of the prior, from which the first points are drawn.
    draws : int
    rng : numpy.random.Generator
    strict : bool
        Whether to go on for longer before giving up.

    Returns
    -------
    Sample
    """
    from arviz_stats.base import array_stats

    proposals = [_Proposal(mean[None], np.diag(sd), FIRST)]
    points = proposals[0].draw(rng)
    log_target, log_proposed = density(points), [proposals[0].log_density(points)]
    rounds, wanted = (STRICT_ROUNDS, 2 * WANTED) if strict else (MOST_ROUNDS, WANTED)
    for turn in range(rounds + 1):
        counts = np.array([proposal.count for proposal in proposals])
        log_weight = log_target - logsumexp(np.array(log_proposed) + np.log(counts / counts.sum())[:, None], axis=0)
        if turn == rounds or (turn >= LEAST_ROUNDS and _worth(log_weight) >= wanted):
            break
        proposal = _next_proposal(points, log_weight, sd, turn, rng)
        fresh = proposal.draw(rng)
        log_proposed = [np.append(old, p.log_density(fresh)) for old, p in zip(log_proposed, proposals, strict=True)]
        proposals.append(proposal)
        points, log_target = np.vstack([points, fresh]), np.append(log_target, density(fresh))
        log_proposed.append(proposal.log_density(points))
    finite = np.isfinite(log_weight)
    # ArviZ takes log likelihoods, whose weights are their inverses.
    smoothed, khat = array_stats.psislw(log_weight[finite].max() - log_weight[finite])
    weight = np.exp(smoothed - logsumexp(smoothed))
    position = (np.arange(draws) + rng.random()) / draws  # systematic: as even as weights allow
    chosen = np.searchsorted(np.cumsum(weight), position).clip(max=len(weight) - 1)
    return Sample(
        points=points[finite][rng.permutation(chosen)],
        log_evidence=float(logsumexp(log_weight) - np.log(len(log_weight))),
        khat=float(khat),
        ess=float(1 / (weight**2).sum()),
    )


def _worth(log_weight: np.ndarray) -> float:
    """How many points weights are worth."""
    weight = np.exp(log_weight - log_weight.max())
    return float(weight.sum() ** 2 / (weight**2).sum())


def _next_proposal(
    points: np.ndarray, log_weight: np.ndarray, sd: np.ndarray, turn: int, rng: np.random.Generator
) -> _Proposal:
    tempered = _tempered(log_weight)
    weight = np.exp(tempered - logsumexp(tempered))
    mean = weight @ points
    away = points - mean
    root = np.linalg.cholesky((away.T * weight) @ away + np.diag(1e-8 * sd**2))
    if turn % 2 == 0:
        return _Proposal(mean[None], root, EACH)
    return _Proposal(points[rng.choice(len(points), CENTRES, p=weight)], SHRINK * root, EACH)


def _tempered(log_weight: np.ndarray) -> np.ndarray:
    """Weights to the largest power, up to 1, with which they are worth enough points."""
    relative = np.maximum(log_weight - log_weight.max(), -1e5)
    if _worth(relative) >= TEMPERED:
        return relative
    low, high = 0.0, 1.0
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (middle, high) if _worth(middle * relative) >= TEMPERED else (low, middle)
    return low * relative
