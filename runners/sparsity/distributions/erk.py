"""Denser where a tensor is small: the Erdős–Rényi kernel."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from runners.sparsity.distributions.base import DISTRIBUTIONS, Distribution, count_kept

__all__ = ["ErdosRenyiKernel"]


@DISTRIBUTIONS.register
@dataclass(frozen=True)
class ErdosRenyiKernel(Distribution):
    """Density in proportion to the sum of a tensor's dimensions over their product.

    A matrix keeps weights in proportion to its inputs plus outputs. Tensors whose density would exceed 1 are dense,
    and the others are rescaled so that the total is met. It holds at every sparsity on the way, not at the last only.

    References
    ----------
    Evci et al., arXiv:1911.11134.
    """

    name = "erk"
    by_score = False

    def kept(self, scores: Sequence[Tensor], sparsity: float) -> list[int]:
        """How many weights of each tensor stay."""
        sizes = [score.numel() for score in scores]
        return split(count_kept(sum(sizes), sparsity), sizes, [sum(score.shape) for score in scores])


def split(total: int, sizes: list[int], shares: list[int]) -> list[int]:
    """Whole numbers that sum to `total`, in proportion to `shares` but none above its size.

    Largest remainders would do for one total, but can give a tensor more weights when the total falls. Jefferson's
    rule cannot: what rounding down leaves over goes, one by one, to the largest of share / (count + 1).
    """
    counts = floors(total, sizes, shares)
    queue = [(-share / (count + 1), i) for i, (share, count) in enumerate(zip(shares, counts, strict=True))]
    heapq.heapify(queue)
    left = total - sum(counts)
    while left:
        _, i = heapq.heappop(queue)
        if counts[i] < sizes[i]:
            counts[i] += 1
            left -= 1
            heapq.heappush(queue, (-shares[i] / (counts[i] + 1), i))
    return counts


def floors(total: int, sizes: list[int], shares: list[int]) -> list[int]:
    """`total` in proportion to `shares`, rounded down; what a part would have above its size goes to the others."""
    full: set[int] = set()
    while True:
        room = total - sum(sizes[i] for i in full)
        whole = sum(share for i, share in enumerate(shares) if i not in full)
        over = {i for i, size in enumerate(sizes) if i not in full and room * shares[i] > size * whole}
        if not over:
            return [size if i in full else room * shares[i] // whole for i, size in enumerate(sizes)]
        full |= over
