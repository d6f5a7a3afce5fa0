"""Random masks: the floor that every other method should beat."""

from dataclasses import dataclass

from torch import Tensor

from runners.sparsity.chance import random_scores
from runners.sparsity.masks import MaskedWeight
from runners.sparsity.methods.base import METHODS
from runners.sparsity.methods.magnitude import Magnitude

__all__ = ["Random"]


@METHODS.register
@dataclass(frozen=True)
class Random(Magnitude):
    """Any weights go, for good: with a constant schedule, static random masks.

    The order in which the weights of a tensor go is drawn from the seed and the tensor's name, once and for all, so
    that masks are nested whatever the schedule.

    Parameters
    ----------
    seed : int
        The run's.
    """

    name = "random"
    by_chance = True

    seed: int = 0

    def score(self, weight: MaskedWeight) -> Tensor:
        """Numbers drawn for each weight; what is gone ranks below them all."""
        return random_scores(weight.mask, self.seed, weight.name).masked_fill_(~weight.mask, -1.0)
