"""How far a question lies beyond the runs, in nats: 0 inside, ln 10 for ten times as large."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.decide.question import FLOPS_PER_UNIT

__all__ = ["AXES", "SIDES", "beyond", "extrapolation", "signed"]

AXES = ("nonzero_params", "data_seen", "sparsity", "train_flops")
SIDES = ("below", "above")


def beyond(
    posterior: xr.DataTree,
    modality: str,
    structure: str,
    *,
    nonzero_params: Any,
    data_seen: Any,
    sparsity: Any,
    cost: str | costs.Cost = "gradual",
) -> xr.DataArray:
    """Distance beyond the training range of a modality on each axis and side.

    Training FLOPs are compared under one cost model, since runs rarely record them alike. Sparsity is measured on
    log(1 - S), so that ``below`` means sparser than any run, against the modality's dense runs and those of the
    structure, or of all structures where it had none.

    Parameters
    ----------
    posterior : DataTree
    modality, structure : str
    nonzero_params, data_seen, sparsity : float or DataArray
        Where; DataArrays broadcast by name.
    cost : str or Cost

    Returns
    -------
    DataArray
        Nats, at least 0, over (``axis``, ``side``, …).
    """
    where = {"nonzero_params": nonzero_params, "data_seen": data_seen, "sparsity": sparsity}
    nats = signed(posterior, modality, structure, **where, cost=cost)
    # A budget is spent to the last FLOP, so rounding must not count as leaving the range.
    return nats.where(nats > 1e-9, 0.0)


def signed(
    posterior: xr.DataTree,
    modality: str,
    structure: str,
    *,
    nonzero_params: Any,
    data_seen: Any,
    sparsity: Any,
    cost: str | costs.Cost = "gradual",
) -> xr.DataArray:
    """The same, negative inside the range, where it says how far away that end is."""
    runs = posterior["constant_data"].to_dataset()
    mine = runs["modality"].to_numpy() == modality
    seen = {name: runs[name].to_numpy()[mine] for name in ("nonzero_params", "data_seen", "sparsity")}
    same = np.isin(runs["structure"].to_numpy()[mine], [structure, "dense"])
    own = (seen["sparsity"][same] > 0).any() or (bool(np.all(np.asarray(sparsity) == 0)) and same.any())
    comparable = same if own else np.ones_like(same)
    multiplier = costs.get(cost).multiplier

    def axes(size: Any, data: Any, zeros: Any) -> tuple[Any, ...]:
        return size, data, 1 - zeros, FLOPS_PER_UNIT * size * data * multiplier(zeros)

    here = xr.broadcast(*(xr.DataArray(v) for v in axes(nonzero_params, data_seen, sparsity)))
    there = list(axes(*seen.values()))
    there[2] = there[2][comparable]
    sides = [
        xr.concat([np.log(values.min()) - np.log(value), np.log(value) - np.log(values.max())], dim="side")
        for value, values in zip(here, there, strict=True)
    ]
    return xr.concat(sides, dim="axis").assign_coords(axis=list(AXES), side=list(SIDES))


def extrapolation(
    posterior: xr.DataTree,
    modality: str,
    structure: str,
    *,
    nonzero_params: float,
    data_seen: float,
    sparsity: float,
    cost: str | costs.Cost = "gradual",
) -> dict[str, float]:
    """Distance of one question beyond the runs, to either side.

    Parameters
    ----------
    posterior : DataTree
    modality, structure : str
    nonzero_params, data_seen, sparsity : float
        Where.
    cost : str or Cost

    Returns
    -------
    dict
        Nats on ``nonzero_params``, ``data_seen``, ``sparsity`` and ``train_flops``.
    """
    here = {"nonzero_params": nonzero_params, "data_seen": data_seen, "sparsity": sparsity}
    nats = beyond(posterior, modality, structure, **here, cost=cost).max("side")
    return {axis: float(nats.sel(axis=axis)) for axis in AXES}
