"""What a structure is: which weights of a tensor can be removed together."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

__all__ = ["STRUCTURES", "TOLERANCE", "Structure", "register"]

TOLERANCE = 0.01
"""How far a stated sparsity may be from the one that a structure fixes; the run table's."""


@dataclass(frozen=True)
class Structure(ABC):
    """Base of all structures; one subclass a file.

    A weight is read as a matrix, outputs by inputs: its first dimension against all others.
    """

    form: ClassVar[str]
    """How its names look, in words: ``n:m``."""
    example: ClassVar[str]
    """One of its names: ``2:4``."""

    @classmethod
    @abstractmethod
    def parse(cls, name: str) -> "Structure | None":
        """The structure of that name, or None if the name is not of this form.

        Raises
        ------
        InputError
            If it is of this form, with numbers that make no sense.
        """

    @property
    @abstractmethod
    def name(self) -> str:
        """What `parse` makes this structure of."""

    @property
    def fixed_sparsity(self) -> float | None:
        """The one sparsity that this structure can end at, or None where it is free."""
        return None

    @property
    def multiple(self) -> int:
        """Matrices whose both widths are multiples of it fit."""
        return 1

    def check(self, shape: Sequence[int], where: str) -> None:  # noqa: B027 - most structures fit any shape
        """Refuse a tensor that it does not fit.

        Parameters
        ----------
        shape : sequence of int
            Of the weight.
        where : str
            Name of the weight, for the error.

        Raises
        ------
        InputError
            Naming the weight, its width, and what would fit.
        """

    def rank(self, score: Tensor) -> Tensor:
        """The scores by which weights of several tensors compete, of the same shape."""
        return score

    def reachable(self, kept: int) -> int:
        """How many weights `keep` leaves when asked for `kept`."""
        return kept

    @abstractmethod
    def keep(self, score: Tensor, kept: int) -> Tensor:
        """Boolean mask of the weights that stay.

        Parameters
        ----------
        score : torch.Tensor
            One score a weight; the larger, the better worth keeping. No NaN.
        kept : int
            How many stay.

        Returns
        -------
        torch.Tensor
            Of the shape of `score`, with exactly ``reachable(kept)`` true.
        """


STRUCTURES: dict[str, type[Structure]] = {}


def register[S: Structure](structure: type[S]) -> type[S]:
    """Make a structure known by its ``form``; a class decorator."""
    STRUCTURES[structure.form] = structure
    return structure
