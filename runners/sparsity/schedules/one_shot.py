"""Everything at once, some way into training."""

from dataclasses import dataclass

from bayes_scaling.runs import InputError
from runners.sparsity.schedules.base import SCHEDULES, Schedule

__all__ = ["OneShot"]


@SCHEDULES.register
@dataclass(frozen=True)
class OneShot(Schedule):
    """Dense training up to `at`, the final sparsity from there on.

    Parameters
    ----------
    at : float
        Fraction of the training steps, in [0, 1]; 1 prunes before the last step.

    Raises
    ------
    InputError
        If `at` is no fraction.
    """

    name = "one_shot"

    at: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.at <= 1:
            raise InputError(f"at is {self.at}; a fraction of training in [0, 1] is needed")

    def ramp(self, step: int, steps: int) -> float:
        """1 from `at` on, 0 before."""
        return float((step + 1) / steps >= self.at)

    def due(self, step: int, steps: int) -> bool:
        """Whether that step is the first sparse one."""
        return self.ramp(step, steps) == 1 and (step == 0 or self.ramp(step - 1, steps) == 0)
