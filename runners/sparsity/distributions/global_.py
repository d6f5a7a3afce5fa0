"""One ranking over all tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from runners.sparsity.distributions.base import DISTRIBUTIONS, Distribution, count_kept
from runners.sparsity.ranking import largest

__all__ = ["Global"]


@DISTRIBUTIONS.register
@dataclass(frozen=True)
class Global(Distribution):
    """The best scores stay in whichever tensor they are; ties fall to the earlier tensor.

    Tensors of small weights can lose them all: scores compete as they are, whatever the scale of their tensor.
    """

    name = "global"

    def kept(self, scores: Sequence[Tensor], sparsity: float) -> list[int]:
        """How many weights of each tensor stay."""
        together = torch.cat([score.flatten() for score in scores])
        mask = largest(together, count_kept(together.numel(), sparsity))
        return [int(part.sum()) for part in torch.split(mask, [score.numel() for score in scores])]
