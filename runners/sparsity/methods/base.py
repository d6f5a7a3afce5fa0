"""What a method is: which weights are worth keeping, and what becomes of the others."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.optim import Optimizer

from runners.registry import Registry
from runners.sparsity.masks import MaskedWeight

__all__ = ["METHODS", "Method"]


@dataclass(frozen=True)
class Method(ABC):
    """Base of all methods; one subclass a file, its fields being what a user may set.

    A method keeps no state of its own: what it needs from step to step is a buffer of the model's, so that the model,
    the optimizer and the step are all that a stopped run needs to go on.
    """

    name: ClassVar[str]

    @abstractmethod
    def score(self, weight: MaskedWeight) -> Tensor:
        """One score a weight, the larger the better worth keeping; no NaN."""

    @abstractmethod
    def settle(self, weight: MaskedWeight, optimizer: Optimizer) -> None:
        """Bring stored values and optimizer state in line with a mask that has just been recomputed."""


METHODS: Registry[Method] = Registry("method")
