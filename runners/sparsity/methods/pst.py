"""PST: fine-tuning to a sparse model with few trained parameters."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bayes_scaling.runs import InputError
from runners.sparsity.chance import normal_like
from runners.sparsity.masks import Mask, MaskedWeight, put_mask
from runners.sparsity.methods.base import METHODS, Method
from runners.sparsity.schedules.base import Schedule
from runners.sparsity.structures.base import Structure

__all__ = ["PST", "LowRankMask"]


@METHODS.register
@dataclass(frozen=True)
class PST(Method):
    """Parameter-efficient sparse training: the weights of a trained model are frozen, and `LowRankMask` is trained.

    At every step those weights are in use whose importance is largest: their magnitude and what was learned about
    them. A weight's importance learns from the gradient that its mask would have. When training ends the update is
    added to the stored weights, and removed ones become zero.

    Parameters
    ----------
    rank : int
        Of the update of the weights, and of that of their importance; at least 1.
    seed : int
        The run's: of the factors that do not start at zero.

    Raises
    ------
    InputError
        A rank below 1.

    References
    ----------
    Li et al., arXiv:2205.11005.
    """

    name = "pst"
    every_step = True
    trains_masks_alone = True
    stacks = False
    shards = False  # its thin matrices would be sharded across the products that importance is made of

    rank: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InputError(f"pst_rank is {self.rank}; a rank of at least 1 is needed")

    def check(self, schedule: Schedule, structure: Structure, pretrained: bool, power: float) -> None:
        """From a trained model, whose weights stay as they are stored."""
        super().check(schedule, structure, pretrained, power)
        if not pretrained:
            raise InputError(f"method {self.name!r} fine-tunes a trained dense model; pretrained is needed")
        if power != 1:
            raise InputError(
                f"power is {power:g}, but method {self.name!r} freezes the weights that it would act on; "
                "power 1 is needed"
            )

    def add_mask(self, layer: nn.Module, name: str, power: float) -> MaskedWeight:  # noqa: ARG002
        """A `LowRankMask`."""
        return put_mask(layer, name, LowRankMask(cast("Tensor", layer.weight), self.rank, name, self.seed))

    def score(self, weight: MaskedWeight) -> Tensor:
        """Importance."""
        mask = cast("LowRankMask", weight.module)
        return mask.importance(mask.unmasked(weight.dense)).nan_to_num(nan=torch.inf)

    def settle(self, weight: MaskedWeight, optimizer: Optimizer) -> None:
        """Nothing: weights are frozen, and may return."""

    def finish(self, weight: MaskedWeight) -> None:
        """Store what the model computes with."""
        mask = cast("LowRankMask", weight.module)
        weight.dense.copy_(mask(weight.dense))
        mask.update_in.zero_()


class LowRankMask(Mask):
    """A mask that changes the weight by a product of two thin matrices, and learns which weights matter by two others.

    With U (outputs, rank) and V (rank, inputs), the weight is W = W0 + U V, and importance is |W| + A B + (R + C), with
    A and B of the same shapes as U and V, R one number an output and C one an input. V, B, R and C start at zero, so
    that training starts from the stored weights and their magnitudes; U and A are standard normal.

    Parameters
    ----------
    weight : torch.Tensor
        What it goes on, a matrix.
    rank : int
    name, seed
        What U and A are drawn from.
    """

    def __init__(self, weight: Tensor, rank: int, name: str, seed: int) -> None:
        super().__init__(weight)
        outputs, inputs = weight.shape
        self.update_out = nn.Parameter(normal_like(weight, (outputs, rank), seed, f"{name} U"))
        self.update_in = nn.Parameter(weight.new_zeros(rank, inputs))
        self.importance_out = nn.Parameter(normal_like(weight, (outputs, rank), seed, f"{name} A"))
        self.importance_in = nn.Parameter(weight.new_zeros(rank, inputs))
        self.importance_row = nn.Parameter(weight.new_zeros(outputs, 1))
        self.importance_column = nn.Parameter(weight.new_zeros(1, inputs))

    def unmasked(self, stored: Tensor) -> Tensor:
        """W = W0 + U V."""
        return stored + self.update_out @ self.update_in

    def importance(self, weight: Tensor) -> Tensor:
        """|W| + A B + (R + C)."""
        learned = self.importance_out @ self.importance_in
        return weight.abs() + learned + (self.importance_row + self.importance_column)

    def forward(self, stored: Tensor) -> Tensor:
        """The weight times its mask, whose gradient is that of the importance."""
        weight = self.unmasked(stored)
        return weight * cast("Tensor", AsMask.apply(self.importance(weight), self.mask))


class AsMask(torch.autograd.Function):
    """The mask forward, the importance that it was made of backward."""

    @staticmethod
    def forward(ctx: Any, importance: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG004
        """The mask as numbers."""
        return mask.to(importance.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        """What came."""
        return gradient, None
