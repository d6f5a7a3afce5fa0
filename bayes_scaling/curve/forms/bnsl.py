"""BNSL: a power law above a floor whose exponent changes once, smoothly."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.curve.forms.base import Form, Quantity, logistic
from bayes_scaling.curve.forms.m2 import FLOOR_SHARE

__all__ = ["BNSL"]


class BNSL(Form):
    """loss = e + β x^-c_0 (1 + (x/d)^(1/f))^(-c_1 f), with one break, at d, after which the curve is steeper."""

    name = "BNSL"
    reference = "Caballero et al., arXiv:2210.14891, with n = 1"
    latex = r"L = e + \beta x^{-c_0} \left(1 + (x / d)^{1/f}\right)^{-c_1 f}"
    shape: ClassVar[Mapping[str, Quantity]] = {
        "floor_share": FLOOR_SHARE,
        "early_share": Quantity(0.27, 1.5, "logit", "exponent before the break as a share of that after it"),
        "since_break": Quantity(3.0, 0.6, "log", "log x at the last point less that at the break"),
        "breadth": Quantity(0.5, 0.7, "log", "how gradual the break is, f, in log x"),
    }

    def log_loss(
        self,
        distance: Any,
        *,
        level: Any,
        slope: Any,
        floor_share: Any,
        early_share: Any,
        since_break: Any,
        breadth: Any,
    ) -> Any:
        """Log of the loss; the exponent at the last point is between the early and the late one."""
        here = early_share + (1 - early_share) * logistic(since_break / breadth)
        late = slope / (1 - floor_share) / here
        at_break = np.logaddexp(0, (distance + since_break) / breadth) - np.logaddexp(0, since_break / breadth)
        power = late * (early_share * distance + (1 - early_share) * breadth * at_break)
        return np.log(level) + np.logaddexp(np.log1p(-floor_share) - power, np.log(floor_share))

    def floor(self, *, level: Any, slope: Any, floor_share: Any, **shape: Any) -> Any:  # noqa: ARG002
        """The constant e."""
        return level * floor_share
