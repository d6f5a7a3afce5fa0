"""Whole blocks of a weight matrix."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bayes_scaling.runs import InputError
from runners.sparsity.ranking import largest
from runners.sparsity.structures.base import Structure, register

__all__ = ["Block"]


@register
@dataclass(frozen=True)
class Block(Structure):
    """Blocks of `rows` outputs by `columns` inputs stay or go as one, by the mean score of their weights.

    A count that is no whole number of blocks is rounded to the nearest.

    Parameters
    ----------
    rows, columns : int
        At least 1 each, and more than one weight in all.

    Raises
    ------
    InputError
        If there would be no block, or blocks of one weight.
    """

    form = "block:RxC"
    example = "block:4x4"

    rows: int
    columns: int

    def __post_init__(self) -> None:
        if self.size < 2:
            raise InputError(f"structure {self.name} has {self.size} weights in a block; 2 or more are needed")

    @classmethod
    def parse(cls, name: str) -> "Block | None":
        """``block:RxC``, R outputs by C inputs."""
        found = re.fullmatch(r"block:(\d+)x(\d+)", name)
        return cls(int(found[1]), int(found[2])) if found else None

    @property
    def name(self) -> str:
        """``block:RxC``."""
        return f"block:{self.rows}x{self.columns}"

    @property
    def size(self) -> int:
        """Weights in a block."""
        return self.rows * self.columns

    @property
    def multiple(self) -> int:
        """Of rows and columns."""
        return math.lcm(self.rows, self.columns)

    def check(self, shape: Sequence[int], where: str) -> None:
        """Refuse tensors that do not fall into whole blocks."""
        outputs, inputs = shape[0], torch.Size(shape[1:]).numel()
        if outputs % self.rows or inputs % self.columns:
            raise InputError(
                f"structure {self.name} needs outputs divisible by {self.rows} and inputs by {self.columns}; "
                f"{where} has {outputs} outputs and {inputs} inputs"
            )

    def rank(self, score: Tensor) -> Tensor:
        """Every weight with the mean score of its block."""
        means = self._means(score)
        return means.repeat_interleave(self.rows, 0).repeat_interleave(self.columns, 1).view(score.shape)

    def reachable(self, kept: int) -> int:
        """The nearest whole number of blocks, in weights."""
        return round(kept / self.size) * self.size

    def keep(self, score: Tensor, kept: int) -> Tensor:
        """Boolean mask of the blocks that stay, ``reachable(kept)`` weights in all."""
        self.check(score.shape, "the weight")
        blocks = largest(self._means(score), self.reachable(kept) // self.size)
        return blocks.repeat_interleave(self.rows, 0).repeat_interleave(self.columns, 1).view(score.shape)

    def _means(self, score: Tensor) -> Tensor:
        """Mean score of each block, (outputs / rows, inputs / columns)."""
        outputs, inputs = score.shape[0], score[0].numel()
        return score.reshape(outputs // self.rows, self.rows, inputs // self.columns, self.columns).mean((1, 3))
