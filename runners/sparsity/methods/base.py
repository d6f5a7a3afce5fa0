"""What a method is: which weights are worth keeping, and what becomes of the others."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer

from runners.registry import Registry
from runners.sparsity.masks import MaskedWeight, add_mask
from runners.sparsity.schedules.base import Schedule
from runners.sparsity.structures.base import Structure

__all__ = ["METHODS", "Method"]


@dataclass(frozen=True)
class Method(ABC):
    """Base of all methods; one subclass a file, its fields being what a user may set.

    A method keeps no state of its own: what it needs from step to step is a parameter or a buffer of the model's, so
    that the model, the optimizer and the step are all that a stopped run needs to go on. Two hooks are needed, `score`
    and `settle`; the others, in the order in which training comes to them, do nothing unless a method wants them.
    """

    name: ClassVar[str]
    straight_through: ClassVar[bool] = False
    """Whether removed weights have a gradient; a method that asks for it masks it before the optimizer sees it."""
    every_step: ClassVar[bool] = False
    """Whether masks follow the scores at every step, with as many weights as the schedule last left each tensor."""
    trains_masks_alone: ClassVar[bool] = False
    """Whether a model's own parameters are frozen, and only those are trained that `add_mask` brings along."""
    by_chance: ClassVar[bool] = False
    """Whether masks that are drawn before the first step do not go by the weights."""
    stacks: ClassVar[bool] = True
    """Whether it works in ensembles: plain masks, and no hook after the backward pass or at the end."""
    shards: ClassVar[bool] = True
    """Whether it works where stored weights, their gradients and moments are sharded (`runners.shards`)."""

    def check(self, schedule: Schedule, structure: Structure, pretrained: bool, power: float) -> None:  # noqa: B027
        """Refuse what makes no sense with it.

        Parameters
        ----------
        schedule, structure
            Those of the run.
        pretrained : bool
            Whether the run starts from a trained model.
        power : float
            Of Powerpropagation.

        Raises
        ------
        InputError
            With the reason.
        """

    def add_mask(self, layer: nn.Module, name: str, power: float) -> MaskedWeight:
        """Put its kind of mask on a layer."""
        return add_mask(layer, name, power, self.straight_through)

    def look(self, weights: Sequence[MaskedWeight], losses: Iterator[Tensor]) -> None:  # noqa: B027
        """Before the first step of a run, with masks of ones: look at the data.

        Parameters
        ----------
        weights : sequence of MaskedWeight
            All of them.
        losses : iterator of torch.Tensor
            Loss of one batch after the other of the first epoch, with the model as it is then; computed when asked for.
        """

    @abstractmethod
    def score(self, weight: MaskedWeight) -> Tensor:
        """One score a weight, the larger the better worth keeping; no NaN."""

    @abstractmethod
    def settle(self, weight: MaskedWeight, optimizer: Optimizer) -> None:
        """Bring stored values and optimizer state in line with a mask that has just been recomputed."""

    def before_step(self, weight: MaskedWeight, step: int, steps: int, optimizer: Optimizer) -> None:  # noqa: B027
        """Before step `step` (from 0) of `steps`, after whatever the schedule had to do."""

    def after_backward(self, weight: MaskedWeight, step: int, steps: int, optimizer: Optimizer) -> None:  # noqa: B027
        """Once the gradients of a step are there, before they are clipped and the optimizer takes it."""

    def finish(self, weight: MaskedWeight) -> None:  # noqa: B027
        """After the last step: store what the model computes with."""


METHODS: Registry[Method] = Registry("method")
