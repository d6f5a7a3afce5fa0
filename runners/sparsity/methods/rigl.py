"""RigL: connections that are small die, and those grow that the loss would change with most."""

from dataclasses import dataclass

import torch
from torch.optim import Optimizer

from runners.shards import whole
from runners.sparsity.masks import MaskedWeight
from runners.sparsity.methods.base import METHODS
from runners.sparsity.methods.sparse_to_sparse import SparseToSparse

__all__ = ["RigL"]


@METHODS.register
@dataclass(frozen=True)
class RigL(SparseToSparse):
    """Rigging the lottery: what grows has the largest gradients, those of the batch of that step.

    References
    ----------
    Evci et al., arXiv:1911.11134. There a step in which connections move moves no weights, and a weight just dropped
    may be among those that grow; here the step is taken, and it may not.
    """

    name = "rigl"
    straight_through = True
    stacks = False

    def after_backward(self, weight: MaskedWeight, step: int, steps: int, optimizer: Optimizer) -> None:
        """Move connections where that is due; then only weights in use have a gradient."""
        gradient = weight.dense.grad
        assert gradient is not None  # every weight takes part in the loss
        if self.moves_before(step, steps):
            wanted = whole(gradient).abs().nan_to_num(nan=torch.inf, posinf=torch.inf)
            self.move(weight, wanted, step, steps, optimizer)
        gradient.mul_(weight.stored_mask)
