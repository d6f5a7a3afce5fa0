"""What a form of learning curve is: a formula in the loss and the slope at the curve's end, and priors of the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

__all__ = ["Form", "Quantity", "logistic"]


@dataclass(frozen=True)
class Quantity:
    """A quantity of a form and its prior: normal on a link scale.

    Parameters
    ----------
    center : float
        Prior median, on the quantity's own scale.
    sd : float
        Prior standard deviation on the link scale.
    link : {"log", "logit"}
        ``log`` for positive quantities, ``logit`` for fractions.
    meaning : str
        One line for people.
    """

    center: float
    sd: float
    link: Literal["log", "logit"]
    meaning: str

    def to_link(self, value: Any) -> Any:
        """From the quantity's own scale to the link scale."""
        return np.log(value) if self.link == "log" else np.log(value) - np.log1p(-value)

    def from_link(self, value: Any) -> Any:
        """From the link scale to the quantity's own scale."""
        return np.exp(value) if self.link == "log" else logistic(value)


class Form:
    """Base of all forms; one subclass a file, with the members below filled in.

    All forms are written in what a curve tells best, ``level`` and ``slope``: the loss, and the steepness
    -d log loss / d log x, at the curve's last point. What a form says beyond them are its ``shape`` quantities.
    """

    name: ClassVar[str]
    reference: ClassVar[str]
    latex: ClassVar[str]
    shape: ClassVar[Mapping[str, Quantity]]

    def center(self, name: str, loss: np.ndarray) -> float:  # noqa: ARG002
        """Prior median of a shape quantity, for a curve's losses in order of x."""
        return self.shape[name].center

    # Subclasses spell out their quantities, which type checkers allow for this signature only.
    def log_loss(self, *distance: Any, **quantities: Any) -> Any:
        """Log of the loss at a ``distance`` in log x from the curve's last point, of ``level``, ``slope`` and shape."""
        raise NotImplementedError

    def floor(self, *args: Any, **quantities: Any) -> Any:
        """The loss that no amount of x takes away, of ``level``, ``slope`` and shape; in the unit of the loss."""
        raise NotImplementedError


def logistic(value: Any) -> Any:
    """1 / (1 + e^-value), without overflow."""
    return np.exp(-np.logaddexp(0, -value))
