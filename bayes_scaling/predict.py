"""From a posterior to the loss of runs that nobody has trained."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.design import columns_of, grouped, log_loss_se
from bayes_scaling.discrepancy import at_runs
from bayes_scaling.errors import InputError
from bayes_scaling.groups import coefficients, law_of, names_of, refuse_studies, unseen_notes
from bayes_scaling.laws.base import Law
from bayes_scaling.noise import draw_noise
from bayes_scaling.notes import write_notes
from bayes_scaling.runs import load_runs

__all__ = [
    "check_held",
    "dense_equivalent",
    "expected_loss",
    "noise_scale",
    "predict",
    "runs_to_predict",
]

KINDS = ("mean", "new-run")

NEAR = 1.1
"""Ratio to the runs fitted up to which a column that a law holds counts as theirs."""


def predict(posterior: xr.DataTree, new_runs: Any, kind: str = "mean", *, seed: int | None = None) -> xr.DataArray:
    """Loss of runs that nobody has trained.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    new_runs : Dataset, DataFrame, path or list of dict
        A run table without need of a loss; ``modality`` and ``data_unit`` may be absent where the posterior has one.
    kind : {"mean", "new-run"}
        ``mean`` is the law, with what it may miss beyond the runs (`discrepancy`); ``new-run`` adds the noise of a
        single run, and that of measuring it where the table has ``loss_se``. The noise is Student-t on the log, so
        draws of a new run have no mean: summarise them by quantiles.
    seed : int, optional
        Seed of the noise; the posterior's unless said.

    Returns
    -------
    DataArray
        Held-out loss over (``chain``, ``draw``, ``run``), in the unit of the runs fitted. The attribute ``notes``
        says which runs are answered from the population.

    Raises
    ------
    InputError
        If the kind or a modality is not known, the seed is negative, or the runs are wrong or count another data unit.
    """
    if seed is not None and seed < 0:
        raise InputError(f"seed is {seed}; it is a whole number of at least 0")
    if kind not in KINDS:
        raise InputError(f"kind is {kind!r}; it is one of {', '.join(KINDS)}")
    runs = runs_to_predict(posterior, new_runs)
    check_held(law_of(posterior), runs, posterior["constant_data"].to_dataset())
    loss = expected_loss(posterior, runs)
    if kind == "new-run":
        rng = np.random.default_rng([_seed(posterior, seed), 5])
        stated = log_loss_se(runs, loss.median(("chain", "draw")).to_numpy())
        loss = loss * np.exp(noise_scale(posterior, runs, stated) * draw_noise(loss.shape, rng))
    loss = loss.assign_coords(run=runs["run_id"].to_numpy()).rename("loss")
    loss.attrs = {"kind": kind, "units": "loss", "long_name": "held-out loss"}
    asked = zip(*(runs[c].to_numpy().tolist() for c in ("modality", "structure", "sparsity")), strict=True)
    write_notes(loss.attrs, unseen_notes(posterior, [(m, s) for m, s, sparsity in asked if sparsity > 0]))
    return loss


def dense_equivalent(
    posterior: xr.DataTree,
    sparsity: Any,
    modality: str | Sequence[str] | None = None,
    structure: str | Sequence[str] | None = None,
    strategy: str | None = None,
    *,
    nonzero_params: Any = None,
) -> xr.DataArray:
    """How many parameters a dense model needs per non-zero parameter of a sparse one, for the same loss and data.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    sparsity : float or DataArray
        Fraction of zeros, in [0, 1); a DataArray broadcasts by name.
    modality, structure, strategy : str or sequence of str, optional
        Which; all that the posterior has unless said.
    nonzero_params : float or DataArray, optional
        Parameters of the sparse model; needed where the multiplier depends on them, as under ``routed``.

    Returns
    -------
    DataArray
        The multiplier over (``chain``, ``draw``, ``modality``, ``structure``, …); a dimension is dropped where one
        name is given. The attribute ``notes`` says which pairs are answered from the population.

    Raises
    ------
    InputError
        If a sparsity lies outside [0, 1), a modality is not known, or ``nonzero_params`` is needed or is not positive.
    """
    values = np.asarray(sparsity)
    if not ((values >= 0) & (values < 1)).all():
        raise InputError(f"sparsity is {values[~((values >= 0) & (values < 1))].flat[0]}; it lies in [0, 1)")
    if nonzero_params is not None and not (np.asarray(nonzero_params) > 0).all():
        raise InputError(f"nonzero_params is {nonzero_params}; it is a number above 0")
    size = {} if nonzero_params is None else {"nonzero_params": nonzero_params}
    here = coefficients(posterior, modality, structure, strategy)
    multiplier = law_of(posterior).dense_equivalent(sparsity, **size, **here).rename("dense_equivalent")
    structures = names_of(posterior, "structure", structure)
    pairs = [(m, s) for m in names_of(posterior, "modality", modality) for s in structures]
    write_notes(multiplier.attrs, unseen_notes(posterior, pairs))
    return multiplier


def runs_to_predict(posterior: xr.DataTree, new_runs: Any) -> xr.Dataset:
    """A run table without need of a loss, with the posterior's modality and units where the source is silent."""
    refuse_studies(posterior)
    group = json.loads(posterior.attrs["settings"])["group"]
    runs = grouped(load_runs(new_runs, need_loss=False), group)
    known = posterior["posterior"]["modality"].to_numpy().tolist()
    if len(known) == 1 and set(runs["modality"].to_numpy()) == {"all"}:
        runs = runs.assign(modality=runs["modality"].copy(data=np.full(runs.sizes["run"], known[0])))
    fitted = posterior["constant_data"].to_dataset()
    unit_of = dict(zip(fitted["modality"].to_numpy().tolist(), fitted["data_unit"].to_numpy().tolist(), strict=True))
    source = runs.attrs.get("source", "the runs")
    columns = (runs[name].to_numpy().tolist() for name in ("run_id", "modality", "data_unit"))
    for run_id, modality, unit in zip(*columns, strict=True):
        if modality not in known:
            raise InputError(
                f"{source}: run {run_id!r} has modality {modality!r}, which is not in the posterior; "
                f"that has {', '.join(known)}"
            )
        # Tokens are what a table means that says nothing, so only the other unit is surely a mistake.
        if unit != unit_of[modality] and unit != "tokens":
            raise InputError(f"{source}: run {run_id!r} counts {unit}, and the runs fitted count {unit_of[modality]}")
    return runs


