"""What no form says: an integrated Wiener process on log loss over log x, whose slope wanders with the distance.

It starts at the curve's last point, level and flat, and runs both ways: there the form is the curve, and h nats of
log x before it or after it the two are apart with the variance drift² h³ / 3. So the last points say what the form's
level and slope are, those before count less the further back they are, and a forecast is the form, with ever less
certainty.
"""

import numpy as np

__all__ = ["covariance", "paths"]


def covariance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Covariance of the process with drift 1 between two sets of points.

    Parameters
    ----------
    first, second : ndarray, shapes (n,) and (m,)
        Log x less that of the curve's last point.

    Returns
    -------
    ndarray, shape (n, m)
        0 between points on different sides of the last one.
    """
    one, other = first[:, None], second
    near, far = np.minimum(abs(one), abs(other)), np.maximum(abs(one), abs(other))
    return np.where(one * other > 0, near**2 * (3 * far - near) / 6, 0.0)


def paths(at: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Joint draws of the process with drift 1, exact at any points.

    Parameters
    ----------
    at : ndarray, shape (n,)
        Log x less that of the curve's last point, in any order, repeats allowed.
    draws : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (draws, n)
    """
    found = np.zeros((draws, len(at)))
    for side in (at < 0, at > 0):
        found[:, side] = _one_way(abs(at[side]), draws, rng)
    return found


def _one_way(distance: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    points, place = np.unique(distance, return_inverse=True)
    step = np.diff(points, prepend=0.0)
    shock = rng.standard_normal((2, draws, len(points)))
    slope_gain = np.sqrt(step) * shock[0]
    # Over a step h: the slope's gain has variance h, the level's h³/3, and their covariance is h²/2.
    level_gain = step / 2 * slope_gain + np.sqrt(step**3 / 12) * shock[1]
    slope = np.cumsum(slope_gain, axis=1) - slope_gain
    return np.cumsum(slope * step + level_gain, axis=1)[:, place]
