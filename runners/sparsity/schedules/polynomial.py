"""The ramp of gradual magnitude pruning."""

from dataclasses import dataclass

from bayes_scaling.runs import InputError
from runners.sparsity.schedules.base import SCHEDULES, Schedule

__all__ = ["Polynomial"]


@SCHEDULES.register
@dataclass(frozen=True)
class Polynomial(Schedule):
    """s(t) = S (1 - (1 - p)^power), where p runs from 0 to 1 between `start` and `end`.

    Fast removal first, when many weights are redundant, slow removal last. Power 3 is the cubic schedule of Zhu and
    Gupta (arXiv:1710.01878); from 25 to 75 % of training is where Frantar et al. (arXiv:2309.08520) put it.

    Parameters
    ----------
    start, end : float
        Fractions of the training steps, 0 <= start < end <= 1.
    power : float
        Above 0; 1 is linear.
    every : int
        Masks are recomputed at every such step of the ramp, and once more where it ends.

    Raises
    ------
    InputError
        If a setting is out of its bounds.
    """

    name = "polynomial"

    start: float = 0.25
    end: float = 0.75
    power: float = 3.0
    every: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= 1:
            raise InputError(
                f"the pruning schedule starts at {self.start} and ends at {self.end} of training; "
                "0 <= start < end <= 1 is needed"
            )
        if not self.power > 0:
            raise InputError(f"power is {self.power}; the pruning schedule needs a power above 0")
        if self.every < 1:
            raise InputError(f"every is {self.every}; masks are recomputed every 1 or more steps")

    def ramp(self, step: int, steps: int) -> float:
        """The share of the final sparsity in force while step `step` (from 0) of `steps` is taken."""
        p = ((step + 1) / steps - self.start) / (self.end - self.start)
        left: float = (1 - min(max(p, 0.0), 1.0)) ** self.power
        return 1 - left

    def due(self, step: int, steps: int) -> bool:
        """Whether masks are recomputed before that step: every so many on the ramp, and where it reaches 1."""
        ramp = self.ramp(step, steps)
        if ramp < 1:
            return ramp > 0 and step % self.every == 0
        return step == 0 or self.ramp(step - 1, steps) < 1
