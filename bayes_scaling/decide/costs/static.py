"""Sparse from the first step, every step costing what its density costs."""

from dataclasses import dataclass
from typing import Any

from bayes_scaling.decide.costs.base import Cost

__all__ = ["Static"]


@dataclass(frozen=True)
class Static(Cost):
    """Multiplier 1: training never touches more than the non-zero parameters.

    So it is with a mask that is fixed before training, and nearly so in dynamic sparse training at constant density.
    Sparsity then costs nothing, and a law in which it always helps has no optimum below 1: bound it by what was trained
    (as `recommend` does), and mind that masks fixed early reach other losses than gradual pruning.

    References
    ----------
    Evci et al., arXiv:1911.11134, for sparse training at constant density; Lee et al., arXiv:1810.02340, for a mask
    fixed at initialisation.
    """

    name = "static"
    reference = "Evci et al. (2020), arXiv:1911.11134"

    def multiplier(self, sparsity: Any) -> Any:
        """Training FLOPs over those of a dense model of the same non-zero size."""
        return 1.0 + 0.0 * sparsity

    def sparse_share(self, sparsity: Any) -> Any:
        """All of it, where there are zeros."""
        return (sparsity > 0) * 1.0
