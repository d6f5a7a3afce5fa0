"""Leave-one-out of several laws, and stacking weights, by ArviZ."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from bayes_scaling import laws
from bayes_scaling.design import design_of
from bayes_scaling.notes import Note
from bayes_scaling.pointwise import log_likelihood
from bayes_scaling.refit import refit
from bayes_scaling.validate.predictions import refit_notes

__all__ = ["elpd_of", "leave_one_out", "stacking"]

DRAWS = 4000


def leave_one_out(
    runs: xr.Dataset, names: list[str], priors: Mapping[str, Mapping[str, Any]], seed: int
) -> tuple[dict[str, Any], dict[str, list[Note]]]:
    """PSIS-LOO of each law, from quick refits to all runs.

    A law with parts is the mixture of what its parts predict of each run, with its fixed shares. ``az.loo`` on its
    draws would be another thing: it would let every run left out shift the shares.

    Parameters
    ----------
    runs : Dataset
        Finished runs.
    names : list of str
        The laws.
    priors : dict of dict
        By law, those of parts included: priors in place of its own, as `refit` takes them.
    seed : int

    Returns
    -------
    found : dict of arviz.ELPDData
        By law, with pointwise values and Pareto k; those of a law with parts are the largest of the parts'.
    notes : dict of list of Note
        By law, how far its refits are to be trusted.

    References
    ----------
    Vehtari, Gelman and Gabry, arXiv:1507.04544.
    """
    known = {name: laws.get(name) for name in names}
    plain = dict.fromkeys(part for name, law in known.items() for part in (law.parts or [name]))
    found, notes = {}, {}
    for name in plain:
        found[name], notes[name] = _loo(runs, name, priors[name], seed)
    for name, law in known.items():
        if law.parts:
            notes[name] = [note for part in law.parts for note in notes[part]]
            parts = [found[part] for part in law.parts]
            log_share = np.log(list(law.parts.values()))[:, None]
            elpd_i = logsumexp(log_share + np.stack([part.elpd_i.to_numpy() for part in parts]), axis=0)
            pareto_k = np.max([part.pareto_k.to_numpy() for part in parts], axis=0)
            like = parts[0].elpd_i
            found[name] = elpd_of(like.copy(data=elpd_i), like.copy(data=pareto_k))
    return {name: found[name] for name in names}, {name: notes[name] for name in names}


def _loo(runs: xr.Dataset, name: str, prior: Mapping[str, Any], seed: int) -> tuple[Any, list[Note]]:
    import arviz as az

    posterior = refit(runs, laws.get(name), prior=prior, seed=seed, draws=DRAWS, discrepancy=False)
    density = log_likelihood(posterior, runs, design_of(runs).runs["log_loss_se"])
    density = density.assign_coords(run=runs["run_id"].to_numpy())
    posterior["log_likelihood"] = xr.DataTree(xr.Dataset({"log_loss": density}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of what the share of large Pareto k says
        found = az.loo(posterior, pointwise=True)
    return elpd_of(found.elpd_i, found.pareto_k), refit_notes(posterior)


def elpd_of(log_scores: xr.DataArray, pareto_k: xr.DataArray | None = None) -> Any:
    """Log scores of runs as ArviZ takes them, whatever way the runs were held out.

    Parameters
    ----------
    log_scores : DataArray
        Over ``run``.
    pareto_k : DataArray, optional
        Over ``run``.

    Returns
    -------
    arviz.ELPDData
    """
    import arviz as az

    count = log_scores.sizes["run"]
    return az.ELPDData(
        elpd=float(log_scores.sum()),
        se=float(np.sqrt(count * log_scores.to_numpy().var())),
        n_data_points=count,
        scale="log",
        p=np.nan,  # what is not known of every way to hold out, and `az.compare` does not need
        n_samples=None,
        warning=False,
        good_k=None,
        elpd_i=log_scores,
        pareto_k=pareto_k,
    )


def stacking(found: Mapping[str, Any]) -> dict[str, float]:
    """The weights with which laws together would have predicted the runs best.

    Parameters
    ----------
    found : dict of arviz.ELPDData
        By law, with pointwise values of the same runs.

    Returns
    -------
    dict of float
        By law; they add up to 1.

    References
    ----------
    Yao, Vehtari, Simpson and Gelman, arXiv:1704.02030.
    """
    import arviz as az

    weight = az.compare(dict(found), method="stacking", round_to="none")["weight"]
    return {name: float(weight[name]) for name in found}
