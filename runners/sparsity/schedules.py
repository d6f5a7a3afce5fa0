"""When weights are removed: the share of the final sparsity that is reached at a step."""

from dataclasses import dataclass

from bayes_scaling.runs import InputError

__all__ = ["CubicSchedule"]


@dataclass(frozen=True)
class CubicSchedule:
    """The polynomial schedule of gradual magnitude pruning, s(t) = S (1 - (1 - p)^3).

    p runs from 0 to 1 between `start` and `end`, both as fractions of training: fast removal first, when many
    weights are redundant, slow removal last. Zhu and Gupta (arXiv:1710.01878).

    Parameters
    ----------
    start, end : float
        Fractions of the training steps, 0 <= start < end <= 1.
    """

    start: float = 0.25
    end: float = 0.75

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= 1:
            raise InputError(
                f"the pruning schedule starts at {self.start} and ends at {self.end} of training; "
                "0 <= start < end <= 1 is needed"
            )

    def ramp(self, step: int, steps: int) -> float:
        """The share of the final sparsity in force while step `step` (from 0) of `steps` is taken."""
        p = ((step + 1) / steps - self.start) / (self.end - self.start)
        return 1 - (1 - min(max(p, 0.0), 1.0)) ** 3
