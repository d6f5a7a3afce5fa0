"""What a cost model is: training compute of a sparse model against a dense one of the same non-zero size."""

from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = ["Cost"]


@dataclass(frozen=True)
class Cost:
    """Base of all cost models; one subclass a file, its fields being what a user may set."""

    name: ClassVar[str]
    reference: ClassVar[str]

    def multiplier(self, sparsity: Any) -> Any:
        """Training FLOPs over those of a dense model with as many parameters as this one ends with non-zero.

        Parameters
        ----------
        sparsity : float or array
            Fraction of zeros at the end, in [0, 1).
        """
        raise NotImplementedError
