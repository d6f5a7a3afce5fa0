"""A rough robust fit of the usual law, to tell what bends from what is wrong."""

import numpy as np
import xarray as xr
from scipy.special import expit

from bayes_scaling.checks.levels import density

__all__ = ["law_residuals"]

CENTRE = np.array([0.0, 0.0, 0.0, np.log(0.3), np.log(0.3), np.log(0.9), 0.4])
WIDTH = np.array([0.5, 1.5, 1.5, 0.7, 0.7, 0.6, 1.0])
"""Where the fit starts and what holds it where runs are silent, much as the priors of the law ``sparse``: log of the
loss at the reference point over the median loss, logits of its shares, log b_N, log b_D, log b_S and logit floor."""

HOLD = 0.02
"""What a step of one width costs, in log loss."""

ROUNDS = (0.1, 0.03)
"""Residuals beyond these sizes pull ever less, first generously and then less so."""


def law_residuals(runs: xr.Dataset, rows: np.ndarray) -> np.ndarray:
    """Log of every loss over that of a law which was fitted to some of the runs.

    The law is that of Frantar et al., arXiv:2309.08520. It is not the fit that answers come from: it is there because
    a curve of the right shape can be continued to a corner of the sweep, which a polynomial cannot.

    Parameters
    ----------
    runs : Dataset
        Finished runs of one modality.
    rows : ndarray of int
        The runs to fit.

    Returns
    -------
    ndarray, shape (run,)
    """
    from scipy.optimize import least_squares

    log_loss = np.log(runs["loss"].to_numpy())
    n, d = (np.log(runs[name].to_numpy()) for name in ("nonzero_params", "data_seen"))
    n, d, t = n - n.mean(), d - d.mean(), density(runs)
    middle = np.median(log_loss[rows])

    def residual(x: np.ndarray) -> np.ndarray:
        share = np.exp(x[1:3] - np.logaddexp.reduce([0.0, *x[1:3]]))
        b_N, b_D, b_S = np.exp(np.clip(x[3:6], -6, 3))
        floor = expit(x[6])
        size = share[0] * ((1 - floor) * np.exp(-b_S * t) + floor) * np.exp(-b_N * n)
        return log_loss - middle - x[0] - np.log(size + share[1] * np.exp(-b_D * d) + 1 - share.sum())

    x = CENTRE
    for scale in ROUNDS:
        x = least_squares(
            lambda x: np.concatenate([residual(x)[rows], HOLD * (x - CENTRE) / WIDTH]),
            x,
            loss="cauchy",
            f_scale=scale,
            max_nfev=200,
        ).x
    return residual(x)
