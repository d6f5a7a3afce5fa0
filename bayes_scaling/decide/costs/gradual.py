"""Gradual magnitude pruning whose every step costs what its current density costs."""

from dataclasses import dataclass
from typing import Any

from bayes_scaling.decide.costs.base import Cost
from bayes_scaling.errors import InputError

__all__ = ["Gradual"]


@dataclass(frozen=True)
class Gradual(Cost):
    """Mean density of a polynomial schedule over the final density.

    Sparsity at progress p through the ramp is S (1 - (1 - p)^power), whose mean over the ramp is S power / (power + 1).
    The cubic ramp over 25-75 % of training gives 1.375, 2.125, 3.625 and 6.625 at 50, 75, 87.5 and 93.75 %.

    Parameters
    ----------
    start, end : float
        Where the ramp begins and ends, as fractions of training.
    power : float
        Exponent of the schedule.

    References
    ----------
    Zhu and Gupta, arXiv:1710.01878, for the schedule; Frantar et al., arXiv:2309.08520, for its times.

    Raises
    ------
    InputError
        Unless 0 <= start <= end <= 1 and power > 0.
    """

    name = "gradual"
    reference = "Frantar et al. (2023), arXiv:2309.08520"

    start: float = 0.25
    end: float = 0.75
    power: float = 3.0

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end <= 1:
            raise InputError(f"start {self.start} and end {self.end}: a ramp needs 0 <= start <= end <= 1")
        if not self.power > 0:
            raise InputError(f"power is {self.power}; the exponent of a pruning schedule is above 0")

    def multiplier(self, sparsity: Any) -> Any:
        """Training FLOPs over those of a dense model of the same non-zero size."""
        ramp = 1 - sparsity * self.power / (self.power + 1)
        density = self.start + (self.end - self.start) * ramp + (1 - self.end) * (1 - sparsity)
        return density / (1 - sparsity)

    def sparse_share(self, sparsity: Any) -> Any:
        """What comes after the ramp's end, where there are zeros."""
        return (sparsity > 0) * (1 - self.end) / self.multiplier(sparsity)
