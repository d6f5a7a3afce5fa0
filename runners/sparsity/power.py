"""Powerpropagation: a power of the stored weight is what the model computes with."""

from typing import Any

import torch
from torch import Tensor

__all__ = ["Power"]


class Power(torch.autograd.Function):
    """w = theta |theta|^(power - 1).

    The gradient is multiplied by power |theta|^(power - 1): large weights move more and small ones less, so many end
    near zero, where removing them does little. Zero itself is a point where the gradient vanishes.

    References
    ----------
    Schwarz et al., arXiv:2110.00296.
    """

    @staticmethod
    def forward(ctx: Any, stored: Tensor, power: float) -> Tensor:
        """The weight, of the stored values' sign."""
        ctx.save_for_backward(stored)
        ctx.power = power
        return stored * stored.abs().pow(power - 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient at the stored values; written out, for automatic differentiation has no answer at zero."""
        (stored,) = ctx.saved_tensors
        return gradient * (ctx.power * stored.abs().pow(ctx.power - 1)), None

    @staticmethod
    def inverse(weight: Tensor, power: float) -> Tensor:
        """What to store for a weight: sign(w) |w|^(1 / power)."""
        return weight.sign() * weight.abs().pow(1 / power)
