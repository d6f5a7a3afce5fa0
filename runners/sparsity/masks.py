"""Gradual magnitude pruning with masks on dense weights.

Removed weights do not return: when a weight is masked its stored value becomes zero and so do its AdamW moments;
from then on its gradient is zero, momentum cannot move it and weight decay leaves zero where it is. Masks are
therefore nested over training, and what a finished model stores is what it computes with.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from runners.sparsity.schedules import CubicSchedule
from runners.sparsity.structures import Structure

__all__ = ["Mask", "MaskedWeight", "Pruner"]


class Mask(nn.Module):
    """Parametrization that multiplies a weight by its mask."""

    mask: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones_like(weight, dtype=torch.bool))

    def forward(self, dense: Tensor) -> Tensor:
        """The weight that the layer computes with."""
        return dense * self.mask


@dataclass(frozen=True)
class MaskedWeight:
    """One weight tensor under pruning.

    Attributes
    ----------
    dense : torch.nn.Parameter
        The stored weight, the optimizer's parameter.
    mask : torch.Tensor
        Boolean, true where the weight is in use.
    structure : Structure
        Which weights may go.
    sparsity : float
        The final sparsity of this tensor.
    """

    dense: nn.Parameter
    mask: Tensor
    structure: Structure
    sparsity: float

    @classmethod
    def on(cls, layer: nn.Module, structure: Structure, sparsity: float) -> "MaskedWeight":
        """Put a mask on `layer.weight`. To be done before the optimizer is built."""
        mask = Mask(layer.weight)  # type: ignore[arg-type]
        parametrize.register_parametrization(layer, "weight", mask)
        return cls(layer.parametrizations.weight.original, mask.mask, structure, sparsity)  # type: ignore[union-attr,arg-type]


class Pruner:
    """Moves every masked weight along the schedule, each tensor at its own exact sparsity (uniform per layer).

    Parameters
    ----------
    weights : list of MaskedWeight
        The tensors under pruning; may be empty, for a dense run.
    schedule : CubicSchedule
        When.
    steps : int
        Optimizer steps of the run.
    every : int
        Masks are recomputed every so many steps, and at the end of the schedule.
    """

    def __init__(self, weights: list[MaskedWeight], schedule: CubicSchedule, steps: int, every: int) -> None:
        self.weights, self.schedule, self.steps, self.every = weights, schedule, steps, every
        self._ramp = 0.0

    def before(self, step: int, optimizer: torch.optim.Optimizer) -> bool:
        """Recompute the masks where step `step` calls for it; says whether they changed."""
        ramp = self.schedule.ramp(step, self.steps)
        if ramp == self._ramp or (step % self.every and ramp < 1):
            return False
        self._ramp = ramp
        for weight in self.weights:
            self._prune(weight, ramp * weight.sparsity, optimizer)
        return bool(self.weights)

    @torch.no_grad()
    def _prune(self, weight: MaskedWeight, sparsity: float, optimizer: torch.optim.Optimizer) -> None:
        # What is gone ranks below the smallest weight in use, so it cannot come back.
        magnitude = weight.dense.abs().masked_fill(~weight.mask, -1.0)
        weight.mask.copy_(weight.structure.keep(magnitude, sparsity))
        weight.dense.mul_(weight.mask)
        for moment in optimizer.state.get(weight.dense, {}).values():
            if isinstance(moment, Tensor) and moment.shape == weight.dense.shape:
                moment.mul_(weight.mask)
