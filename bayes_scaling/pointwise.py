"""Run by run: how likely each draw makes a loss, and which losses draws would have predicted."""

import math
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.assemble import UNSEEN
from bayes_scaling.groups import law_of
from bayes_scaling.noise import draw_noise, log_density
from bayes_scaling.predict import expected_loss, noise_scale

__all__ = ["MOST_NUMBERS", "add_pointwise", "log_likelihood", "mean_and_scale"]

MOST_NUMBERS = 4e7
"""In a group over draws and runs, 320 MB; beyond 10,000 runs such groups have fewer draws than the posterior."""


def log_likelihood(posterior: xr.DataTree, runs: xr.Dataset, log_loss_se: Any = 0.0) -> xr.DataArray:
    """Log density of each run's log loss under each draw.

    Parameters
    ----------
    posterior : DataTree
        Any that `bayes_scaling.predict.expected_loss` takes.
    runs : Dataset
        Finished runs, fitted or not, of modalities that the posterior has.
    log_loss_se : float or ndarray, shape (run,)
        Standard errors of log losses that runs state, in quadrature with the noise.

    Returns
    -------
    DataArray
        Over (``chain``, ``draw``, ``run``).
    """
    mean, scale = mean_and_scale(posterior, runs, log_loss_se)
    return mean.copy(data=log_density(np.log(runs["loss"].to_numpy()), mean.to_numpy(), scale.to_numpy()))


def mean_and_scale(
    posterior: xr.DataTree, runs: xr.Dataset, log_loss_se: Any = 0.0
) -> tuple[xr.DataArray, xr.DataArray]:
    """Where each draw puts the log losses of runs, and the scale of the noise around it.

    Parameters
    ----------
    posterior, runs, log_loss_se
        As `log_likelihood` takes them.

    Returns
    -------
    mean, scale : DataArray
        Over (``chain``, ``draw``, ``run``).
    """
    mean = xr.apply_ufunc(np.log, expected_loss(posterior, runs))
    return mean, noise_scale(posterior, runs, log_loss_se).transpose(*mean.dims)


def add_pointwise(tree: xr.DataTree, runs: xr.Dataset, log_loss_se: np.ndarray, seed: int) -> None:
    """Give a posterior ArviZ's groups over runs, in place.

    Parameters
    ----------
    tree : DataTree
        With the groups ``posterior``, ``unseen_structure``, ``prior`` and ``constant_data``.
    runs : Dataset
        The finished runs that were fitted.
    log_loss_se : ndarray, shape (run,)
        Standard errors of their log losses.
    seed : int
        Of the predictions' noise.
    """
    run = {"run": runs["run_id"].to_numpy()}
    observed = xr.DataArray(np.log(runs["loss"].to_numpy()), run, ("run",))
    groups = {
        "observed_data": observed,
        "posterior_predictive": _predicted(tree, runs, log_loss_se, np.random.default_rng([seed, 4])),
        "log_likelihood": log_likelihood(tree, runs, log_loss_se),
        "prior_predictive": _predicted(_prior_of(tree), runs, log_loss_se, np.random.default_rng([seed, 9])),
    }
    for name, values in groups.items():
        tree[name] = xr.DataTree(xr.Dataset({"log_loss": values.assign_coords(run)}))


def _predicted(
    posterior: xr.DataTree, runs: xr.Dataset, log_loss_se: np.ndarray, rng: np.random.Generator
) -> xr.DataArray:
    mean, scale = mean_and_scale(posterior, runs, log_loss_se)
    return mean + scale * draw_noise(mean.shape, rng)


def _prior_of(tree: xr.DataTree) -> xr.DataTree:
    """The prior's draws in the place of the posterior's, as many as are affordable."""
    prior = tree["prior"].to_dataset()
    every = math.ceil(prior.sizes["draw"] * tree["constant_data"].sizes["run"] / MOST_NUMBERS)
    prior = prior.isel(draw=slice(every - 1, None, every))
    # Nobody is asked for a structure that no run had, so any will do in its place.
    by_structure = [name for name in law_of(tree).coefficients if name in prior and "structure" in prior[name].dims]
    unseen = prior[by_structure].isel(structure=0, drop=True, missing_dims="ignore")
    constant = tree["constant_data"].to_dataset()
    found = xr.DataTree.from_dict({"posterior": prior, UNSEEN: unseen, "constant_data": constant})
    found.attrs = dict(tree.attrs)
    return found
