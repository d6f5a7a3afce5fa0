"""What pictures ask of a posterior, and refuse where it cannot be asked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.groups import coefficients, law_of, names_of
from bayes_scaling.plots.style import distinct
from bayes_scaling.structures import check_structure

__all__ = [
    "GROUPS",
    "chosen",
    "law_that_prunes",
    "modalities_of",
    "needs",
    "pairs_of",
    "pure_numbers",
    "quantiles",
    "runs_of",
    "shown_names",
    "strategy_of",
]

GROUPS = ("modality", "structure", "strategy")
"""Dimensions that name groups."""


def quantiles(draws: xr.DataArray, prob: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower end, median and upper end of an equal-tailed interval, over whatever dimensions are left."""
    tail = (1 - prob) / 2
    lower, median, upper = draws.quantile([tail, 0.5, 1 - tail], ("chain", "draw")).to_numpy()
    return lower, median, upper


def runs_of(posterior: xr.DataTree, modality: str) -> xr.Dataset:
    """The runs of a modality that were fitted, with their loss where the posterior holds it."""
    runs = posterior["constant_data"].to_dataset()
    runs = runs[[name for name in runs if runs[name].dims == ("run",)]]
    if "observed_data" in posterior.children:
        runs = runs.assign(loss=("run", np.exp(posterior["observed_data"]["log_loss"].to_numpy())))
    return runs.isel(run=np.flatnonzero((runs["modality"] == modality).to_numpy()))


def strategy_of(posterior: xr.DataTree) -> str:
    """From scratch, or how the runs started if none did so."""
    there = posterior["constant_data"]["strategy"].to_numpy().tolist()
    return "scratch" if "scratch" in there else str(there[0])


def law_that_prunes(posterior: xr.DataTree, what: str) -> None:
    """Refuse a law of dense models.

    Raises
    ------
    InputError
        If the law says nothing of sparse models.
    """
    law = law_of(posterior)
    if not law.prunes:
        raise InputError(
            f"law {law.name!r} is about dense models and has no sparsity axis, so there is no {what} to draw"
        )


def needs(posterior: xr.DataTree, group: str, what: str) -> None:
    """Refuse a posterior without a group.

    Raises
    ------
    InputError
        If it is not there.
    """
    if group not in posterior.children:
        raise InputError(
            f"the posterior has no group {group!r}, which {what} needs; bayes_scaling.fit makes one that has"
        )


def modalities_of(posterior: xr.DataTree, modality: str | Sequence[str] | None) -> list[str]:
    """The modalities asked for; all that the posterior has unless said.

    Raises
    ------
    InputError
        If one is not there.
    """
    names = names_of(posterior, "modality", modality)
    coefficients(posterior, names, "dense")  # refuses what the posterior does not have
    return names


def pairs_of(
    posterior: xr.DataTree, modality: str | Sequence[str] | None, structure: str | Sequence[str] | None
) -> list[tuple[str, str]]:
    """Modalities and structures to draw: those named, or all that had runs; dense where a law knows no other.

    Raises
    ------
    InputError
        If a modality is not in the posterior, or a structure is none.
    """
    modalities = modalities_of(posterior, modality)
    if not law_of(posterior).prunes:
        if structure is not None:
            law_that_prunes(posterior, f"structure {structure!r}")
        return [(name, "dense") for name in modalities]
    found = []
    for name in modalities:
        if structure is None:
            here = runs_of(posterior, name)["structure"].to_numpy().tolist()
            every = names_of(posterior, "structure", None)
            known = [s for s in every if s in here] or every[:1] or ["unstructured"]
        else:
            known = [check_structure(s) for s in names_of(posterior, "structure", structure)]
        found += [(name, s) for s in known]
    return found


def pure_numbers(posterior: xr.DataTree) -> list[str]:
    """The law's coefficients without units that every draw has: its exponents, and what is like them."""
    draws = posterior["posterior"].to_dataset()
    names = [name for name, c in law_of(posterior).coefficients.items() if c.units == "1" and name in draws]
    # Where laws are mixed, what one of them lacks is NaN in its draws.
    return [name for name in names if not bool(draws[name].isnull().any())]


def chosen(posterior: xr.DataTree, var_names: str | Sequence[str] | None, groups: Sequence[str]) -> list[str]:
    """The quantities asked for, or the law's pure numbers, checked against what the posterior has in each group.

    Raises
    ------
    InputError
        If one is not there.
    """
    if var_names is None:
        return [name for name in pure_numbers(posterior) if all(name in posterior[group] for group in groups)]
    names: list[Any] = [var_names] if isinstance(var_names, str) else list(var_names)
    for name in names:
        for group in groups:
            if name not in posterior[group]:
                there = ", ".join(map(str, posterior[group].data_vars))
                raise InputError(f"var_names names {name!r}, which the {group} does not have; it has {there}")
    return names


def shown_names(draws: xr.Dataset) -> xr.Dataset:
    """The same draws with the names of their groups as text."""
    return draws.assign_coords({dim: distinct(draws[dim].to_numpy()) for dim in GROUPS if dim in draws.dims})
