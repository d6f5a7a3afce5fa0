"""Masks on the weights of a model's layers."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from runners.shards import part_of, whole
from runners.sparsity.power import Power

__all__ = ["Mask", "MaskedWeight", "add_mask", "put_mask"]


class Mask(nn.Module):
    """Parametrization that multiplies a weight by its mask.

    Parameters
    ----------
    weight : torch.Tensor
        What it goes on.
    power : float
        Of Powerpropagation (`runners.sparsity.power`); 1 is off.
    straight_through : bool
        Whether the backward pass leaves the mask out, so that removed weights have the gradient that they would have
        if they were in use at their present value: for methods that go by it or train by it.
    """

    mask: Tensor

    def __init__(self, weight: Tensor, power: float = 1.0, straight_through: bool = False) -> None:
        super().__init__()
        self.power, self.straight_through = power, straight_through
        self.register_buffer("mask", torch.ones_like(weight, dtype=torch.bool))

    def unmasked(self, stored: Tensor) -> Tensor:
        """The weight that the layer would compute with if nothing of it were removed."""
        return stored if self.power == 1 else cast("Tensor", Power.apply(stored, self.power))

    def forward(self, stored: Tensor) -> Tensor:
        """The weight that the layer computes with; the gradient is masked alike, unless it goes straight through."""
        weight = self.unmasked(stored)
        mask = part_of(self.mask, stored)  # outside of a forward pass, a stored weight may be a shard
        return cast("Tensor", StraightThrough.apply(weight, mask)) if self.straight_through else weight * mask


class StraightThrough(torch.autograd.Function):
    """A mask that the gradient does not see."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG004
        """The weight times its mask."""
        return weight * mask

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        """What came."""
        return gradient, None


@dataclass(frozen=True)
class MaskedWeight:
    """One weight tensor under a mask.

    Stored weight and mask are looked up in the model whenever they are asked for, so moving the model to another
    device or loading a state into it leaves no stale tensor here.

    Attributes
    ----------
    name : str
        For errors, and for whatever is drawn at random for this weight.
    layer : torch.nn.Module
        Whose ``weight`` it is.
    """

    name: str
    layer: nn.Module

    @property
    def dense(self) -> nn.Parameter:
        """The stored weight, the optimizer's parameter: ``parametrizations.weight.original`` of the layer."""
        return self.layer.get_parameter("parametrizations.weight.original")

    @property
    def mask(self) -> Tensor:
        """Boolean, true where the weight is in use: ``parametrizations.weight.0.mask`` of the layer.

        Every process has all of it, also where the stored weight is sharded.
        """
        return self.layer.get_buffer("parametrizations.weight.0.mask")

    @property
    def stored_mask(self) -> Tensor:
        """The mask of what this process stores: of its shard, where the stored weight is sharded."""
        return part_of(self.mask, self.dense)

    @property
    def module(self) -> Mask:
        """The parametrization: ``parametrizations.weight.0`` of the layer."""
        return cast("Mask", self.layer.get_submodule("parametrizations.weight.0"))

    @property
    def magnitude(self) -> Tensor:
        """Sizes of all weights as they would be used without the mask, in a tensor of their own; no NaN."""
        # A run that diverges has NaN among its weights; counts are to be exact even then.
        return self.module.unmasked(whole(self.dense)).abs().nan_to_num(nan=torch.inf, posinf=torch.inf)


def add_mask(layer: nn.Module, name: str, power: float = 1.0, straight_through: bool = False) -> MaskedWeight:
    """Put a mask of ones on ``layer.weight``; what the layer computes stays the same.

    Parameters
    ----------
    layer : torch.nn.Module
        A layer with a parameter ``weight``.
    name : str
        What errors call it, such as its name in the model.
    power, straight_through
        As `Mask` has them.

    Returns
    -------
    MaskedWeight
        The weight, for a group of a `Sparsifier`.

    Notes
    -----
    To be done before the optimizer is built and before a state is loaded: in the model's ``state_dict``, ``weight``
    becomes ``parametrizations.weight.original`` (the stored values) and ``parametrizations.weight.0.mask``.
    """
    weight = cast("nn.Parameter", layer.weight)
    if power != 1:
        with torch.no_grad():
            weight.copy_(Power.inverse(weight, power))
    return put_mask(layer, name, Mask(weight, power, straight_through))


def put_mask(layer: nn.Module, name: str, mask: Mask) -> MaskedWeight:
    """Put a mask of any kind on ``layer.weight``."""
    parametrize.register_parametrization(layer, "weight", mask)
    return MaskedWeight(name, layer)
