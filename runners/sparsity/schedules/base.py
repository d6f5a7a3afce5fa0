"""What a schedule is: when weights are removed."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from runners.registry import Registry

__all__ = ["SCHEDULES", "Schedule"]


@dataclass(frozen=True)
class Schedule(ABC):
    """Base of all schedules; one subclass a file, its fields being what a user may set.

    Both methods are functions of the step alone, so that a run that was stopped goes on as if it had not been.
    """

    name: ClassVar[str]

    @abstractmethod
    def ramp(self, step: int, steps: int) -> float:
        """The share of the final sparsity in force while step `step` (from 0) of `steps` is taken, in [0, 1]."""

    @abstractmethod
    def due(self, step: int, steps: int) -> bool:
        """Whether masks are recomputed before that step."""


SCHEDULES: Registry[Schedule] = Registry("schedule")
