"""Importance sampling with proposals that learn: exact draws, if the weights say so.

The first proposals follow the posterior's ridges (`ridge`). Then a few single ones are added, each made from what the
weights say so far: around the weighted mean (adaptive multiple importance sampling, Cornuet et al., arXiv:0907.1254),
then around whichever point weighs most, where proposals are too thin (incremental mixture importance sampling, Raftery
and Bao 2010). All points count, weighted by the mixture of all proposals. The Pareto shape of the weights (k-hat;
Vehtari et al., arXiv:1507.02646) tells when it fails.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, logsumexp

from bayes_scaling.compiled import Density
from bayes_scaling.ridge import ridges

__all__ = ["importance"]

FIRST, GLOBAL, HEAVIEST = 1500, (500, 1000), (200,) * 5
"""Points drawn from the ridges, from each proposal around the mean, and from each around the point of most weight."""

NEAR = 600
"""Points whose spread a proposal around the heaviest one takes over."""

EVEN = 0.2
"""Share of the first points that goes to all parts of the ridges alike, whatever mass they seem to have."""

HOPELESS = 0.01
"""Where the first points are worth less than this share of their number, no more are drawn."""

PROPOSAL_DF = 4


@dataclass(frozen=True)
class _Proposal:
    """A mixture of multivariate t distributions, and how many points were drawn from it."""

    shares: np.ndarray
    means: list[np.ndarray]
    roots: list[np.ndarray]
    points: int

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Points of shape (points, dim)."""
        drawn = []
        counts = rng.multinomial(self.points, self.shares)
        for mean, root, count in zip(self.means, self.roots, counts, strict=True):
            heavy = np.sqrt(rng.chisquare(PROPOSAL_DF, (count, 1)) / PROPOSAL_DF)
            drawn.append(mean + rng.standard_normal((count, len(mean))) @ root.T / heavy)
        return np.vstack(drawn)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Log density at points, shape (n,)."""
        each = [_log_t(points, mean, root) for mean, root in zip(self.means, self.roots, strict=True)]
        return logsumexp(np.log(self.shares)[:, None] + np.array(each), axis=0)


class _Cloud:
    """Points so far, their log density under the target and under every proposal, and their weights."""

    def __init__(self, density: Density, rng: np.random.Generator) -> None:
        self._density, self._rng = density, rng
        self._proposals: list[_Proposal] = []
        self._log_proposed = np.empty((0, 0))
        self._target = np.empty(0)
        self.points = np.empty((0, density.code.dim))
        self.log_weight = np.empty(0)

    def add(self, proposal: _Proposal) -> None:
        """Draw from one more proposal and weigh all points anew, by the mixture of all."""
        fresh = proposal.draw(self._rng)
        old = self._log_proposed
        of_fresh = np.array([p.log_density(fresh) for p in self._proposals]).reshape(len(old), len(fresh))
        self._proposals.append(proposal)
        self.points = np.vstack([self.points, fresh])
        self._target = np.concatenate([self._target, [self._density(point)[0] for point in fresh]])
        self._log_proposed = np.vstack([np.hstack([old, of_fresh]), proposal.log_density(self.points)])
        counts = np.array([p.points for p in self._proposals])
        mixture = logsumexp(np.log(counts / counts.sum())[:, None] + self._log_proposed, axis=0)
        self.log_weight = self._target - mixture

    def weight(self) -> np.ndarray:
        """Normalised weights."""
        return np.exp(self.log_weight - logsumexp(self.log_weight))

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Weighted mean and covariance, in which a few points with most of the weight do not count for all of it."""
        weight = self.weight()
        weight = np.minimum(weight, np.sort(weight)[-max(len(weight) // 50, 10)])
        return _moments(self.points, weight / weight.sum())


def importance(density: Density, draws: int, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, float]]:
    """Draw from a density by importance sampling with proposals that learn, and resampling.

    Parameters
    ----------
    density : Density
        Whitened, with its mode at zero.
    draws : int
    rng : numpy.random.Generator

    Returns
    -------
    points : ndarray, shape (draws, dim)
    found : dict
        ``khat``, the Pareto shape of the weights, and ``ess``, the effective number of points before resampling.
    """
    from arviz_stats.base import array_stats

    cloud = _Cloud(density, rng)
    cloud.add(_along_ridges(density))
    if 1 / (cloud.weight() ** 2).sum() >= HOPELESS * FIRST:
        for count in GLOBAL:
            cloud.add(_single(*cloud.moments(), count))
        metric = np.linalg.inv(cloud.moments()[1])
        for count in HEAVIEST:
            cloud.add(_around_heaviest(cloud, metric, count))
    finite = np.isfinite(cloud.log_weight)
    # ArviZ takes log likelihoods, whose weights are their inverses.
    smoothed, khat = array_stats.psislw(cloud.log_weight[finite].max() - cloud.log_weight[finite])
    weight = np.exp(smoothed - logsumexp(smoothed))
    # Systematic resampling: as even as weights allow.
    position = (np.arange(draws) + rng.random()) / draws
    chosen = np.searchsorted(np.cumsum(weight), position).clip(max=len(weight) - 1)
    picked = cloud.points[finite][rng.permutation(chosen)]
    return picked, {"khat": float(khat), "ess": float(1 / (weight**2).sum())}


def _along_ridges(density: Density) -> _Proposal:
    found = ridges(density)
    log_mass = np.array([local.log_mass for local in found])
    mass = np.exp(log_mass - logsumexp(log_mass))
    shares = (1 - EVEN) * mass + EVEN / len(mass)
    return _Proposal(shares, [local.mean for local in found], [local.root for local in found], FIRST)


def _around_heaviest(cloud: _Cloud, metric: np.ndarray, count: int) -> _Proposal:
    centre = cloud.points[cloud.log_weight.argmax()]
    away = cloud.points - centre
    nearest = np.argsort(((away @ metric) * away).sum(axis=1))[:NEAR]
    # Half by weight, half alike: as wide as the neighbourhood even where one point has all the weight.
    weight = cloud.weight()[nearest] + 1 / len(away)
    return _single(centre, (away[nearest].T * (weight / weight.sum())) @ away[nearest], count)


def _single(mean: np.ndarray, covariance: np.ndarray, count: int) -> _Proposal:
    root = np.linalg.cholesky(covariance + 1e-6 * np.eye(len(mean)))
    return _Proposal(np.ones(1), [mean], [root], count)


def _moments(points: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = weight @ points
    centred = points - mean
    return mean, (centred.T * weight) @ centred


def _log_t(points: np.ndarray, mean: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Log density of a multivariate t."""
    from scipy.linalg import solve_triangular

    dim = len(mean)
    square = (solve_triangular(root, (points - mean).T, lower=True) ** 2).sum(axis=0)
    constant = gammaln((PROPOSAL_DF + dim) / 2) - gammaln(PROPOSAL_DF / 2) - dim / 2 * np.log(PROPOSAL_DF * np.pi)
    return constant - np.log(np.diag(root)).sum() - (PROPOSAL_DF + dim) / 2 * np.log1p(square / PROPOSAL_DF)
