"""Sparse training that costs what dense training of the whole model costs."""

from dataclasses import dataclass, field
from typing import Any

from bayes_scaling.decide.costs.base import Cost

__all__ = ["Dense"]


@dataclass(frozen=True)
class Dense(Cost):
    """Multiplier 1 / (1 - S): masks on dense matrix products, as most hardware has it, in training and in serving.

    References
    ----------
    Frantar et al., arXiv:2309.08520, the case in which sparsity saves no training compute.
    """

    name = "dense"
    reference = "Frantar et al. (2023), arXiv:2309.08520"

    serves_sparse: bool = field(default=False, kw_only=True)

    def multiplier(self, sparsity: Any) -> Any:
        """Training FLOPs over those of a dense model of the same non-zero size."""
        return 1 / (1 - sparsity)
