"""Where a whitened posterior is long and bent: a chain of local approximations along its most lopsided directions.

Where runs hardly tell two terms of a law apart, as irreducible loss and a data term seen over a factor of four, the
posterior has a long, bent tail on one side of its mode. Proposals around the mode miss it without their weights showing
that. So the ridge is followed: at points along a lopsided direction, all other coordinates climb to their best, and the
curvature there makes a local approximation, as in the nested Laplace approximations of Rue et al. (2009).
"""

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from bayes_scaling.compiled import Density
from bayes_scaling.curvature import hessian

__all__ = ["Local", "ridges"]

DIRECTIONS = 2
"""How many directions are followed: those in which the density differs most between the mode's two sides."""

LOOK = 1.5
"""How far from the mode the two sides are compared, in approximate standard deviations."""

STEP, REACH, DROP = 1.2, 14.0, 7.0
"""Between points of a ridge; how far one is followed at most; by how much the log density falls until it ends."""

FLATTEST = 0.1
"""Least curvature across a ridge that is believed."""


@dataclass(frozen=True)
class Local:
    """A local approximation: a point, a root of the covariance around it, the log of the mass that it stands for."""

    mean: np.ndarray
    root: np.ndarray
    log_mass: float


def ridges(density: Density) -> list[Local]:
    """Local approximations along the most lopsided directions through the mode.

    Parameters
    ----------
    density : Density
        Whitened, with its mode at zero.

    Returns
    -------
    list of Local
        Their masses are relative to each other.
    """
    mode = np.zeros(density.code.dim)
    sides = LOOK * np.eye(len(mode))
    lopsided = np.abs([density(side)[0] - density(-side)[0] for side in sides])
    lopsided[~np.isfinite(lopsided)] = np.inf
    found = []
    for axis in np.argsort(-lopsided)[:DIRECTIONS]:
        points = [mode, *_follow(density, axis, STEP), *_follow(density, axis, -STEP)]
        found += [_local(density, point, axis) for point in points]
    return found


def _follow(density: Density, axis: int, step: float) -> list[np.ndarray]:
    """Points of a ridge on one side of the mode."""
    before, here = np.zeros(density.code.dim), np.zeros(density.code.dim)
    top = density(here)[0]
    points: list[np.ndarray] = []
    for i in range(1, int(REACH / abs(step)) + 1):
        start = 2 * here - before  # on along the ridge
        start[axis] = i * step
        before, here = here, _climb(density, start, axis)
        if density(here)[0] < top - DROP:
            break
        points.append(here)
    return points


def _climb(density: Density, start: np.ndarray, axis: int) -> np.ndarray:
    """The best point nearby with the same coordinate on an axis; near enough will do."""
    free = np.arange(len(start)) != axis

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = density(_filled(start, free, x))
        return (-value, -gradient[free]) if np.isfinite(value) else (1e300, np.zeros(len(x)))

    options = {"maxiter": 30, "maxcor": 15, "gtol": 0.05, "ftol": 1e-4}
    return _filled(
        start,
        free,
        optimize.minimize(objective, start[free], jac=True, method="L-BFGS-B", options=options).x,
    )


def _filled(point: np.ndarray, free: np.ndarray, values: np.ndarray) -> np.ndarray:
    filled = point.copy()
    filled[free] = values
    return filled


def _local(density: Density, point: np.ndarray, axis: int) -> Local:
    """The approximation at a point of a ridge: as wide along it as points are apart, and by curvature across it."""
    precision = -hessian(density, point)
    across = np.arange(len(point)) != axis
    values, vectors = np.linalg.eigh(precision[np.ix_(across, across)])
    values = np.maximum(np.abs(values), FLATTEST)
    conditional = (vectors / values) @ vectors.T
    # How the ridge moves sideways as it goes along.
    slope = np.ones(len(point))
    slope[across] = -conditional @ precision[across, axis]
    covariance = STEP**2 * np.outer(slope, slope)
    covariance[np.ix_(across, across)] += conditional
    return Local(point, np.linalg.cholesky(covariance), density(point)[0] - np.log(values).sum() / 2)
