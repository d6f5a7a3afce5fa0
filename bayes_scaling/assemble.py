"""From what the sampler drew to a posterior in physical units, with every group filled in."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.design import Design
from bayes_scaling.hierarchy import link, unlink
from bayes_scaling.independent import drawn as independent_draws
from bayes_scaling.laws.base import Grouped, Independent, Law, Pooled, Rough, Shares, broken_name, latent_name
from bayes_scaling.noise import SIGMA_MEDIAN, SIGMA_SD

__all__ = ["UNSEEN", "assemble", "posterior_of", "prior_draws"]

UNSEEN = "unseen_structure"
"""The group that holds, per modality, the coefficients of a structure that no run had."""


def posterior_of(
    drawn: Mapping[str, np.ndarray], law: Law, design: Design, runs: xr.Dataset, settings: Mapping[str, Any]
) -> xr.DataTree:
    """What a posterior needs to answer questions, and no more.

    Parameters
    ----------
    drawn : dict of ndarray, shape (chain, draw, …)
        The model's free variables.
    law : Law
    design : Design
    runs : Dataset
        The finished runs that the design was made from.
    settings : dict
        ``seed``, and whatever else the posterior shall remember.

    Returns
    -------
    DataTree
        With the groups ``posterior``, ``unseen_structure``, ``constant_data`` and ``runs``.
    """
    variables, unseen = assemble(drawn, law, design, np.random.default_rng([settings["seed"], 1]))
    columns = ("modality", "structure", "strategy", "sparsity", "nonzero_params", "data_seen", "data_unit")
    constant = xr.Dataset(
        {name: ("run", runs[name].to_numpy(), runs[name].attrs) for name in columns}
        | {"log_loss_se": ("run", design.runs["log_loss_se"])}
        | {
            "reference_nonzero_params": ("level", design.nonzero_params),
            "reference_data_seen": ("level", design.data_seen),
            "rough_log_loss": ("level", design.rough_log_loss),
        },
        # `modality` itself is a column of the runs here, so its levels go by another name.
        coords={"run": runs["run_id"].to_numpy(), "level": list(design.modality)},
    )
    tree = xr.DataTree.from_dict({"posterior": variables, UNSEEN: unseen, "constant_data": constant, "runs": runs})
    tree.attrs = {"law": law.name, "settings": json.dumps(dict(settings))}
    return tree


def assemble(
    drawn: Mapping[str, np.ndarray], law: Law, design: Design, rng: np.random.Generator
) -> tuple[xr.Dataset, xr.Dataset]:
    """Posterior variables from the sampler's.

    Parameters
    ----------
    drawn : dict of ndarray, shape (chain, draw, …)
        The model's free variables, pooled ones on their link scales.
    law : Law
    design : Design
    rng : numpy.random.Generator
        For populations and groups without runs, which are drawn given the others.

    Returns
    -------
    posterior : Dataset
        The law's coefficients in physical units; ``reference_loss``, ``share`` and the other quantities that have
        priors; ``sigma``; population means (``b_N_population``) and spreads on the link scale
        (``b_N_spread``).
    unseen : Dataset
        Coefficients of a structure that no run had.
    """
    sample = ("chain", "draw")
    modality = {"modality": list(design.modality)}
    quantities: dict[str, xr.DataArray] = {}
    populations: dict[str, xr.DataArray] = {}
    reported: dict[str, xr.DataArray] = {}
    for name, prior in law.priors.items():
        if isinstance(prior, Rough):
            values = np.exp(design.rough_log_loss + drawn[f"{name}_offset"])
            reported[name] = quantities[name] = xr.DataArray(values, modality, (*sample, "modality"))
        elif isinstance(prior, Shares):
            coords = modality | {"term": list(prior.terms)}
            broken = drawn[broken_name(name)]
            shares = np.where(design.wider_in_data[:, None], broken[..., ::-1], broken)
            reported[name] = xr.DataArray(shares, coords, (*sample, "modality", "term"))
            quantities |= {term: reported[name].sel(term=term, drop=True) for term in prior.terms}
    for name, prior in design.active(law).items():
        if isinstance(prior, Independent):
            quantities[name] = _by_group(_every_independent(drawn, name, prior, design, rng), prior, design)
        else:
            quantities[name], populations[f"{name}_population"], populations[f"{name}_spread"] = _filled(
                drawn[latent_name(name, prior)], prior, design, rng
            )
    sigma = quantities.pop("sigma", None)
    if sigma is None:
        sigma = xr.DataArray(drawn["sigma"], modality, (*sample, "modality"))
    coefficients = law.from_shares(
        **quantities,
        nonzero_params=xr.DataArray(design.nonzero_params, modality, ("modality",)),
        data_seen=xr.DataArray(design.data_seen, modality, ("modality",)),
    )
    others = {name: value for name, value in quantities.items() if name in law.priors and name not in reported}
    everything = xr.Dataset(coefficients | others)
    everything = everything.transpose(*sample, *design.cell_dims, missing_dims="ignore")
    # A law of dense models has nothing that varies with the structure; the coordinate is there all the same.
    known = everything.isel(structure=slice(-1), missing_dims="ignore").assign_coords(structure=list(design.structure))
    by_structure = [name for name in everything if "structure" in everything[name].dims and name in law.coefficients]
    unseen = everything[by_structure].isel(structure=-1, missing_dims="ignore")
    posterior = known.assign(reported | {"sigma": sigma} | populations)
    posterior = posterior.assign_coords(chain=np.arange(sigma.sizes["chain"]), draw=np.arange(sigma.sizes["draw"]))
    for name, coefficient in law.coefficients.items():
        if name in posterior:
            posterior[name].attrs = {"units": coefficient.units, "long_name": coefficient.meaning}
    return posterior, unseen


def _filled(
    latent: np.ndarray, prior: Pooled, design: Design, rng: np.random.Generator
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """A pooled quantity in all groups, its population mean and its spread."""
    chains, draws = latent.shape[:2]
    population, groups = design.population(prior)
    mean, spread, every = population.recover(latent.reshape(chains * draws, -1), groups, rng)
    filled = _by_group(unlink(every, prior).reshape(chains, draws, -1), prior, design)
    mean_draws, spread_draws = (
        xr.DataArray(v.reshape(chains, draws), dims=("chain", "draw")) for v in (unlink(mean, prior), spread)
    )
    return filled, mean_draws, spread_draws


def _every_independent(
    drawn: Mapping[str, np.ndarray], name: str, prior: Independent, design: Design, rng: np.random.Generator
) -> np.ndarray:
    """An unpooled quantity in all groups, on its own scale; the prior's where there were no runs."""
    latent = latent_name(name, prior)
    values = unlink(drawn[latent], prior) if latent in drawn else drawn[name]
    if prior.over == ("modality",):
        return values
    every = independent_draws(prior, (*values.shape[:2], len(design.every_cell)), rng)
    every[..., design.groups(prior)] = values
    return every


