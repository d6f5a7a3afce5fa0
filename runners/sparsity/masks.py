"""Masks on the weights of a model's layers."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

__all__ = ["Mask", "MaskedWeight", "add_mask"]


class Mask(nn.Module):
    """Parametrization that multiplies a weight by its mask."""

    mask: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones_like(weight, dtype=torch.bool))

    def forward(self, dense: Tensor) -> Tensor:
        """The weight that the layer computes with; the gradient is masked alike."""
        return dense * self.mask


@dataclass(frozen=True)
class MaskedWeight:
    """One weight tensor under a mask.

    Stored weight and mask are looked up in the model whenever they are asked for, so moving the model to another
    device or loading a state into it leaves no stale tensor here.

    Attributes
    ----------
    name : str
        For errors.
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
        """Boolean, true where the weight is in use: ``parametrizations.weight.0.mask`` of the layer."""
        return self.layer.get_buffer("parametrizations.weight.0.mask")


def add_mask(layer: nn.Module, name: str) -> MaskedWeight:
    """Put a mask of ones on ``layer.weight``.

    Parameters
    ----------
    layer : torch.nn.Module
        A layer with a parameter ``weight``.
    name : str
        What errors call it, such as its name in the model.

    Returns
    -------
    MaskedWeight
        The weight, for a group of a `Sparsifier`.

    Notes
    -----
    To be done before the optimizer is built and before a state is loaded: in the model's ``state_dict``, ``weight``
    becomes ``parametrizations.weight.original`` (the stored values) and ``parametrizations.weight.0.mask``.
    """
    parametrize.register_parametrization(layer, "weight", Mask(layer.weight))  # type: ignore[arg-type]
    return MaskedWeight(name, layer)
