"""Any weight by itself."""

from dataclasses import dataclass

from torch import Tensor

from runners.sparsity.ranking import largest
from runners.sparsity.structures.base import Structure, register

__all__ = ["Unstructured"]


@register
@dataclass(frozen=True)
class Unstructured(Structure):
    """The weights with the smallest scores go, wherever they are."""

    form = "unstructured"
    example = "unstructured"

    @classmethod
    def parse(cls, name: str) -> "Unstructured | None":
        """``unstructured``."""
        return cls() if name == cls.form else None

    @property
    def name(self) -> str:
        """``unstructured``."""
        return self.form

    def keep(self, score: Tensor, kept: int) -> Tensor:
        """Boolean mask of the `kept` weights that stay."""
        return largest(score, kept)
