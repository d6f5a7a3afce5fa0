"""Quantities whose groups are alike in nothing but their prior: draws and densities of distributions of PyMC."""

from typing import Any

import numpy as np

from bayes_scaling.hierarchy import link, unlink
from bayes_scaling.laws.base import Independent

__all__ = ["distribution", "drawn", "log_density", "parameters"]

UNCOMPILED = "FAST_COMPILE"
"""PyTensor's name for doing without numba, whose compiler would take longer than these few numbers."""


def distribution(prior: Independent, **more: Any) -> Any:
    """The distribution as a variable of PyMC outside of any model: of the quantity, or of it on its link scale.

    Parameters
    ----------
    prior : Independent
    **more
        ``shape``, for one.
    """
    import pymc as pm

    return getattr(pm, prior.distribution).dist(**parameters(prior), **more)


def parameters(prior: Independent) -> dict[str, np.ndarray]:
    """The distribution's parameters, as arrays, since PyTensor takes bare numbers for single precision."""
    return {name: np.asarray(value, dtype="float64") for name, value in prior.parameters}


def drawn(prior: Independent, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draws of the quantity, on its own scale.

    Parameters
    ----------
    prior : Independent
    shape : tuple of int
    rng : numpy.random.Generator
    """
    import pymc as pm

    values = np.asarray(pm.draw(distribution(prior, shape=shape), random_seed=rng, mode=UNCOMPILED))
    return unlink(values, prior) if prior.on_link else values


def log_density(prior: Independent, values: np.ndarray) -> np.ndarray:
    """Log density of what the distribution was stated for, at values of the quantity on its own scale.

    Parameters
    ----------
    prior : Independent
    values : ndarray

    Returns
    -------
    ndarray, of the shape of ``values``
    """
    import pymc as pm
    import pytensor

    at = link(values, prior) if prior.on_link else values
    density = pytensor.function([], pm.logp(distribution(prior), np.asarray(at, dtype=float)), mode=UNCOMPILED)
    return np.asarray(density())
