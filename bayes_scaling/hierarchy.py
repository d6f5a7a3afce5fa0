"""Partial pooling with the population integrated out.

Groups x_i on a link scale share a population: x_i = μ + Σ_c u_c[level_c(i)], with μ ~ N(center, sd²) and effects
u_c ~ N(0, τ_c²). With two modalities and three structures, as sweeps have, sampling the scales τ makes a funnel that
no step size fits. So the scales live on a fixed grid (quantiles of their prior), which leaves a finite mixture of
normal distributions for x: the sampler sees a smooth density without μ, u and τ, and these are drawn afterwards from
their exact conditional distributions, together with every group that had no runs.

Every covariance on the grid is s² M + sd² 11ᵀ, where the matrix M says how components share the variance s² between
groups. Two symmetric matrices have axes in common, so all spreads s of one M do: on them groups are independent, and
only precisions along them differ. The density then takes one product of a matrix and a vector for each M, and not one
for each node of the grid, which with a hundred groups would be most of its time.
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
    shares : ndarray, shape (share, component)
        Ways to share the variance between groups among the components; each adds up to one.
    spreads : ndarray, shape (spread,)
        Standard deviations between groups, on the link scale. Each of them with each way to share is a node of the
        grid; nodes are equally likely.
    scale : float
        Scale of the half-normal prior of the spread, of which each of ``spreads`` stands for an equal share.
    """

    mean: float
    sd: float
    levels: np.ndarray
    shares: np.ndarray
    spreads: np.ndarray
    scale: float

    @property
    def scales(self) -> np.ndarray:
        """Standard deviations of the components' effects at each node, shape (spread × share, component)."""
        return (self.spreads[:, None, None] * np.sqrt(self.shares)).reshape(-1, len(self.levels))

    def covariance(self) -> np.ndarray:
        """Prior covariance of the groups at each node, shape (node, group, group)."""
        same = self.levels[:, :, None] == self.levels[:, None, :]
        return self.sd**2 + np.einsum("kc,cij->kij", self.scales**2, same)

    def precision(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inverse covariance of some groups at each node, and its log determinant."""
        axes, along, log_det = self.axes(groups)
        inverse = np.swapaxes(axes, 1, 2) @ (along[..., None] * axes)
        return inverse.reshape(-1, len(groups), len(groups)), log_det.ravel()

    def axes(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Axes on which some groups are independent, whatever the spread.

        Parameters
        ----------
        groups : ndarray of int

        Returns
        -------
        axes : ndarray, shape (share, axis, group)
            As many axes as groups.
        precision : ndarray, shape (spread, share, axis)
            Inverse variances along them: the inverse covariance at a node is axesᵀ @ diag(precision) @ axes.
        log_det : ndarray, shape (spread, share)
            Log determinant of the inverse covariance.
        """
        members = self.levels[:, groups]
        root = np.linalg.cholesky(np.einsum("sc,cij->sij", self.shares, members[:, :, None] == members[:, None, :]))
        # With M = C Cᵀ the covariance is C (s² + sd² v vᵀ) Cᵀ, where C v = 1: v is an axis, as is all at right angles.
        inverse = np.linalg.inv(root)
        level = inverse.sum(axis=2, keepdims=True)
        turned, _ = np.linalg.qr(np.concatenate([level, np.broadcast_to(np.eye(len(groups)), inverse.shape)], axis=2))
        variance = np.tile(self.spreads[:, None, None] ** 2, (1, len(self.shares), len(groups)))
        variance[..., 0] += self.sd**2 * (level**2).sum(axis=(1, 2))
        log_volume = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        return np.swapaxes(turned, 1, 2) @ inverse, 1 / variance, -np.log(variance).sum(axis=2) - 2 * log_volume

    def at_average(self, weight: np.ndarray | None = None) -> "Population":
        """The population with all nodes replaced by the one that has their mean covariance.

        Parameters
        ----------
        weight : ndarray, shape (node,), optional
            Of each node; all alike unless given.
        """
        variance = np.average(self.scales**2, axis=0, weights=weight)
        return replace(self, shares=variance[None] / variance.sum(), spreads=np.sqrt(variance.sum(keepdims=True)))

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
            Standard deviation between groups, on the link scale: any that the draw's node stands for, since many groups
            leave one node alone.
        every : ndarray, shape (draw, group)
            All groups, with those of ``values`` unchanged.
        """
        axes, along, log_det = self.axes(groups)
        centred = values - self.mean
        squares = np.einsum("dg,sag->dsa", centred, axes, optimize=True) ** 2
        log_weight = 0.5 * (log_det - np.einsum("dsa,nsa->dns", squares, along, optimize=True)).reshape(len(values), -1)
        weight = np.exp(log_weight - logsumexp(log_weight, axis=1, keepdims=True))
        node = (weight.cumsum(axis=1) < rng.random(len(values))[:, None]).sum(axis=1).clip(max=len(self.scales) - 1)

        # The population mean and all groups are jointly normal at a node; condition on the groups that had runs.
        covariance, precision = self.covariance(), self.precision(groups)[0]
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
        share = (node // len(self.shares) + rng.random(len(node))) / len(self.spreads)
        return mean, self.scale * np.sqrt(2) * erfinv(share), every


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
    return Population(float(link(pooled.center, pooled)), pooled.sd, members, share, spread, pooled.spread)
