"""What SET and RigL have in common: sparse from the first step, with connections that move."""

import math
from dataclasses import dataclass

from torch import Tensor
from torch.optim import Optimizer

from bayes_scaling.runs import InputError
from runners.sparsity.masks import MaskedWeight
from runners.sparsity.methods.random_ import Random
from runners.sparsity.ranking import largest
from runners.sparsity.schedules.base import Schedule
from runners.sparsity.schedules.constant import Constant
from runners.sparsity.structures.base import Structure
from runners.sparsity.structures.unstructured import Unstructured

__all__ = ["SparseToSparse"]


@dataclass(frozen=True)
class SparseToSparse(Random):
    """From random masks, a share of the smallest weights is dropped now and then, and as many others grow.

    A tensor keeps as many weights as it had at the start. Those that grow start at zero, with moments of zero: outside
    the mask there is nothing else.

    Parameters
    ----------
    every : int
        Steps between two moves.
    end : float
        Fraction of training at which moves end, in (0, 1].
    fraction : float
        Share of a tensor's weights that the first move would drop, in (0, 1]; it falls to 0 at `end` along half a
        cosine.

    Raises
    ------
    InputError
        A setting is out of its bounds.
    """

    every: int = 100
    end: float = 0.75
    fraction: float = 0.3

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InputError(f"update_every is {self.every}; connections move every 1 or more steps")
        for name, value in (("update_end", self.end), ("update_fraction", self.fraction)):
            if not 0 < value <= 1:
                raise InputError(f"{name} is {value}; a fraction in (0, 1] is needed")

    def check(self, schedule: Schedule, structure: Structure, pretrained: bool, power: float) -> None:
        """Sparse from the first step, one weight by one, and able to grow from zero."""
        super().check(schedule, structure, pretrained, power)
        if not isinstance(schedule, Constant):
            raise InputError(
                f"method {self.name!r} trains sparse from the first step, which schedule {schedule.name!r} does not; "
                "schedule 'constant' is needed"
            )
        if not isinstance(structure, Unstructured):
            raise InputError(
                f"method {self.name!r} moves single weights and cannot keep structure {structure.name}; "
                "structure 'unstructured' is needed"
            )
        if power != 1:
            raise InputError(
                f"power is {power:g}, under which a weight at zero has no gradient, and method {self.name!r} grows "
                "weights from zero; power 1 is needed"
            )

    def moves_before(self, step: int, steps: int) -> bool:
        """Whether connections move with that step (from 0); the first one has masks just drawn."""
        return 0 < step < self.end * steps and step % self.every == 0

    def moved(self, kept: int, step: int, steps: int) -> int:
        """How many of a tensor's `kept` weights are dropped with that step."""
        return int(kept * self.fraction / 2 * (1 + math.cos(math.pi * step / (self.end * steps))))

    def move(self, weight: MaskedWeight, wanted: Tensor, step: int, steps: int, optimizer: Optimizer) -> None:
        """Drop the smallest weights of a tensor and grow the most wanted of those that were not in use.

        Parameters
        ----------
        weight : MaskedWeight
            The tensor.
        wanted : torch.Tensor
            One number of at least 0 a weight, without NaN.
        step, steps : int
            Where in training this is.
        optimizer : torch.optim.Optimizer
            Whose moments are settled.
        """
        mask = weight.mask
        kept = int(mask.sum())
        moved = min(self.moved(kept, step, steps), mask.numel() - kept)
        stay = largest(weight.magnitude.masked_fill_(~mask, -1.0), kept - moved)
        mask.copy_(stay | largest(wanted.masked_fill(mask, -1.0), moved))
        self.settle(weight, optimizer)
