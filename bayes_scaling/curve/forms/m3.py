"""M3: a power law that levels off from some x on."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.curve.forms.base import Form, Quantity

__all__ = ["M3"]


class M3(Form):
    """loss = β (1/x + γ)^c; ``level_share`` is γ's share of 1/x + γ at the last point."""

    name = "M3"
    reference = "M3 of Alabdulmohsin et al., arXiv:2209.06640"
    latex = r"L = \beta (x^{-1} + \gamma)^c"
    shape: ClassVar[Mapping[str, Quantity]] = {
        "level_share": Quantity(0.5, 1.5, "logit", "how far the curve has levelled off at the last point, 0 to 1")
    }

    def log_loss(self, distance: Any, *, level: Any, slope: Any, level_share: Any) -> Any:
        """Log of the loss."""
        exponent = slope / (1 - level_share)
        return np.log(level) + exponent * np.logaddexp(np.log1p(-level_share) - distance, np.log(level_share))

    def floor(self, *, level: Any, slope: Any, level_share: Any) -> Any:
        """The loss where 1/x is nothing beside γ."""
        return level * level_share ** (slope / (1 - level_share))
