"""SR-STE: n:m from scratch, with removed weights that go on being trained."""

from dataclasses import dataclass

from torch import Tensor
from torch.optim import Optimizer

from bayes_scaling.runs import InputError
from runners.sparsity.masks import MaskedWeight
from runners.sparsity.methods.base import METHODS, Method
from runners.sparsity.schedules.base import Schedule
from runners.sparsity.structures.base import Structure
from runners.sparsity.structures.n_of_m import NofM

__all__ = ["SRSTE"]


@METHODS.register
@dataclass(frozen=True)
class SRSTE(Method):
    """Sparse-refined straight-through estimator: at every step the largest weights of each group are in use.

    All weights get the gradient of those in use, as if the mask were not there, and removed ones also a pull to zero,
    ``decay`` times their value, which keeps masks from going back and forth. Removed weights are stored until training
    ends; then they become zero, and what is stored is what the model computes with.

    Parameters
    ----------
    decay : float
        Of the removed weights, part of their gradient; at least 0.

    Raises
    ------
    InputError
        A decay below 0.

    References
    ----------
    Zhou et al., arXiv:2102.04010, whose decay of 2e-4 is for SGD. AdamW divides it by the size of the gradient like
    everything else that it is given.
    """

    name = "srste"
    straight_through = True
    every_step = True
    stacks = False

    decay: float = 2e-4

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise InputError(f"srste_decay is {self.decay}; a number in [0, 1) is needed")

    def check(self, schedule: Schedule, structure: Structure, pretrained: bool, power: float) -> None:
        """For n:m."""
        super().check(schedule, structure, pretrained, power)
        if not isinstance(structure, NofM):
            raise InputError(
                f"method {self.name!r} is for n:m, found structure {structure.name}; "
                "a structure such as '2:4' is needed"
            )

    def score(self, weight: MaskedWeight) -> Tensor:
        """Magnitudes, those of removed weights among them."""
        return weight.magnitude

    def settle(self, weight: MaskedWeight, optimizer: Optimizer) -> None:
        """Nothing: removed weights go on."""

    def after_backward(self, weight: MaskedWeight, step: int, steps: int, optimizer: Optimizer) -> None:  # noqa: ARG002
        """Add the pull to zero on removed weights."""
        gradient = weight.dense.grad
        assert gradient is not None  # every weight takes part in the loss
        gradient.add_(weight.dense.masked_fill(weight.stored_mask, 0.0), alpha=self.decay)

    def finish(self, weight: MaskedWeight) -> None:
        """Zero the removed weights."""
        weight.dense.mul_(weight.stored_mask)
