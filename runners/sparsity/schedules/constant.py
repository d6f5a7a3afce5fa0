"""The final sparsity from the first step."""

from dataclasses import dataclass

from runners.sparsity.schedules.base import SCHEDULES, Schedule

__all__ = ["Constant"]


@SCHEDULES.register
@dataclass(frozen=True)
class Constant(Schedule):
    """Sparse from start to end; masks are computed once, on the weights that training starts from."""

    name = "constant"

    def ramp(self, step: int, steps: int) -> float:  # noqa: ARG002
        """Always 1."""
        return 1.0

    def due(self, step: int, steps: int) -> bool:  # noqa: ARG002
        """Before the first step only."""
        return step == 0
