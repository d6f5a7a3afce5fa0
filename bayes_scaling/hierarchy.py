"""Partial pooling with the population integrated out.

Groups x_i on a link scale share a population: x_i = μ + Σ_c u_c[level_c(i)], with μ ~ N(center, sd²) and effects
u_c ~ N(0, τ_c²). With two modalities and three structures, as sweeps have, sampling the scales τ makes a funnel that
no step size fits. So the scales live on a fixed grid (quantiles of their prior), which leaves a finite mixture of
normal distributions for x: the sampler sees a smooth density without μ, u and τ, and these are drawn afterwards from
their exact conditional distributions, together with every group that had no runs.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import erfinv, expit, logit, logsumexp

from bayes_scaling.laws.base import Grouped, Pooled

__all__ = ["Population", "link", "pool", "unlink"]

ONE_LEVEL_NODES = 24
SEVERAL_LEVEL_NODES = 16
"""Nodes of the grid of scales; with several levels each node comes once per level that dominates."""

LEAST_SPREAD = 0.15
"""Smallest node, as a share of the prior's scale. Groups that differ by a few per cent are as good as equal, and nodes
nearer to zero would add a spike to the density that is too narrow for the sampler's steps."""

DOMINANT_SHARE = 0.6
"""With several levels (modality, structure, own), each in turn carries this share of the variance between groups."""


def link(values: Any, prior: Grouped) -> Any:
    """From the quantity's own scale to the scale on which groups are normal."""
    return np.log(values) if prior.link == "log" else logit(values)


def unlink(values: Any, prior: Grouped) -> Any:
    """From the scale on which groups are normal to the quantity's own scale."""
    return np.exp(values) if prior.link == "log" else expit(values)


@dataclass(frozen=True)
class Population:
    """The prior of a set of groups, as a mixture of normal distributions over a grid of scales.

    Attributes
    ----------
    mean : float
        Prior mean of the population, on the link scale.
    sd : float
        Prior standard deviation of the population mean, on the link scale.
    levels : ndarray of int, shape (component, group)
        Which level of each component (modality, structure, …, own) a group belongs to.
    scales : ndarray, shape (node, component)
        Standard deviations of the components' effects at each node; nodes are equally likely.
    """

    mean: float
    sd: float
    levels: np.ndarray
    scales: np.ndarray

    def covariance(self) -> np.ndarray:
        """Prior covariance of the groups at each node, shape (node, group, group)."""
        same = self.levels[:, :, None] == self.levels[:, None, :]
        return self.sd**2 + np.einsum("kc,cij->kij", self.scales**2, same)

    def precision(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inverse covariance of some groups at each node, and its log determinant."""
        inverse = np.linalg.inv(self.covariance()[:, groups][:, :, groups])
        return inverse, np.linalg.slogdet(inverse)[1]

    def at_average(self, weight: np.ndarray | None = None) -> "Population":
        """The population with all nodes replaced by the one that has their mean covariance.

        Parameters
        ----------
        weight : ndarray, shape (node,), optional
            Of each node; all alike unless given.
        """
        return replace(self, scales=np.sqrt(np.average(self.scales**2, axis=0, weights=weight)[None]))

    def recover(
        self, values: np.ndarray, groups: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw what was integrated out, given draws of the groups that had runs.

        Parameters
        ----------
        values : ndarray, shape (draw, len(groups))
            Draws on the link scale.
        groups : ndarray of int
            Which groups these are; the others had no runs.
        rng : numpy.random.Generator

        Returns
        -------
        mean : ndarray, shape (draw,)
            Population mean, on the link scale.
        spread : ndarray, shape (draw,)
            Standard deviation between groups, on the link scale.
        every : ndarray, shape (draw, group)
            All groups, with those of ``values`` unchanged.
        """
        precision, log_det = self.precision(groups)
        centred = values - self.mean
        log_weight = 0.5 * log_det - 0.5 * np.einsum("di,kij,dj->dk", centred, precision, centred, optimize=True)
        weight = np.exp(log_weight - logsumexp(log_weight, axis=1, keepdims=True))
        node = (weight.cumsum(axis=1) < rng.random(len(values))[:, None]).sum(axis=1).clip(max=len(self.scales) - 1)

        # The population mean and all groups are jointly normal at a node; condition on the groups that had runs.
        covariance = self.covariance()
        size = covariance.shape[1]
        mean, every = np.empty(len(values)), np.empty((len(values), size))
        for k in np.unique(node):
            rows = node == k
            joint = np.block([[np.full((1, 1), self.sd**2), np.full((1, size), self.sd**2)],
                              [np.full((size, 1), self.sd**2), covariance[k]]])  # fmt: skip
            gain = joint[:, 1 + groups] @ precision[k]
            rest = joint - gain @ joint[1 + groups]
            noise = rng.multivariate_normal(np.zeros(size + 1), (rest + rest.T) / 2, size=rows.sum(), method="eigh")
            drawn = self.mean + centred[rows] @ gain.T + noise
            mean[rows], every[rows] = drawn[:, 0], drawn[:, 1:]
        every[:, groups] = values
        return mean, np.sqrt((self.scales**2).sum(axis=1))[node], every


def pool(pooled: Pooled, levels: Any) -> Population:
    """The population of a pooled quantity.

    Parameters
    ----------
    pooled : Pooled
        Its prior.
    levels : array of int, shape (component, group)
        Level of each group in each dimension that groups share; one dimension alone tells the groups apart itself,
        with several each group gets an effect of its own beside them.
    """
    members = np.asarray(levels)
    if len(members) > 1:
        members = np.vstack([members, np.arange(members.shape[1])])
    nodes = ONE_LEVEL_NODES if len(members) == 1 else SEVERAL_LEVEL_NODES
    # Quantiles of a half-normal distribution; scipy.stats has them too, and takes a second to import.
    spread = pooled.spread * np.maximum(np.sqrt(2) * erfinv((np.arange(nodes) + 0.5) / nodes), LEAST_SPREAD)
    share = np.ones((1, 1))
    if len(members) > 1:
        others = (1 - DOMINANT_SHARE) / (len(members) - 1)
        share = np.full((len(members), len(members)), others) + np.eye(len(members)) * (DOMINANT_SHARE - others)
    scales = (spread[:, None, None] * np.sqrt(share)).reshape(-1, len(members))
    return Population(float(link(pooled.center, pooled)), pooled.sd, members, scales)
