"""M1: a power law."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.curve.forms.base import Form, Quantity

__all__ = ["M1"]


class M1(Form):
    """loss = β x^-c: a straight line in log-log, for ever."""

    name = "M1"
    reference = "Hestness et al., arXiv:1712.00409; M1 of Alabdulmohsin et al., arXiv:2209.06640"
    latex = r"L = \beta x^{-c}"
    shape: ClassVar[Mapping[str, Quantity]] = {}

    def log_loss(self, distance: Any, *, level: Any, slope: Any) -> Any:
        """Log of the loss; the slope is c."""
        return np.log(level) - slope * distance

    def floor(self, *, level: Any, slope: Any) -> Any:
        """None: zero."""
        return 0.0 * level * slope
