"""Which of a metric's points is the loss of a run."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bayes_scaling.errors import InputError

__all__ = ["LossRule"]


@dataclass(frozen=True)
class LossRule:
    """A rule by its name: ``last``, ``best`` (the lowest) or ``mean:K`` (of the last K points)."""

    name: str
    points: int = 1

    @classmethod
    def of(cls, name: str) -> "LossRule":
        """The rule of that name.

        Raises
        ------
        InputError
            If there is none.
        """
        if name in ("last", "best"):
            return cls(name)
        if isinstance(name, str) and (match := re.fullmatch(r"mean:([1-9]\d{0,8})", name, re.ASCII)):
            return cls(name, int(match[1]))
        raise InputError(
            f"loss is {name!r}, which is no rule; the rules are last, best and mean:K, the mean of the last K points, "
            "such as mean:5"
        )

    def __call__(self, points: Sequence[float]) -> float:
        """The loss, NaN where the run has diverged: its last point is not finite, whatever came before.

        Parameters
        ----------
        points : sequence of float
            Oldest first, `points` of them or more.
        """
        if not math.isfinite(points[-1]):
            return math.nan
        if self.name == "best":
            return min(point for point in points if math.isfinite(point))
        return sum(points[-self.points :]) / self.points
