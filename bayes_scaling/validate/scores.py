"""How good predictions of log losses were: one number a run, whose mean over runs is the score.

Log loss is without unit, so a width or an error of 0.01 is one per cent of the loss, whatever that is measured in.
"""

import numpy as np
from scipy.special import logsumexp

__all__ = ["bias", "coverage", "crps", "interval_score", "log_score", "pit", "width"]


def coverage(observed: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Whether an interval holds the observation: 1 or 0; the mean is to be the interval's probability.

    Parameters
    ----------
    observed, lower, upper : ndarray, shape (run,)
        Log losses.

    Returns
    -------
    ndarray, shape (run,)
    """
    return ((lower <= observed) & (observed <= upper)).astype(float)


def width(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Width of an interval, for small ones relative to the loss.

    Parameters
    ----------
    lower, upper : ndarray, shape (run,)
        Log losses.

    Returns
    -------
    ndarray, shape (run,)
    """
    return upper - lower


def bias(observed: np.ndarray, median: np.ndarray) -> np.ndarray:
    """Median prediction minus observation: above zero where the loss predicted was too high.

    Parameters
    ----------
    observed, median : ndarray, shape (run,)
        Log losses.

    Returns
    -------
    ndarray, shape (run,)
    """
    return median - observed


def interval_score(observed: np.ndarray, lower: np.ndarray, upper: np.ndarray, prob: float) -> np.ndarray:
    """Width of an equal-tailed interval, and a penalty for each observation that it misses; less is better.

    The penalty is 2 / (1 - prob) times the distance to the interval, so that the true quantiles have the least
    expected score.

    Parameters
    ----------
    observed, lower, upper : ndarray, shape (run,)
        Log losses.
    prob : float
        Probability of the interval.

    Returns
    -------
    ndarray, shape (run,)

    References
    ----------
    Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", J. Am. Stat. Assoc. 102 (2007),
    Eq. 43.
    """
    missed = np.maximum(lower - observed, 0) + np.maximum(observed - upper, 0)
    return upper - lower + 2 / (1 - prob) * missed


def crps(observed: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of predictive draws, estimated without bias; less is better.

    E|X - y| - E|X - X'| / 2 for independent X and X' from the prediction; for a prediction without spread, the
    absolute error. The second mean is over pairs of different draws ("fair"), so that the score does not depend on how
    many draws there are; ArviZ's ``loo_score``, which weighs draws, counts each draw's pair with itself.

    Parameters
    ----------
    observed : ndarray, shape (run,)
        Log losses.
    draws : ndarray, shape (draw, run)
        Predicted log losses, two draws at least.

    Returns
    -------
    ndarray, shape (run,)

    References
    ----------
    Gneiting and Raftery (2007), Eq. 21; Ferro, "Fair scores for ensemble forecasts", Q. J. R. Meteorol. Soc. 140
    (2014). Sorted draws give the mean over pairs as a weighted sum.
    """
    count = len(draws)
    weight = 2 * np.arange(count) - count + 1
    pairs = 2 / (count * (count - 1)) * (weight @ np.sort(draws, axis=0))
    return np.abs(draws - observed).mean(axis=0) - pairs / 2


def log_score(log_density: np.ndarray) -> np.ndarray:
    """Log of the predictive density at each observation, the mean of the draws' densities; more is better.

    Every draw predicts with a density of its own, so their mean is known and no kernel needs to smooth draws of a new
    run.

    Parameters
    ----------
    log_density : ndarray, shape (draw, run)
        Of each observed log loss under each draw, as `bayes_scaling.pointwise.log_likelihood` gives it.

    Returns
    -------
    ndarray, shape (run,)
        In nats; densities are of log loss.

    References
    ----------
    Gneiting and Raftery (2007), section 4.1.
    """
    return logsumexp(log_density, axis=0) - np.log(len(log_density))


def pit(observed: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Share of the predictive draws below each observation: uniform over runs if predictions are calibrated.

    Parameters
    ----------
    observed : ndarray, shape (run,)
    draws : ndarray, shape (draw, run)

    Returns
    -------
    ndarray, shape (run,)
        In [0, 1]; a draw equal to the observation counts half.
    """
    return (draws < observed).mean(axis=0) + (draws == observed).mean(axis=0) / 2
