"""What no form says: an integrated Wiener process on log loss over log x, whose slope wanders as x grows.

It starts at the curve's first point, level and flat, so that inside the curve it takes up what the form misses, and
beyond it carries on from there with ever less certainty: after h nats of log x with the variance drift² h³ / 3.
"""

import numpy as np

__all__ = ["covariance", "paths"]


def covariance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Covariance of the process with drift 1 between two sets of points.

    Parameters
    ----------
    first, second : ndarray, shapes (n,) and (m,)
        Log x less that of the curve's first point; the process is 0 before it.

    Returns
    -------
    ndarray, shape (n, m)
    """
    one, other = np.maximum(first[:, None], 0), np.maximum(second, 0)
    near, far = np.minimum(one, other), np.maximum(one, other)
    return near**2 * (3 * far - near) / 6


def paths(at: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Joint draws of the process with drift 1, exact at any points.

    Parameters
    ----------
    at : ndarray, shape (n,)
        Log x less that of the curve's first point, in any order, repeats allowed.
    draws : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (draws, n)
    """
    points, place = np.unique(np.maximum(at, 0), return_inverse=True)
    step = np.diff(points, prepend=0.0)
    shock = rng.standard_normal((2, draws, len(points)))
    slope_gain = np.sqrt(step) * shock[0]
    # Over a step h: the slope's gain has variance h, the level's h³/3, and their covariance is h²/2.
    level_gain = step / 2 * slope_gain + np.sqrt(step**3 / 12) * shock[1]
    slope = np.cumsum(slope_gain, axis=1) - slope_gain
    return np.cumsum(slope * step + level_gain, axis=1)[:, place]
