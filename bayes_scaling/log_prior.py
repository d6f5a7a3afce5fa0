"""The log density of the priors at each draw, to weigh prior against likelihood afterwards."""

import numpy as np
import xarray as xr
from scipy.special import gammaln, logsumexp

from bayes_scaling.design import Design
from bayes_scaling.hierarchy import Population, link
from bayes_scaling.independent import log_density
from bayes_scaling.laws.base import Grouped, Independent, Law, Rough, Shares
from bayes_scaling.noise import SIGMA_MEDIAN, SIGMA_SD

__all__ = ["log_prior"]

_LOG_2PI = np.log(2 * np.pi)


def log_prior(posterior: xr.Dataset, law: Law, design: Design) -> xr.Dataset:
    """Log prior density of each quantity at each draw: ArviZ's group ``log_prior``, which ``az.psense`` reads.

    Densities are those of the variables that the model has priors on (the log of the reference loss, shares on the
    simplex, pooled quantities on their link scales, sigma itself), without the Jacobians of sampling coordinates, as
    PyMC computes this group. Populations and scales of the hierarchy are integrated out, as they are for the sampler,
    and groups without runs, which are drawn afterwards, are left out.

    Parameters
    ----------
    posterior : Dataset
        A posterior's group of that name; a prior's will do as well.
    law : Law
    design : Design
        Of the finished runs that were fitted.

    Returns
    -------
    Dataset
        Over ``chain`` and ``draw``; and over ``modality`` where modalities are independent of each other. The sum of
        all is the log prior of a draw.
    """
    sample = ("chain", "draw")
    over_modality = (*sample, "modality")
    found: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name, prior in law.priors.items():
        if isinstance(prior, Rough):
            offset = np.log(posterior[name].transpose(*over_modality).to_numpy()) - design.rough_log_loss
            found[name] = (over_modality, _normal(offset, 0.0, prior.sd))
        elif isinstance(prior, Shares):
            shares = posterior[name].transpose(*over_modality, "term").to_numpy()
            found[name] = (over_modality, _dirichlet(shares, np.array(prior.concentrations)))
    for name, prior in design.active(law).items():
        groups = _groups(posterior[name], prior, design)
        if isinstance(prior, Independent):
            density = log_density(prior, groups)
            found[name] = (over_modality, density) if prior.over == ("modality",) else (sample, density.sum(axis=-1))
            continue
        groups = link(groups, prior)
        found[name] = (sample, _mixture(groups, *design.population(prior)))
    if "sigma" not in law.priors:
        log_sigma = np.log(posterior["sigma"].transpose(*over_modality).to_numpy())
        found["sigma"] = (over_modality, _normal(log_sigma, np.log(SIGMA_MEDIAN), SIGMA_SD) - log_sigma)
    return xr.Dataset(found, {dim: posterior[dim] for dim in over_modality if dim in posterior.coords})


def _groups(values: xr.DataArray, prior: Grouped, design: Design) -> np.ndarray:
    """A quantity in the groups that the sampler saw, shape (chain, draw, group)."""
    sample = ("chain", "draw")
    if prior.over == ("modality",):
        return values.transpose(*sample, "modality").to_numpy()
    cells = tuple(design.cells.T[: len(design.cell_dims)])
    return values.transpose(*sample, *design.cell_dims).to_numpy()[(..., *cells)]


def _normal(values: np.ndarray, mean: float, sd: float) -> np.ndarray:
    return -0.5 * (((values - mean) / sd) ** 2 + _LOG_2PI) - np.log(sd)


def _dirichlet(shares: np.ndarray, concentration: np.ndarray) -> np.ndarray:
    constant = gammaln(concentration.sum()) - gammaln(concentration).sum()
    return constant + ((concentration - 1) * np.log(shares)).sum(axis=-1)


def _mixture(groups: np.ndarray, population: Population, members: np.ndarray) -> np.ndarray:
    """Joint log density of groups, a mixture of normal densities over the grid of scales."""
    precision, log_det = population.precision(members)
    centred = groups - population.mean
    # With precision = C Cᵀ, the square of Cᵀ x is the exponent.
    square = np.stack([((centred @ root) ** 2).sum(axis=-1) for root in np.linalg.cholesky(precision)], axis=-1)
    return logsumexp(0.5 * (log_det - square), axis=-1) - np.log(len(log_det)) - 0.5 * len(members) * _LOG_2PI
