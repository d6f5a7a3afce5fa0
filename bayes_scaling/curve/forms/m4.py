"""M4: from a ceiling, the loss of guessing, over a power law to a floor."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.curve.forms.base import Form, Quantity, logistic
from bayes_scaling.curve.forms.m2 import FLOOR_SHARE

__all__ = ["M4"]

NEWTON_STEPS = 8
"""Steps until the implicit equation holds to rounding; its slope lies between 1 and α, so Newton cannot go astray."""


class M4(Form):
    """(loss - e) / (e_0 - loss)^α = β x^-c, with floor e and ceiling e_0.

    ``headroom`` is (e_0 - level) / level. Its prior is centred just above the highest loss seen, since a curve that
    starts at its ceiling shows it, and one that does not hardly depends on it.
    """

    name = "M4"
    reference = "M4 of Alabdulmohsin et al., arXiv:2209.06640"
    latex = r"(L - e) / (e_0 - L)^\alpha = \beta x^{-c}"
    shape: ClassVar[Mapping[str, Quantity]] = {
        "floor_share": FLOOR_SHARE,
        "alpha": Quantity(0.7, 0.7, "log", "how slowly the curve leaves its ceiling"),
        "headroom": Quantity(1.0, 0.3, "log", "ceiling above the loss at the last point, as a multiple of that loss"),
    }

    def center(self, name: str, loss: np.ndarray) -> float:
        """For ``headroom``, a twentieth more than what the curve fell."""
        if name != "headroom":
            return super().center(name, loss)
        return 1.05 * max(loss.max() / loss[-1] - 1, 0.05)

    def log_loss(self, distance: Any, *, level: Any, slope: Any, floor_share: Any, alpha: Any, headroom: Any) -> Any:
        """Log of the loss: its place z between floor and ceiling, on the logit scale, solves an increasing equation."""
        start = np.log1p(-floor_share) - np.log(headroom)
        power = slope * (1 / (1 - floor_share) + alpha / headroom) * distance
        target = -np.logaddexp(0, -start) + alpha * np.logaddexp(0, start) - power
        z = np.where(target < 0, target, target / alpha)
        for _ in range(NEWTON_STEPS):
            below = np.logaddexp(0, -z)
            share = np.exp(-below)
            z = z - (alpha * (below + z) - below - target) / (1 - share + alpha * share)
        return np.log(level) + np.log(floor_share + (1 - floor_share + headroom) * logistic(z))

    def floor(self, *, level: Any, slope: Any, floor_share: Any, alpha: Any, headroom: Any) -> Any:  # noqa: ARG002
        """The constant e."""
        return level * floor_share
