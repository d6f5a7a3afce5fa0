"""Curves that were smoothed by making them never rise, as published learning curves often are.

An isotonic fit averages neighbouring measurements until none is above the one before. Where measurements scatter more
than the curve falls between two of them, the fit's own scatter is far smaller, and smaller the flatter the curve is:
for a fall of d in log loss between neighbours and noise σ, the fit misses by (4 σ² d)^(1/3) Z, where Z has Chernoff's
distribution (Brunk 1970; Groeneboom and Wellner 2001). That gives the noise of single measurements back.
"""

from dataclasses import replace

import numpy as np

from bayes_scaling.curve.table import Curve

__all__ = ["with_noise", "without_ties"]

CHERNOFF_VARIANCE = 0.26355964
"""Variance of Chernoff's distribution (Groeneboom and Wellner, J. Comput. Graph. Stat. 10, 2001, table 4)."""

WINDOW = 7
"""Points over which the curve's slope is taken."""


def without_ties(curve: Curve) -> Curve:
    """Each run of equal losses, which is one average, as one point in its middle."""
    place = np.concatenate([[0], np.cumsum(np.diff(curve.log_loss) != 0)])
    count = np.bincount(place)
    middle, level = (np.bincount(place, values) / count for values in (curve.log_x, curve.log_loss))
    return Curve(curve.name, middle, level, np.ones(len(middle)))


def with_noise(curve: Curve, gap: float, noise: float | None = None) -> Curve:
    """Say how much less the points of an isotonic fit scatter than single measurements do.

    Parameters
    ----------
    curve : Curve
        Without ties.
    gap : float
        Between the x of two measurements, in units of x.
    noise : float, optional
        Standard deviation of a single measurement of log loss; estimated from the curve by default.

    Returns
    -------
    Curve
        With the ``variance`` of its points.
    """
    fall = _slope(curve) * gap / np.exp(curve.log_x)
    if noise is None:
        noise = _rough_noise(curve, fall)
    return replace(curve, variance=np.minimum(1, CHERNOFF_VARIANCE * (4 * fall / noise) ** (2 / 3)))


def _slope(curve: Curve) -> np.ndarray:
    """Local steepness in log-log, by a line through the points around each."""
    slopes = np.empty(len(curve.log_x))
    width = min(WINDOW, len(slopes))
    for i in range(len(slopes)):
        start = min(max(i - width // 2, 0), len(slopes) - width)
        near = slice(start, start + width)
        x = curve.log_x[near] - curve.log_x[near].mean()
        slopes[i] = -(x @ curve.log_loss[near]) / (x @ x)
    return np.maximum(slopes, 1e-3)


def _rough_noise(curve: Curve, fall: np.ndarray) -> float:
    """Noise of single measurements, from how far points lie off the line between their neighbours."""
    x, y = curve.log_x, curve.log_loss
    share = (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
    off = y[1:-1] - (1 - share) * y[:-2] - share * y[2:]
    square = off**2 / (1 + share**2 + (1 - share) ** 2)
    late = slice(len(square) // 2, None)  # where the curve bends least
    # Brunk's variance is 0.26 (4 d)^(2/3) noise^(4/3); where nothing was averaged it is noise².
    averaged = np.mean(square[late] / (CHERNOFF_VARIANCE * (4 * fall[1:-1][late]) ** (2 / 3))) ** 0.75
    return float(max(averaged, np.sqrt(square[late].mean()), 1e-6))
