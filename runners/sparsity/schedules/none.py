"""No pruning: dense training."""

from dataclasses import dataclass

from runners.sparsity.schedules.base import SCHEDULES, Schedule

__all__ = ["Never"]


@SCHEDULES.register
@dataclass(frozen=True)
class Never(Schedule):
    """Dense from start to end."""

    name = "none"

    def ramp(self, step: int, steps: int) -> float:  # noqa: ARG002
        """Always 0."""
        return 0.0

    def due(self, step: int, steps: int) -> bool:  # noqa: ARG002
        """Never."""
        return False
