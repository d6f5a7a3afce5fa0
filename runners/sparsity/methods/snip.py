"""SNIP: pruning at initialisation, by what each connection does to the loss."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor
from torch.optim import Optimizer

from bayes_scaling.runs import InputError
from runners.sparsity.masks import MaskedWeight
from runners.sparsity.methods.base import METHODS
from runners.sparsity.methods.magnitude import Magnitude
from runners.sparsity.schedules.base import Schedule
from runners.sparsity.schedules.constant import Constant
from runners.sparsity.structures.base import Structure

__all__ = ["SNIP"]


@METHODS.register
@dataclass(frozen=True)
class SNIP(Magnitude):
    """The weights with the largest connection sensitivity stay, from the first step to the last.

    Sensitivity is the size of the loss's derivative with respect to a weight's mask, which is gradient times weight:
    |w times the sum of gradients over the batches|.

    Parameters
    ----------
    batches : int
        How many batches, at most an epoch or as many as the run has steps; 0 means all of these.

    Raises
    ------
    InputError
        A number below 0.

    References
    ----------
    Lee et al., arXiv:1810.02340, by one batch; over an epoch as in Lee et al., arXiv:2003.11316. Both rank the weights
    of all tensors together, which is distribution ``global``.
    """

    name = "snip"
    shards = False  # before training starts, FSDP gives no gradients but by a whole backward pass

    batches: int = 0

    def __post_init__(self) -> None:
        if self.batches < 0:
            raise InputError(f"snip_batches is {self.batches}; a number of at least 0 is needed")

    def check(self, schedule: Schedule, structure: Structure, pretrained: bool, power: float) -> None:
        """At initialisation."""
        super().check(schedule, structure, pretrained, power)
        if pretrained:
            raise InputError(
                f"method {self.name!r} prunes at initialisation, and with pretrained there is none; "
                "start from scratch, or take another method"
            )
        if not isinstance(schedule, Constant):
            raise InputError(
                f"method {self.name!r} prunes at initialisation, which schedule {schedule.name!r} does not; "
                "schedule 'constant' is needed"
            )

    def look(self, weights: Sequence[MaskedWeight], losses: Iterator[Tensor]) -> None:
        """Sum up the gradients of the batches, where gradients are kept."""
        stored = [weight.dense for weight in weights]
        for loss in islice(losses, self.batches or None):
            for parameter, gradient in zip(stored, torch.autograd.grad(loss, stored), strict=True):
                parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)

    def score(self, weight: MaskedWeight) -> Tensor:
        """Connection sensitivity."""
        assert weight.dense.grad is not None  # from `look`, just before
        # Under Powerpropagation this is `power` times the same, which ranks alike.
        return (weight.dense * weight.dense.grad).abs().nan_to_num(nan=torch.inf, posinf=torch.inf)

    def settle(self, weight: MaskedWeight, optimizer: Optimizer) -> None:
        """Zero the removed weights, and let go of the gradients: the optimizer is not to take them for a step's."""
        super().settle(weight, optimizer)
        weight.dense.grad = None
