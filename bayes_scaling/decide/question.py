"""A planner's question: a size and a budget, and how training is paid for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.errors import InputError
from bayes_scaling.laws.base import Law

__all__ = ["FLOPS_PER_UNIT", "Question"]

FLOPS_PER_UNIT = 6.0
"""Forward and backward FLOPs per non-zero parameter and token."""


@dataclass(frozen=True)
class Question:
    """Non-zero parameters and training compute that are fixed, and a cost model that turns sparsity into data.

    Attributes
    ----------
    nonzero_params, train_flops : DataArray or array
        Sizes and budgets, which broadcast.
    cost : Cost
    flops_per_unit : float
        FLOPs per non-zero parameter and token or example, of a dense model.
    pretrain_data : float
        Data of the dense phase that a pretrained model started from; 0 from scratch.
    """

    nonzero_params: Any
    train_flops: Any
    cost: costs.Cost
    flops_per_unit: float
    pretrain_data: float = 0.0

    @classmethod
    def of(
        cls,
        nonzero_params: Any,
        train_flops: Any,
        cost: str | costs.Cost = "gradual",
        flops_per_unit: float | None = None,
        pretrain_data: float = 0.0,
    ) -> "Question":
        """The question in checked arrays; a plain sequence becomes a dimension of its argument's name.

        Raises
        ------
        InputError
            If a size, a budget or ``flops_per_unit`` is not a positive number, or the cost is not known.
        """
        per_unit = FLOPS_PER_UNIT if flops_per_unit is None else flops_per_unit
        return cls(
            _positive("nonzero_params", nonzero_params),
            _positive("train_flops", train_flops),
            costs.get(cost),
            float(_positive("flops_per_unit", per_unit)),
            pretrain_data,
        )

    def data_seen(self, sparsity: Any) -> Any:
        """Training data that the budget pays for at a sparsity."""
        dense = self.train_flops / (self.flops_per_unit * self.nonzero_params)
        return dense / self.cost.multiplier(sparsity)

    def loss(self, law: Law, coefficients: dict[str, Any], sparsity: Any) -> Any:
        """Expected held-out loss when the whole budget is spent at a sparsity."""
        return law.loss(sparsity, self.nonzero_params, self.data_seen(sparsity), self.pretrain_data, **coefficients)


def _positive(name: str, values: Any) -> xr.DataArray:
    if not isinstance(values, xr.DataArray):
        array = np.asarray(values, dtype=float)
        values = xr.DataArray(array, {name: array} if array.ndim else None, [name] if array.ndim else None)
    wrong = ~(np.isfinite(values.to_numpy()) & (values.to_numpy() > 0))
    if wrong.any():
        raise InputError(f"{name} is {values.to_numpy()[wrong].flat[0]}; it is a number above 0")
    return values
