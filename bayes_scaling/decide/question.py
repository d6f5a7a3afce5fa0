"""A planner's question: a size and a budget, and how training and serving are paid for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.errors import InputError
from bayes_scaling.laws.base import Law

__all__ = ["FLOPS_PER_UNIT", "Question", "recorded_per_unit"]

FLOPS_PER_UNIT = 6.0
"""Forward and backward FLOPs per non-zero parameter and token."""

FORWARD = 1 / 3
"""Share of the forward pass in them, which is all that serving needs: the backward pass costs twice as much."""


@dataclass(frozen=True)
class Question:
    """Non-zero parameters and compute that are fixed, and a cost model that turns sparsity into data.

    Attributes
    ----------
    nonzero_params, train_flops : DataArray or array
        Sizes and budgets, which broadcast.
    cost : Cost
    flops_per_unit : float
        FLOPs per non-zero parameter and token or example, of a dense model.
    pretrain_data : float
        Data of the dense phase that a pretrained model started from; 0 from scratch.
    serve_tokens : float
        Tokens or examples served over the model's life, on the same budget.
    serve_flops_per_unit : float
        FLOPs per parameter and token or example served.
    """

    nonzero_params: Any
    train_flops: Any
    cost: costs.Cost
    flops_per_unit: float
    pretrain_data: float = 0.0
    serve_tokens: float = 0.0
    serve_flops_per_unit: float = FORWARD * FLOPS_PER_UNIT

    @classmethod
    def of(
        cls,
        nonzero_params: Any,
        train_flops: Any,
        cost: str | costs.Cost = "gradual",
        flops_per_unit: float | None = None,
        pretrain_data: float = 0.0,
        serve_tokens: float = 0.0,
        serve_flops_per_unit: float | None = None,
    ) -> "Question":
        """The question in checked arrays; a plain sequence becomes a dimension of its argument's name.

        ``serve_flops_per_unit`` is a third of ``flops_per_unit`` unless said: 2 of 6.

        Raises
        ------
        InputError
            If a size, a budget or FLOPs per unit are not a positive number, ``serve_tokens`` is negative, or the cost
            is not known.
        """
        per_unit = float(_positive("flops_per_unit", FLOPS_PER_UNIT if flops_per_unit is None else flops_per_unit))
        if not (np.isfinite(serve_tokens) and serve_tokens >= 0):
            raise InputError(f"serve_tokens is {serve_tokens}; it is a number of at least 0")
        per_served = FORWARD * per_unit if serve_flops_per_unit is None else serve_flops_per_unit
        return cls(
            _positive("nonzero_params", nonzero_params),
            _positive("train_flops", train_flops),
            costs.get(cost),
            per_unit,
            pretrain_data,
            serve_tokens,
            float(_positive("serve_flops_per_unit", per_served)),
        )

    def spent(self, sparsity: Any) -> Any:
        """FLOPs of the budget that buy no data: those of serving, and of what the cost model pays for up front."""
        size = self.nonzero_params
        upfront = self.cost.upfront(size, sparsity, self.pretrain_data, self.flops_per_unit)
        if not self.serve_tokens:
            return upfront
        return upfront + self.serve_flops_per_unit * size * self.cost.serving(sparsity) * self.serve_tokens

    def data_seen(self, sparsity: Any) -> Any:
        """Training data that the budget pays for at a sparsity, 0 where it is spent before."""
        left = np.maximum(self.train_flops - self.spent(sparsity), 0.0)
        return left / (self.flops_per_unit * self.nonzero_params) / self.cost.multiplier(sparsity)

    def loss(self, law: Law, coefficients: dict[str, Any], sparsity: Any) -> Any:
        """Expected held-out loss when the whole budget is spent at a sparsity; infinite where it buys no data."""
        data = self.data_seen(sparsity)
        paid = data > 0
        if np.all(paid):
            return law.loss(sparsity, self.nonzero_params, data, self.pretrain_data, **coefficients)
        some = xr.where(paid, data, 1.0)
        loss = law.loss(sparsity, self.nonzero_params, some, self.pretrain_data, **coefficients)
        return xr.where(paid, loss, np.inf)


def _positive(name: str, values: Any) -> xr.DataArray:
    if not isinstance(values, xr.DataArray):
        array = np.asarray(values, dtype=float)
        values = xr.DataArray(array, {name: array} if array.ndim else None, [name] if array.ndim else None)
    wrong = ~(np.isfinite(values.to_numpy()) & (values.to_numpy() > 0))
    if wrong.any():
        raise InputError(f"{name} is {values.to_numpy()[wrong].flat[0]}; it is a number above 0")
    return values


def recorded_per_unit(runs: xr.Dataset, modality: str) -> float | None:
    """FLOPs per parameter and token or example by the ``train_flops`` of a modality's dense runs, where they have any.

    Parameters
    ----------
    runs : Dataset
        As `load_runs` returns it.
    modality : str
    """
    dense = (runs["modality"] == modality) & (runs["sparsity"] == 0)
    if "train_flops" not in runs or not dense.any():
        return None
    mine = runs.isel(run=dense.to_numpy())
    found = float((mine["train_flops"] / (mine["nonzero_params"] * mine["data_seen"])).median())
    return round(found, 6) if np.isfinite(found) and found > 0 else None
