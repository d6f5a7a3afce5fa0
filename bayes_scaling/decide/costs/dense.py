"""Sparse training that costs what dense training of the whole model costs."""

from dataclasses import dataclass, field
from typing import Any

from bayes_scaling.decide.costs.base import Cost
from bayes_scaling.errors import InputError

__all__ = ["Dense"]


@dataclass(frozen=True)
class Dense(Cost):
    """Multiplier 1 / (1 - S): masks on dense matrix products, as most hardware has it, in training and in serving.

    Parameters
    ----------
    sparse_from : float
        Fraction of training from which the final sparsity holds, so that kernels for it can run; what they gain is
        `Hardware`'s to say. 1, the default, has none.

    References
    ----------
    Frantar et al., arXiv:2309.08520, the case in which sparsity saves no training compute.

    Raises
    ------
    InputError
        If it is no fraction.
    """

    name = "dense"
    reference = "Frantar et al. (2023), arXiv:2309.08520"

    sparse_from: float = 1.0
    serves_sparse: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if not 0 <= self.sparse_from <= 1:
            raise InputError(f"sparse_from is {self.sparse_from}; a fraction of training in [0, 1] is needed")

    def multiplier(self, sparsity: Any) -> Any:
        """Training FLOPs over those of a dense model of the same non-zero size."""
        return 1 / (1 - sparsity)

    def sparse_share(self, sparsity: Any) -> Any:
        """What comes after `sparse_from`, where there are zeros: every step costs the same."""
        return (sparsity > 0) * (1 - self.sparse_from)
