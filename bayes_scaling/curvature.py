"""Curvature of a model's log density."""

import numpy as np

from bayes_scaling.compiled import Density

__all__ = ["STEP", "hessian"]

STEP = 1e-4
"""Half-width of the differences of gradients."""


def hessian(density: Density, point: np.ndarray) -> np.ndarray:
    """The Hessian of a log density at a point, shape (dim, dim), from differences of its gradient."""
    steps = STEP * np.eye(len(point))
    rows = np.array([(density(point + s)[1] - density(point - s)[1]) / (2 * STEP) for s in steps])
    return (rows + rows.T) / 2
