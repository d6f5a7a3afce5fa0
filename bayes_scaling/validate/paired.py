"""Differences between two laws' scores of the same runs, with a standard error that runs at one level do not shrink."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Difference", "paired"]

FEWEST_GROUPS = 3
"""Two groups differ by one number, which is no estimate of how far groups differ."""

BY_RUN = "run"


@dataclass(frozen=True)
class Difference:
    """A mean difference per run, and how sure it is.

    Attributes
    ----------
    mean : float
    se : float
        Standard error; NaN for a single run.
    lower, upper : float
        Ends of the interval, by Student's t with ``groups`` - 1 degrees of freedom.
    prob : float
        Probability of the interval.
    runs : int
        How many runs there were.
    grouped_by : str
        What the standard error takes for one piece of evidence: runs that share a level of this column, or each ``run``
        by itself.
    groups : int
        How many of them there were.
    """

    mean: float
    se: float
    lower: float
    upper: float
    prob: float
    runs: int
    grouped_by: str
    groups: int


def paired(differences: np.ndarray, groupings: Mapping[str, np.ndarray], prob: float) -> Difference:
    """The mean of differences, and the largest of its standard errors.

    Runs at one level of size, data or sparsity share what a law gets wrong there, so twelve of them are no twelve
    pieces of evidence. Each grouping gives a standard error whose pieces are the sums of its groups; that over runs is
    another. The largest counts, since nobody knows along which axis a law errs.

    Parameters
    ----------
    differences : ndarray, shape (run,)
    groupings : dict of ndarray, shape (run,)
        By name, the group of each run; those with fewer than three groups are left out.
    prob : float
        Probability of the interval.

    Returns
    -------
    Difference

    References
    ----------
    Liang and Zeger, "Longitudinal data analysis using generalized linear models", Biometrika 73 (1986), for sums over
    groups; the factor G / (G - 1) makes up for few of them.
    """
    from scipy import stats

    count = len(differences)
    mean = float(differences.mean())
    if count < 2:
        return Difference(mean, np.nan, np.nan, np.nan, prob, count, BY_RUN, count)
    groups = {name: np.unique(group, return_inverse=True)[1] for name, group in groupings.items()}
    kept = {name: group for name, group in groups.items() if group.max() + 1 >= FEWEST_GROUPS}
    kept |= {BY_RUN: np.arange(count)}
    errors = {name: _standard_error(differences - mean, group) for name, group in kept.items()}
    widest = max(errors, key=lambda name: errors[name])
    number = int(kept[widest].max()) + 1
    half = errors[widest] * float(stats.t.ppf((1 + prob) / 2, number - 1))
    return Difference(mean, errors[widest], mean - half, mean + half, prob, count, widest, number)


def _standard_error(centred: np.ndarray, group: np.ndarray) -> float:
    sums = np.bincount(group, centred)
    return float(np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()) / len(centred))
