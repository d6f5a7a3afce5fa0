"""How good forecasts of learning curves were: against points that came later, or the last stretch held out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import logsumexp, ndtr

from bayes_scaling.curve.fit import fit
from bayes_scaling.curve.posterior import drawn_by_form
from bayes_scaling.curve.table import LEAST_POINTS, points_of
from bayes_scaling.errors import InputError
from bayes_scaling.intervals import PROB, check_prob
from bayes_scaling.validate.scores import crps

__all__ = ["holdout", "score"]


def score(
    posterior: xr.DataTree, later: Any, *, columns: Mapping[str, str] | None = None, prob: float = PROB, seed: int = 0
) -> xr.Dataset:
    """Score forecasts of new points against later measurements.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    later : path, DataFrame, Dataset or list of dicts
        Points, as `fit` takes them, of curves that the posterior has.
    columns : dict of str to str, optional
        As of `fit`.
    prob : float
        Probability of the intervals whose coverage is counted.
    seed : int
        Of the draws for the CRPS.

    Returns
    -------
    Dataset
        Over (``curve``), each the mean over the curve's points: ``log_rmse`` (root mean square of the predictive mean
        of log loss minus log loss), ``log_score`` (log predictive density of log loss), ``log_score_of_loss`` (of the
        loss itself, which is the former minus log loss), ``coverage`` and ``crps`` (of log loss); and ``points``, how
        many.

    Raises
    ------
    InputError
        As of `fit`; or a curve is not in the posterior.
    """
    tail = (1 - check_prob(prob)) / 2
    found: dict[str, dict[str, float]] = {}
    names = posterior["posterior"]["curve"].to_numpy()
    for name, (x, loss) in points_of(later, columns).items():
        if name not in names:
            raise InputError(f"curve {name!r} is not in the posterior")
        observed = np.log(loss)
        mean, variance = _predicted(posterior, name, np.log(x))
        deviation = (observed - mean) / np.sqrt(variance)
        log_density = -(deviation**2 + np.log(2 * np.pi * variance)) / 2
        log_score = logsumexp(log_density, axis=0) - np.log(len(mean))
        below = ndtr(deviation).mean(axis=0)
        rng = np.random.default_rng([seed, 3, *name.encode()])
        draws = mean + np.sqrt(variance) * rng.standard_normal(mean.shape)
        found[name] = {
            "log_rmse": np.sqrt(((mean.mean(axis=0) - observed) ** 2).mean()),
            "log_score": log_score.mean(),
            "log_score_of_loss": (log_score - observed).mean(),
            "coverage": ((below >= tail) & (below <= 1 - tail)).mean(),
            "crps": crps(observed, draws).mean(),
            "points": len(x),
        }
    table = pd.DataFrame.from_dict(found, orient="index").rename_axis("curve")
    return xr.Dataset.from_dataframe(table).assign_attrs(prob=prob)


def holdout(curves: Any, *, share: float = 0.5, prob: float = PROB, **settings: Any) -> xr.Dataset:
    """Fit the first part of each curve and score forecasts of the rest.

    Parameters
    ----------
    curves : path, DataFrame, Dataset or list of dicts
        As `fit` takes them.
    share : float
        Points with x up to this share of the curve's largest are fitted, but five at least; curves of five are left
        out.
    prob : float
        Probability of the intervals whose coverage is counted.
    **settings
        For `fit`.

    Returns
    -------
    Dataset
        As `score` returns it.

    Raises
    ------
    InputError
        As of `fit`; or ``share`` is not between 0 and 1, or no curve is long enough.
    """
    if not 0 < share < 1:
        raise InputError(f"share is {share}; the part of a curve that is fitted lies between 0 and 1")
    parts: dict[bool, list[pd.DataFrame]] = {True: [], False: []}
    for name, (x, loss) in points_of(curves, settings.pop("columns", None)).items():
        first = x <= max(share * x[-1], x[min(LEAST_POINTS, len(x)) - 1])
        if not first.all():
            for which, rows in parts.items():
                keep = first == which
                rows.append(pd.DataFrame({"curve": name, "x": x[keep], "loss": loss[keep]}))
    if not parts[True]:
        raise InputError(f"no curve has more than {LEAST_POINTS} points, so nothing can be held out")
    return score(fit(pd.concat(parts[True]), **settings), pd.concat(parts[False]), prob=prob)


def _predicted(posterior: xr.DataTree, name: str, log_x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a new measurement's log loss under each draw, of shape (draw, point)."""
    parts = []
    for target, drawn, _ in drawn_by_form(posterior, name):
        mean, variance = target.mean_and_variance(drawn, log_x)
        parts.append((mean, variance + drawn["noise"][:, None] ** 2))
    means, variances = zip(*parts, strict=True)
    return np.vstack(means), np.vstack(variances)
