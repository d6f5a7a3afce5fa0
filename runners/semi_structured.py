"""Kernels for 2:4 weights: of every four inputs two are stored and multiplied, on CUDA.

A compressed matrix serves the product of inputs and weights alone: the product that sends gradients back runs along its
outputs, where a pattern n:m of inputs promises nothing, and that of the weights' own gradient has no sparse factor. So
serving can gain in all products of the blocks, training in one of three, from which compressing the weights anew at
every step is to be taken. What is gained is measured (``benchmarks/semi_structured.py``), never assumed.
"""

import copy
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from bayes_scaling.runs import InputError
from runners.models import Model

if TYPE_CHECKING:
    from runners.config import RunConfig

__all__ = ["KERNELS", "check_device", "check_kernels", "compressed", "fits", "multiply_compressed"]

KERNELS = ("dense", "2:4")

MULTIPLE = 16
"""What rows and columns of a compressed bfloat16 matrix are multiples of, in `torch.sparse` on cuSPARSELt."""

PATTERN = re.compile(r"[12]:(\d+)")
"""Of structures n:m that leave two of any four inputs at most: those in which m is a multiple of four."""


def check_kernels(config: "RunConfig") -> None:
    """Refuse runs that the kernels of their choice cannot multiply.

    Raises
    ------
    InputError
        The weights are of no such pattern, in another precision, of other widths, or asked for on another device.
    """
    if config.kernels == "dense":
        return
    pattern = PATTERN.fullmatch(config.structure)
    if pattern is None or int(pattern[1]) % 4:
        raise InputError(
            f"kernels '2:4' multiply at most two of four inputs, found structure {config.structure!r}; '2:4', or 1 or "
            "2 of another multiple of four, is needed"
        )
    if config.precision == "float32":
        raise InputError("kernels '2:4' multiply bfloat16, found precision 'float32'; 'bfloat16' is needed")
    widths = config.shape.width, config.shape.mlp_width
    if any(width % MULTIPLE for width in widths):
        raise InputError(
            f"kernels '2:4' multiply matrices whose sides are multiples of {MULTIPLE}, found widths {widths[0]} and "
            f"{widths[1]}; multiple_of {MULTIPLE} is needed"
        )
    if config.device != "auto":
        check_device(config.kernels, torch.device(config.device))


def check_device(kernels: str, device: torch.device) -> None:
    """Refuse a device that does not have the kernels.

    Raises
    ------
    InputError
        It is not CUDA, its GPU is older than Ampere, or this PyTorch comes without cuSPARSELt.
    """
    if kernels == "dense":
        return
    if device.type != "cuda":
        raise InputError(f"kernels '2:4' are for CUDA, found device {device.type!r}; kernels 'dense' run everywhere")
    if not torch.cuda.is_available():
        return  # `runners.devices.pick_device` says so
    if torch.cuda.get_device_capability(device) < (8, 0):
        raise InputError(f"kernels '2:4' need compute capability 8.0, which {torch.cuda.get_device_name(device)} lacks")
    if not torch.backends.cusparselt.is_available():
        raise InputError("kernels '2:4' need cuSPARSELt, which this PyTorch was built without")


def fits(weight: Tensor) -> bool:
    """Whether at most two of every four inputs of a matrix (outputs, inputs) are not zero."""
    if weight.ndim != 2 or weight.shape[1] % 4:
        return False
    return bool((weight.unflatten(1, (-1, 4)).count_nonzero(dim=2) <= 2).all())


def compress(weight: Tensor) -> Tensor:
    """A matrix that fits, as CUDA's kernels take it."""
    return torch.sparse.to_sparse_semi_structured(weight.detach().to(torch.bfloat16).contiguous())


def compressed(model: Model, compress: Callable[[Tensor], Tensor] = compress) -> Model:
    """A copy of a trained model whose blocks are multiplied by the kernels; for evaluation and serving.

    Parameters
    ----------
    model : Model
        On CUDA, with masks or without.
    compress : callable
        From a matrix to what multiplies in its place.

    Returns
    -------
    Model
        Without masks; it cannot be trained.

    Raises
    ------
    InputError
        A matrix of its blocks does not fit.
    """
    served = copy.deepcopy(model)
    names = {layer: name for name, layer in served.named_modules()}
    for layer in served.block_layers():
        weight = layer.weight.detach()
        if not fits(weight):
            raise InputError(
                f"{names[layer]} has more than two of four inputs in use; kernels '2:4' cannot multiply it"
            )
        parent, _, attribute = names[layer].rpartition(".")
        setattr(served.get_submodule(parent), attribute, CompressedLinear(compress(weight)))
    return served


class CompressedLinear(nn.Module):
    """`torch.nn.Linear` without bias, of a compressed matrix."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight  # no buffer: it has no copies on other devices and no place in a state

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out), in the precision of the matrix."""
        return functional.linear(x.to(self.weight.dtype).contiguous(), self.weight)


def multiply_compressed(model: Model, compress: Callable[[Tensor], Tensor] = compress) -> None:
    """Have the blocks of a model in training multiplied by the kernels in the forward pass, for good.

    Parameters
    ----------
    model : Model
        On CUDA, with masks of a pattern that is complete.
    compress : callable
        From a matrix to what multiplies in its place, at every step.
    """
    for layer in model.block_layers():
        layer.forward = partial(_forward, layer, compress)  # type: ignore[method-assign]


def _forward(layer: nn.Linear, compress: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    low = torch.bfloat16 if x.is_cuda or torch.is_autocast_enabled(x.device.type) else x.dtype
    return cast("Tensor", CompressedProduct.apply(x.to(low), layer.weight.to(low), compress))


class CompressedProduct(torch.autograd.Function):
    """x W^T by a compressed W; backwards by W as it is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, compress: Callable[[Tensor], Tensor]) -> Tensor:
        """(..., in) and (out, in) to (..., out)."""
        ctx.save_for_backward(x, weight)
        return functional.linear(x.contiguous(), compress(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """Of both factors; the weight's is masked where its mask is."""
        x, weight = ctx.saved_tensors
        return gradient @ weight, gradient.flatten(0, -2).mT @ x.flatten(0, -2), None
