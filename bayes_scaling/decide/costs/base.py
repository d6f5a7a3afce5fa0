"""What a cost model is: training compute of a sparse model against a dense one of the same non-zero size."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import xarray as xr

__all__ = ["Cost"]


@dataclass(frozen=True)
class Cost:
    """Base of all cost models; one subclass a file, its fields being what a user may set.

    Only `multiplier` must be written. Its argument may be a number, a numpy array or a DataArray.

    Parameters
    ----------
    serves_sparse : bool
        Whether serving skips the zeros; if not, the whole model of N / (1 - S) parameters is paid for.
    """

    name: ClassVar[str]
    reference: ClassVar[str]

    serves_sparse: bool = field(default=True, kw_only=True)

    @classmethod
    def of(cls, runs: xr.Dataset | None = None) -> "Cost":  # noqa: ARG003 - for cost models that are measured
        """The cost model that its name alone stands for, given the runs at hand."""
        return cls()

    def multiplier(self, sparsity: Any) -> Any:
        """Training FLOPs over those of a dense model with as many parameters as this one ends with non-zero.

        Parameters
        ----------
        sparsity : float or array
            Fraction of zeros at the end, in [0, 1).
        """
        raise NotImplementedError

    def upfront(self, nonzero_params: Any, sparsity: Any, pretrain_data: Any, flops_per_unit: Any) -> Any:  # noqa: ARG002
        """FLOPs of the budget that are spent before any of the data that the law counts is bought.

        Parameters
        ----------
        nonzero_params, sparsity : float or array
            What the model ends with.
        pretrain_data : float
            Tokens or examples of a dense phase; 0 from scratch.
        flops_per_unit : float
            FLOPs per parameter and token or example.
        """
        return 0.0

    def serving(self, sparsity: Any) -> Any:
        """Parameters that take part in serving, per non-zero one."""
        return 1.0 if self.serves_sparse else 1 / (1 - sparsity)

    def sparse_share(self, sparsity: Any) -> Any:  # noqa: ARG002
        """Share of the training FLOPs that are spent at the final sparsity, where sparse kernels can work."""
        return 0.0

    def for_structure(self, structure: str) -> "Cost":  # noqa: ARG002
        """The cost model of a structure, where that makes a difference."""
        return self
