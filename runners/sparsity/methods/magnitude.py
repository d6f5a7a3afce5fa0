"""Magnitude pruning: small weights go, for good."""

from dataclasses import dataclass

from torch import Tensor
from torch.optim import Optimizer

from runners.sparsity.masks import MaskedWeight
from runners.sparsity.methods.base import METHODS, Method

__all__ = ["Magnitude"]


@METHODS.register
@dataclass(frozen=True)
class Magnitude(Method):
    """The smallest weights go and do not return; with a gradual schedule, gradual magnitude pruning.

    When a weight is masked its stored value becomes zero and so do its moments: from then on its gradient is zero,
    momentum cannot move it and weight decay leaves zero where it is. Masks are therefore nested over training, and
    what a finished model stores is what it computes with.

    References
    ----------
    Zhu and Gupta, arXiv:1710.01878.
    """

    name = "magnitude"

    def score(self, weight: MaskedWeight) -> Tensor:
        """Magnitudes; what is gone ranks below the smallest weight in use, so it cannot come back."""
        return weight.magnitude.masked_fill_(~weight.mask, -1.0)

    def settle(self, weight: MaskedWeight, optimizer: Optimizer) -> None:
        """Zero the removed weights and whatever the optimizer holds for each of them."""
        mask = weight.stored_mask
        weight.dense.mul_(mask)
        for moment in optimizer.state.get(weight.dense, {}).values():
            if isinstance(moment, Tensor) and moment.shape == weight.dense.shape:
                moment.mul_(mask)
