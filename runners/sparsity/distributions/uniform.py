"""The same sparsity in every tensor."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from runners.sparsity.distributions.base import DISTRIBUTIONS, Distribution, count_kept

__all__ = ["Uniform"]


@DISTRIBUTIONS.register
@dataclass(frozen=True)
class Uniform(Distribution):
    """Every tensor at the same sparsity, exact to one weight each, as in Frantar et al. (arXiv:2309.08520)."""

    name = "uniform"
    even = True
    by_score = False

    def kept(self, scores: Sequence[Tensor], sparsity: float) -> list[int]:
        """How many weights of each tensor stay."""
        return [count_kept(score.numel(), sparsity) for score in scores]
