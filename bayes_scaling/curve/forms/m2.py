"""M2: a power law above a floor."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.curve.forms.base import Form, Quantity

__all__ = ["FLOOR_SHARE", "M2"]

FLOOR_SHARE = Quantity(0.5, 1.5, "logit", "irreducible loss as a share of the loss at the last point")


class M2(Form):
    """loss = β x^-c + e, where the slope is c times the share of the loss that is not floor."""

    name = "M2"
    reference = "Rosenfeld et al., arXiv:1909.12673; M2 of Alabdulmohsin et al., arXiv:2209.06640"
    latex = r"L = \beta x^{-c} + e"
    shape: ClassVar[Mapping[str, Quantity]] = {"floor_share": FLOOR_SHARE}

    def log_loss(self, distance: Any, *, level: Any, slope: Any, floor_share: Any) -> Any:
        """Log of the loss."""
        exponent = slope / (1 - floor_share)
        return np.log(level) + np.logaddexp(np.log1p(-floor_share) - exponent * distance, np.log(floor_share))

    def floor(self, *, level: Any, slope: Any, floor_share: Any) -> Any:  # noqa: ARG002
        """The constant e."""
        return level * floor_share
