"""One probability for every interval: equal-tailed, 0.89 unless the caller says otherwise, never left unsaid."""

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError

__all__ = ["PROB", "check_prob", "interval"]

PROB = 0.89


def check_prob(prob: float) -> float:
    """The probability itself.

    Raises
    ------
    InputError
        If it does not lie between 0 and 1.
    """
    if not 0 < prob < 1:
        raise InputError(f"prob is {prob}; the probability of an interval lies between 0 and 1")
    return prob


def interval(draws: xr.DataArray, prob: float = PROB) -> dict[str, float]:
    """Median and equal-tailed interval of a scalar's posterior draws.

    Parameters
    ----------
    draws : DataArray
        Draws over ``chain`` and ``draw``.
    prob : float
        Probability of the interval.

    Returns
    -------
    dict
        ``median``, ``lower`` and ``upper``.
    """
    tail = (1 - check_prob(prob)) / 2
    median, lower, upper = np.quantile(draws.to_numpy(), [0.5, tail, 1 - tail])
    return {"median": float(median), "lower": float(lower), "upper": float(upper)}
