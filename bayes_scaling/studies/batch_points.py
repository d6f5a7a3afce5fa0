"""The law of steps over batch sizes, and its point estimates."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.studies.batch_table import groups_of, load

__all__ = ["point_fit", "power_law", "steps"]


def steps(batch_size: Any, *, c1: Any, c2: Any) -> Any:
    """Optimiser steps to the target loss.

    Parameters
    ----------
    batch_size : array or tensor
        Examples, sequences or tokens a step.
    c1 : array or tensor
        Examples that small batches need, in the unit of the batch size.
    c2 : array or tensor
        Steps that large batches need.
    """
    return c1 / batch_size + c2


def power_law(critical: xr.DataArray) -> xr.Dataset:
    """The least-squares power law of critical batch sizes over non-zero parameters, for each draw.

    Parameters
    ----------
    critical : DataArray
        Over ``group``, from `critical_batch` or `point_fit`.

    Returns
    -------
    Dataset
        ``exponent``, and ``coefficient``, the batch size at a million parameters.

    Raises
    ------
    InputError
        If the groups do not differ in size.
    """
    if "nonzero_params" not in critical.coords or len(np.unique(critical["nonzero_params"])) < 2:
        raise InputError("the groups have no nonzero_params that differ, so there is no power law over them")
    x: Any = np.log(critical["nonzero_params"] / 1e6)
    centred = x - x.mean("group")
    log: Any = np.log(critical)
    exponent = (centred * log).sum("group") / (centred**2).sum("group")
    coefficient = np.exp(log.mean("group") - exponent * x.mean("group"))
    return xr.Dataset({"exponent": exponent, "coefficient": coefficient})


def point_fit(table: Any, columns: Mapping[str, str] | None = None) -> xr.Dataset:
    """Least squares on log steps, group by group: the usual point estimate, which leaves censored runs out.

    Parameters
    ----------
    table : path, DataFrame, Dataset or list of dict
        As `load` reads it.
    columns : dict of str to str, optional
        Their names to ours.

    Returns
    -------
    Dataset
        ``c1``, ``c2`` and ``critical_batch`` (c1 / c2) over ``group``.

    Raises
    ------
    InputError
        If the table is wrong or a group has fewer than two batch sizes that reached the target.
    """
    from scipy.optimize import least_squares

    runs = load(table, columns)
    runs = runs.isel(run=np.flatnonzero(runs["steps_to_target"].notnull().to_numpy()))
    groups, found = groups_of(runs), []
    for group in groups.to_numpy().tolist():
        mine = runs.isel(run=np.flatnonzero(runs["group"].to_numpy() == group))
        batch, taken = mine["batch_size"].to_numpy(), mine["steps_to_target"].to_numpy()
        if len(np.unique(batch)) < 2:
            raise InputError(f"group {group!r} reached the target at one batch size, where a point fit needs two")
        start = np.log([np.min(batch * taken), taken.min()])
        misfit = least_squares(
            lambda z, b=batch, k=taken: np.log(steps(b, c1=np.exp(z[0]), c2=np.exp(z[1]))) - np.log(k),
            start, xtol=1e-14, ftol=1e-14, gtol=1e-14,
        )  # fmt: skip
        found.append(np.exp(misfit.x))
    c1, c2 = np.array(found).T
    over = {name: ("group", each) for name, each in (("c1", c1), ("c2", c2), ("critical_batch", c1 / c2))}
    return xr.Dataset(over, groups.coords)
