"""From the points that a fit ends in to coefficients, losses, scores, and what to say of them."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from bayes_scaling.design import Design, columns_of
from bayes_scaling.errors import InputError
from bayes_scaling.laws.base import Grouped, Law
from bayes_scaling.misfit import Misfit
from bayes_scaling.notes import Note

__all__ = ["convergence_notes", "design_notes", "expected_loss", "physical", "scores", "unseen_notes"]

SMALL_GRADIENT = 1e-4
"""Relative change of the objective per factor of e in a quantity; a point with a larger one is no minimum."""


def physical(law: Law, design: Design, misfits: Sequence[Misfit], points: Sequence[np.ndarray]) -> xr.Dataset:
    """The law's coefficients in physical units, every group filled in.

    Parameters
    ----------
    law : Law
    design : Design
    misfits : sequence of Misfit
        One a modality.
    points : sequence of ndarray, each of shape (coordinate,) or (draw, coordinate)
        One a modality.

    Returns
    -------
    Dataset
        Over ``modality`` and ``structure``, and ``strategy`` where runs have several; with ``draw`` in front where
        points have it. Cells without runs are at the priors' centre.
    """
    lead = ("draw",) * (points[0].ndim - 1)
    modality = {"modality": list(design.modality)}
    found = [misfit.quantities(point) for misfit, point in zip(misfits, points, strict=True)]
    quantities: dict[str, xr.DataArray] = {}
    for name in found[0]:
        prior = law.priors.get(name)  # none for a share, which goes by its term
        if not isinstance(prior, Grouped) or prior.over == ("modality",):
            values = np.concatenate([each[name] for each in found], axis=-1)
            quantities[name] = xr.DataArray(values, modality, (*lead, "modality"))
            continue
        levels = modality | {"structure": list(design.structure), "strategy": list(design.strategy)}
        filled = np.full((*points[0].shape[:-1], *map(len, levels.values())), prior.center)
        for misfit, each in zip(misfits, found, strict=True):
            filled[(..., *misfit.cells.T)] = each[name]
        cells = xr.DataArray(filled, levels, (*lead, *levels))
        quantities[name] = cells if len(design.strategy) > 1 else cells.isel(strategy=0, drop=True)
    coefficients = law.from_shares(
        **quantities,
        nonzero_params=xr.DataArray(design.nonzero_params, modality, ("modality",)),
        data_seen=xr.DataArray(design.data_seen, modality, ("modality",)),
    )
    dataset = xr.Dataset(coefficients).transpose(*lead, *design.cell_dims, missing_dims="ignore")
    for name, coefficient in law.coefficients.items():
        if name in dataset:
            dataset[name].attrs = {"units": coefficient.units, "long_name": coefficient.meaning}
    return dataset


def expected_loss(law: Law, coefficients: xr.Dataset, runs: xr.Dataset) -> xr.DataArray:
    """The law at each run of a validated table, over ``run``, and ``draw`` in front where coefficients have it.

    Raises
    ------
    InputError
        If a run's modality, structure or strategy is not among the coefficients'.
    """
    labels = {dim: runs[dim].to_numpy() for dim in ("modality", "structure", "strategy") if dim in coefficients.dims}
    if "structure" in labels:  # at sparsity 0 every structure gives the same loss
        first = coefficients["structure"].to_numpy()[0]
        labels["structure"] = np.where(runs["sparsity"].to_numpy() > 0, labels["structure"], first)
    for dim, names in labels.items():
        known = coefficients[dim].to_numpy().tolist()
        if strangers := [name for name in names.tolist() if name not in known]:
            raise InputError(f"{dim} {strangers[0]!r} is not among the coefficients, which have {', '.join(known)}")
    at = coefficients.sel({dim: xr.DataArray(names, dims="run") for dim, names in labels.items()})
    at = at.drop_vars(list(labels))
    columns = {name: xr.DataArray(values, dims="run") for name, values in columns_of(runs, law).items()}
    loss: xr.DataArray = law.loss(**columns, **{str(name): values for name, values in at.data_vars.items()})
    return loss.transpose("draw", "run", missing_dims="ignore")


def scores(
    law: Law, coefficients: xr.Dataset, runs: xr.Dataset, design: Design, misfits: Sequence[Misfit]
) -> xr.Dataset:
    """Objective, root mean square error of the loss and largest relative error of coefficients, over ``modality``."""
    fitted = expected_loss(law, coefficients, runs).to_numpy()
    observed = runs["loss"].to_numpy()
    found: dict[str, list[float]] = {"objective": [], "rmse": [], "max_relative_error": []}
    for i, misfit in enumerate(misfits):
        mine = design.cells[design.cell_of_run, 0] == i
        residual = (np.log(fitted[mine]) if misfit.on_log else fitted[mine]) - misfit.observed
        found["objective"].append(float(misfit.of_residuals(residual).mean()))
        found["rmse"].append(float(np.sqrt(np.mean((fitted - observed)[mine] ** 2))))
        found["max_relative_error"].append(float(np.abs(fitted / observed - 1)[mine].max()))
    scored = xr.Dataset({k: ("modality", v) for k, v in found.items()}, {"modality": list(design.modality)})
    scored["rmse"].attrs["units"] = "loss"
    return scored


def design_notes(
    runs: xr.Dataset, design: Design, misfits: Sequence[Misfit], points: Sequence[np.ndarray]
) -> list[Note]:
    """Notes on what the runs do not determine."""
    notes = []
    for misfit, point in zip(misfits, points, strict=True):
        about = {"modality": misfit.modality}
        name, count, free = misfit.modality, misfit.observed.size, int(misfit.free.sum())
        if count <= free:
            notes.append(
                Note(
                    "few_runs",
                    "warning",
                    f"{name} has {count} finished runs for {free} fitted quantities: the law can pass through all of "
                    "them, and nothing is left to judge it by.",
                    about,
                    {"runs": count, "quantities": free},
                )
            )
        if held := _quantities(design, misfit, ~misfit.free):
            notes.append(
                Note(
                    "held_at_prior",
                    "warning",
                    f"No run of {name} depends on {', '.join(held)}: what stands there is the centre of the priors and "
                    "no estimate.",
                    about | {"quantities": ", ".join(held)},
                )
            )
        if flat := _quantities(design, misfit, misfit.flat(point)):
            notes.append(
                Note(
                    "flat_direction",
                    "warning",
                    f"The runs of {name} do not determine {', '.join(flat)}: other values fit as well, and what the "
                    "law says beyond the runs depends on which.",
                    about | {"quantities": ", ".join(flat)},
                )
            )
    sparse = [misfit.modality for misfit in misfits if misfit.columns["sparsity"].any()]
    return [*notes, *unseen_notes(runs, itertools.product(sparse, design.structure, design.strategy))]


def _quantities(design: Design, misfit: Misfit, coordinates: np.ndarray) -> list[str]:
    """Names of the quantities that coordinates belong to, with the structure where there are several cells."""
    names = []
    for name, where in misfit.slices.items():
        prior, chosen = misfit.priors[name], np.flatnonzero(coordinates[where])
        if isinstance(prior, Grouped) and prior.over != ("modality",) and len(misfit.cells) > 1:
            names += [f"{name} of {design.structure[misfit.cells[i, 1]]}" for i in chosen]
        elif chosen.size:
            names.append(name)
    return list(dict.fromkeys(names))


def unseen_notes(runs: xr.Dataset, asked: Iterable[tuple[str, str, str]]) -> list[Note]:
    """A note for each modality, structure and strategy of which there were no sparse runs."""
    sparse = runs["sparsity"].to_numpy() > 0
    columns = (runs[name].to_numpy()[sparse].tolist() for name in ("modality", "structure", "strategy"))
    trained = set(zip(*columns, strict=True))
    several = len(np.unique(runs["strategy"].to_numpy())) > 1
    return [
        Note(
            "unseen_pair",
            "warning",
            f"No run of {modality} had structure {structure}{f' and strategy {strategy}' if several else ''}: its "
            "sparsity coefficients are the centre of the priors and no estimate.",
            {"modality": modality, "structure": structure, "strategy": strategy},
        )
        for modality, structure, strategy in dict.fromkeys(asked)
        if (modality, structure, strategy) not in trained
    ]


def convergence_notes(
    misfits: Sequence[Misfit], gradient: Sequence[float], agreeing: Sequence[int], starts: int
) -> list[Note]:
    """Notes on whether each point is a minimum, and on whether it was reached twice."""
    notes = []
    for misfit, steepest, same in zip(misfits, gradient, agreeing, strict=True):
        if not steepest <= SMALL_GRADIENT:
            notes.append(
                Note(
                    "optimiser_stopped_early",
                    "warning",
                    f"{misfit.modality}: the objective still changes by {steepest:.2g} of itself per factor of e in "
                    f"some quantity, where a minimum has at most {SMALL_GRADIENT:g}.",
                    {"modality": misfit.modality},
                    {"gradient": steepest},
                )
            )
        if same < 2:
            notes.append(
                Note(
                    "starts_disagree",
                    "warning",
                    f"{misfit.modality}: {same} of {starts} starts reached the lowest objective found, so there may be "
                    "a lower one; more starts would tell.",
                    {"modality": misfit.modality},
                    {"starts": starts, "agreeing": same},
                )
            )
    return notes