def check_held(law: Law, runs: xr.Dataset, fitted: xr.Dataset) -> None:
    """Refuse questions along an axis that the law does not have.

    Raises
    ------
    InputError
        If a run differs from those fitted in a column that the law holds.
    """
    for column in law.held:
        for modality in np.unique(runs["modality"].to_numpy()):
            known = fitted[column].to_numpy()[fitted["modality"].to_numpy() == modality]
            asked = runs[column].to_numpy()
            off = (asked < known.min() / NEAR) | (asked > known.max() * NEAR)
            off &= runs["modality"].to_numpy() == modality
            if off.any():
                raise InputError(
                    f"{runs.attrs.get('source', 'the runs')}: run {str(runs['run_id'].to_numpy()[off][0])!r} has "
                    f"{column} {asked[off][0]:.4g}, and law {law.name!r} is no function of it: it answers for the "
                    f"{np.median(known):.4g} of the runs fitted"
                )


def expected_loss(posterior: xr.DataTree, runs: xr.Dataset) -> xr.DataArray:
    """The law at each run of a validated table, and what it may miss there, over (``chain``, ``draw``, ``run``)."""
    at = coefficients(posterior, *(_labels(runs, name) for name in ("modality", "structure", "strategy")))
    law = law_of(posterior)
    columns = {name: xr.DataArray(values, dims="run") for name, values in columns_of(runs, law).items()}
    loss = law.loss(**columns, **at).transpose("chain", "draw", "run")
    where = ("modality", "structure", "nonzero_params", "data_seen", "sparsity")
    return loss * np.exp(at_runs(posterior, {name: runs[name].to_numpy() for name in where}))


def noise_scale(posterior: xr.DataTree, runs: xr.Dataset, log_loss_se: Any = 0.0) -> xr.DataArray:
    """Scale of a run's noise on log loss, over (``chain``, ``draw``, ``run``)."""
    sigma = posterior["posterior"].to_dataset()["sigma"].sel(modality=_labels(runs, "modality")).drop_vars("modality")
    given = xr.DataArray(np.broadcast_to(log_loss_se, runs.sizes["run"]), dims="run")
    return (sigma**2 + given**2) ** 0.5


def _labels(runs: xr.Dataset, name: str) -> xr.DataArray:
    return xr.DataArray(runs[name].to_numpy(), dims="run")


def _seed(posterior: xr.DataTree, seed: int | None) -> int:
    return int(json.loads(posterior.attrs["settings"])["seed"]) if seed is None else seed
