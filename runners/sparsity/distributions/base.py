"""What a distribution is: how the weights that stay are shared out among tensors."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from runners.registry import Registry

__all__ = ["DISTRIBUTIONS", "Distribution", "count_kept"]


@dataclass(frozen=True)
class Distribution(ABC):
    """Base of all distributions; one subclass a file."""

    name: ClassVar[str]
    even: ClassVar[bool] = False
    """Whether every tensor gets the same sparsity, as structures need that fix it."""
    by_score: ClassVar[bool] = True
    """Whether `kept` looks at scores and not at shapes alone; where it does not, scores are made one tensor at a time
    and `kept` is given anything of their shapes."""

    @abstractmethod
    def kept(self, scores: Sequence[Tensor], sparsity: float) -> list[int]:
        """How many weights of each tensor stay.

        A count never grows with `sparsity`, so that weights that are gone need not return.

        Parameters
        ----------
        scores : sequence of torch.Tensor
            One score a weight, each tensor in its weight's shape.
        sparsity : float
            Fraction of all their weights that goes, in [0, 1].

        Returns
        -------
        list of int
            One count a tensor. Their sum is ``count_kept`` of all weights together, except where tensors are rounded
            one by one (`uniform`).
        """


def count_kept(total: int, sparsity: float) -> int:
    """How many of `total` weights stay, to the nearest whole weight that goes."""
    return total - round(sparsity * total)


DISTRIBUTIONS: Registry[Distribution] = Registry("distribution")
