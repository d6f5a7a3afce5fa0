"""How far a question lies beyond the runs, in nats: 0 inside, ln 10 for ten times as large."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.decide.question import FLOPS_PER_UNIT

__all__ = ["AXES", "extrapolation"]

AXES = ("nonzero_params", "data_seen", "sparsity", "train_flops")


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
    """Distance beyond the training range of a modality on each axis.

    Training FLOPs are compared under one cost model, since runs rarely record them alike. Sparsity is measured on
    log(1 - S), against the modality's dense runs and those of the structure, or of all structures where it had none.

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
    runs = posterior["constant_data"].to_dataset()
    mine = runs["modality"].to_numpy() == modality
    seen = {name: runs[name].to_numpy()[mine] for name in ("nonzero_params", "data_seen", "sparsity")}
    same = np.isin(runs["structure"].to_numpy()[mine], [structure, "dense"])
    own = (seen["sparsity"][same] > 0).any() or (sparsity == 0 and same.any())
    comparable = same if own else np.ones_like(same)

    def flops(size: Any, data: Any, zeros: Any) -> Any:
        return FLOPS_PER_UNIT * size * data * costs.get(cost).multiplier(zeros)

    here = (nonzero_params, data_seen, 1 - sparsity, flops(nonzero_params, data_seen, sparsity))
    there = (
        seen["nonzero_params"],
        seen["data_seen"],
        1 - seen["sparsity"][comparable],
        flops(seen["nonzero_params"], seen["data_seen"], seen["sparsity"]),
    )
    return {axis: _beyond(value, values) for axis, value, values in zip(AXES, here, there, strict=True)}


def _beyond(value: float, seen: np.ndarray) -> float:
    # A budget is spent to the last FLOP, so rounding must not count as leaving the range.
    nats = max(np.log(seen.min()) - np.log(value), np.log(value) - np.log(seen.max()), 0.0)
    return float(nats) if nats > 1e-9 else 0.0