def _by_group(every: np.ndarray, prior: Grouped, design: Design) -> xr.DataArray:
    """Values in all groups, shape (chain, draw, group), by the names of the groups."""
    if prior.over == ("modality",):
        dims: tuple[str, ...] = ("modality",)
        shape: tuple[int, ...] = (len(design.modality),)
    else:
        dims = ("modality", "structure", "strategy")
        shape = (len(design.modality), len(design.structure) + 1, len(design.strategy))
    coords = {"modality": list(design.modality)} | ({"strategy": list(design.strategy)} if "strategy" in dims else {})
    filled = xr.DataArray(every.reshape(*every.shape[:2], *shape), coords, ("chain", "draw", *dims))
    return filled.isel(strategy=0, drop=True) if "strategy" in dims and len(design.strategy) == 1 else filled


def prior_draws(law: Law, design: Design, draws: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws of the model's free variables from the prior, shaped as one chain.

    Parameters
    ----------
    law : Law
    design : Design
    draws : int
    rng : numpy.random.Generator

    Returns
    -------
    dict of ndarray, shape (1, draws, …)
    """
    groups = len(design.modality)
    drawn: dict[str, np.ndarray] = {}
    for name, prior in law.priors.items():
        if isinstance(prior, Rough):
            drawn[f"{name}_offset"] = rng.normal(0.0, prior.sd, (1, draws, groups))
        elif isinstance(prior, Shares):
            shares = rng.dirichlet(prior.concentrations, (1, draws, groups))
            drawn[broken_name(name)] = np.where(design.wider_in_data[:, None], shares[..., ::-1], shares)
    for name, prior in design.active(law).items():
        if isinstance(prior, Independent):
            values = independent_draws(prior, (1, draws, len(design.groups(prior))), rng)
            by_own_name = prior.bounded and not prior.on_link
            drawn[name if by_own_name else latent_name(name, prior)] = values if by_own_name else link(values, prior)
            continue
        population, members = design.population(prior)
        root = np.linalg.cholesky(population.covariance()[:, members][:, :, members])
        node = rng.integers(len(root), size=draws)
        normal = rng.standard_normal((draws, len(members), 1))
        drawn[latent_name(name, prior)] = population.mean + (root[node] @ normal)[None, :, :, 0]
    if "sigma" not in law.priors:
        drawn["sigma"] = np.exp(rng.normal(np.log(SIGMA_MEDIAN), SIGMA_SD, (1, draws, groups)))
    return drawn
