"""Is a sample uniform? Simultaneous bands for its empirical distribution function, exact for any sample size.

The ECDF of n uniform numbers, times n, is binomial at each point. Pointwise intervals of some probability, taken at
the points 1/n, 2/n, …, form a band; how likely the whole ECDF stays inside is worked out here by conditioning a
Poisson process: given its total, its increments between the points are those of the sample.

References
----------
Säilynoja, Bürkner, Vehtari, "Graphical test for discrete uniformity and its applications in goodness-of-fit evaluation
and multiple sample comparison", arXiv:2103.10522: the bands, for which they adjust the pointwise probability by
simulation or by a recursion over binomial increments. The Poisson form of that recursion is a convolution.
"""

from functools import lru_cache

import numpy as np
from scipy.special import bdtr, gammaln

__all__ = ["band", "deviation", "p_value"]


def p_value(values: np.ndarray) -> float:
    """Probability that a uniform sample has a point of its ECDF as unlikely as the least likely one here.

    Parameters
    ----------
    values : ndarray, shape (n,)
        In [0, 1]; independent and uniform under what is tested.

    Returns
    -------
    float
        Below α exactly where the ECDF leaves the simultaneous band of probability 1 - α.
    """
    count = len(values)
    tail = _tails(count)
    at = _counts(values)
    least = tail[np.arange(count - 1), at].min()
    # A count and its mirror image are equally unlikely, up to rounding.
    return float(np.clip(1 - _stays(tail > least * (1 + 1e-9)), 0, 1))


def deviation(values: np.ndarray) -> float:
    """The largest distance of the ECDF from the diagonal, with its sign: above zero where values are too small.

    Parameters
    ----------
    values : ndarray, shape (n,)
        In [0, 1].
    """
    ordered, count = np.sort(values), len(values)
    above, below = np.arange(1, count + 1) / count - ordered, np.arange(count) / count - ordered
    return float(max(above.max(), below.min(), key=abs))


def band(count: int, prob: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The simultaneous band that an ECDF of uniform numbers stays inside with a probability.

    Parameters
    ----------
    count : int
        Numbers in the sample.
    prob : float
        At least; counts are whole numbers, so few probabilities are met exactly.

    Returns
    -------
    points, lower, upper : ndarray, shape (count - 1,)
        Where the ECDF is looked at, and its bounds there, which it may touch.
    """
    tail = _tails(count)
    # The statistic takes a few thousand values; the largest for which the band is wide enough is found by halving.
    sizes = np.unique(tail[tail > 0])
    low, high = 0, len(sizes) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _stays(tail >= sizes[middle]) >= prob else (low, middle - 1)
    inside = tail >= sizes[low]
    points = np.arange(1, count) / count
    lower = inside.argmax(axis=1) / count
    upper = (count - inside[:, ::-1].argmax(axis=1)) / count
    return points, lower, upper


def _counts(values: np.ndarray) -> np.ndarray:
    """How many values are at or below each point, shape (n - 1,)."""
    count = len(values)
    return np.searchsorted(np.sort(values), np.arange(1, count) / count, side="right")


@lru_cache(maxsize=8)
def _tails(count: int) -> np.ndarray:
    """The smaller tail probability of each count at each point, shape (n - 1, n + 1)."""
    points, counts = np.arange(1, count)[:, None] / count, np.arange(count + 1)
    below = bdtr(counts, count, points)
    # The upper tail as the lower one of the mirrored sample, so that small ones keep their digits.
    above = bdtr(count - counts, count, 1 - points)
    return np.minimum(below, above)


def _stays(inside: np.ndarray) -> float:
    """Probability that the counts of a uniform sample are inside at every point.

    Parameters
    ----------
    inside : ndarray of bool, shape (n - 1, n + 1)
    """
    count = inside.shape[1] - 1
    steps = np.arange(count + 1)
    poisson = np.exp(-1.0 - gammaln(steps + 1))  # points are 1/n apart, so steps of a process of rate n have mean 1
    poisson = poisson[poisson > 1e-25]
    here = np.zeros(count + 1)
    here[0] = 1.0
    for allowed in inside:
        here = np.convolve(here, poisson)[: count + 1] * allowed
    last = np.convolve(here, poisson)[count]
    return float(last / np.exp(count * np.log(count) - count - gammaln(count + 1)))
