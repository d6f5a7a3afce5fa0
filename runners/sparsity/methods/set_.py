"""SET: connections that are small die, and others grow at random."""

from dataclasses import dataclass

from torch.optim import Optimizer

from runners.sparsity.chance import random_scores
from runners.sparsity.masks import MaskedWeight
from runners.sparsity.methods.base import METHODS
from runners.sparsity.methods.sparse_to_sparse import SparseToSparse

__all__ = ["SparseEvolution"]


@METHODS.register
@dataclass(frozen=True)
class SparseEvolution(SparseToSparse):
    """Sparse evolutionary training: what grows is drawn from the seed, the tensor's name and the step.

    References
    ----------
    Mocanu et al., arXiv:1707.04780. There the smallest positive and the largest negative weights go, a constant share
    of them after every epoch; here the smallest magnitudes, in the rhythm of RigL.
    """

    name = "set"

    def before_step(self, weight: MaskedWeight, step: int, steps: int, optimizer: Optimizer) -> None:
        """Move connections where that is due."""
        if self.moves_before(step, steps):
            self.move(weight, random_scores(weight.mask, self.seed, weight.name, step), step, steps, optimizer)
