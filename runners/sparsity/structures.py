"""Where weights may be removed: anywhere in a tensor, or n of every m kept.

A structure turns magnitudes into a mask of the weights that stay, at any sparsity on the way to the final one.
"""

import re
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bayes_scaling.runs import InputError

__all__ = ["NofM", "Structure", "Unstructured", "parse_structure"]


class Structure(Protocol):
    """What the pruner asks of a structure."""

    def keep(self, magnitude: Tensor, sparsity: float) -> Tensor:
        """Boolean mask of the weights that stay when the fraction `sparsity` of them goes."""
        ...


def _top(score: Tensor, sparsity: float) -> Tensor:
    """Mask of the best scores; the count is exact, ties fall to the earlier position."""
    kept = score.numel() - round(sparsity * score.numel())
    order = score.flatten().argsort(descending=True, stable=True)
    mask = torch.zeros(score.numel(), dtype=torch.bool, device=score.device)
    mask[order[:kept]] = True
    return mask.view_as(score)


@dataclass(frozen=True)
class Unstructured:
    """The smallest magnitudes of a tensor go, wherever they are."""

    def keep(self, magnitude: Tensor, sparsity: float) -> Tensor:
        """Boolean mask of the weights that stay when the fraction `sparsity` of them goes."""
        return _top(magnitude, sparsity)


@dataclass(frozen=True)
class NofM:
    """n weights stay in every group of m consecutive inputs of an output.

    On the way there the n largest of each group are protected and the rest goes by magnitude, so that the gradual
    schedule ends exactly on an n:m mask instead of jumping to it.

    Parameters
    ----------
    n, m : int
        1 <= n < m.
    """

    n: int
    m: int

    def __post_init__(self) -> None:
        if not 1 <= self.n < self.m:
            raise InputError(f"structure {self.n}:{self.m} is not n:m with 1 <= n < m")

    @property
    def sparsity(self) -> float:
        """The final sparsity, 1 - n/m."""
        return 1 - self.n / self.m

    def keep(self, magnitude: Tensor, sparsity: float) -> Tensor:
        """Boolean mask of the weights that stay when the fraction `sparsity` (at most 1 - n/m) of them goes."""
        if magnitude.shape[-1] % self.m:
            raise InputError(f"{self.n}:{self.m} needs input widths divisible by {self.m}, found {magnitude.shape[-1]}")
        groups = magnitude.reshape(-1, self.m)
        order = groups.argsort(dim=1, descending=True, stable=True)
        survivors = torch.zeros_like(groups, dtype=torch.bool).scatter_(1, order[:, : self.n], True)
        # Magnitudes are finite, so one step above the largest puts every survivor before every other weight.
        score = groups + survivors * (groups.max() + 1)
        return _top(score.view_as(magnitude), sparsity)


def parse_structure(name: str) -> Structure:
    """The structure called `unstructured` or `n:m`."""
    if name == "unstructured":
        return Unstructured()
    if match := re.fullmatch(r"(\d+):(\d+)", name):
        return NofM(int(match[1]), int(match[2]))
    raise InputError(f"structure is {name!r}; allowed are 'dense', 'unstructured' and patterns n:m such as '2:4'")
