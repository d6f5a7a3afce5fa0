"""n of every m weights in a row."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bayes_scaling.runs import InputError
from runners.sparsity.ranking import largest
from runners.sparsity.structures.base import Structure, register

__all__ = ["NofM"]


@register
@dataclass(frozen=True)
class NofM(Structure):
    """n weights stay in every group of m consecutive inputs of an output.

    On the way there the n best of each group are protected and the rest goes by score, so that a gradual schedule ends
    exactly on an n:m mask instead of jumping to it (as in Frantar et al., arXiv:2309.08520).

    Parameters
    ----------
    n, m : int
        1 <= n < m.

    Raises
    ------
    InputError
        Unless 1 <= n < m.
    """

    form = "n:m"
    example = "2:4"

    n: int
    m: int

    def __post_init__(self) -> None:
        if not 1 <= self.n < self.m:
            raise InputError(f"structure {self.name} is not n:m with 1 <= n < m")

    @classmethod
    def parse(cls, name: str) -> "NofM | None":
        """``n:m``, n non-zero in every m."""
        found = re.fullmatch(r"(\d+):(\d+)", name)
        return cls(int(found[1]), int(found[2])) if found else None

    @property
    def name(self) -> str:
        """``n:m``."""
        return f"{self.n}:{self.m}"

    @property
    def fixed_sparsity(self) -> float:
        """The final sparsity, 1 - n/m."""
        return 1 - self.n / self.m

    @property
    def multiple(self) -> int:
        """M."""
        return self.m

    def check(self, shape: Sequence[int], where: str) -> None:
        """Refuse input widths that m does not divide."""
        width = torch.Size(shape[1:]).numel()
        if width % self.m:
            raise InputError(f"structure {self.name} needs input widths divisible by {self.m}; {where} has {width}")

    def keep(self, score: Tensor, kept: int) -> Tensor:
        """Boolean mask of the `kept` weights that stay, at least n in every m.

        Raises
        ------
        InputError
            If `kept` is fewer than that.
        """
        self.check(score.shape, "the weight")
        least = score.numel() // self.m * self.n
        if kept < least:
            raise InputError(f"structure {self.name} keeps {least} of {score.numel()} weights or more, not {kept}")
        survivors = self._survivors(score)
        if kept == least:
            return survivors
        return survivors | largest(score.masked_fill(survivors, -torch.inf), kept - least)

    def _survivors(self, score: Tensor) -> Tensor:
        """The n best of each group; ties fall to the earlier position."""
        # Each weight's place within its group, counted by comparisons: at the usual m faster than sorting many short
        # rows. Member by group, so that every comparison runs along memory.
        groups = score.reshape(-1, self.m).T.contiguous()
        place = torch.zeros_like(groups, dtype=torch.int16)
        for member in range(self.m):
            place[:member] += groups[member] > groups[:member]
            place[member + 1 :] += groups[member] >= groups[member + 1 :]
        return (place < self.n).T.reshape(score.shape)
