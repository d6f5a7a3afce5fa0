"""What a fit uses when no law is named: the law of Frantar et al. and its coupled form, mixed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from bayes_scaling.laws.coupled import Coupled

__all__ = ["Default"]


@dataclass(frozen=True)
class Default(Coupled):
    """L = ((a_S (1 - S)^b_S + c_S) N^-b_N + (a_D / D)^b_D)^k + c, with k = 1 in a quarter of the posterior's draws.

    Runs within a factor of four to ten of each other cannot say whether the terms of size and data add up (`Sparse`) or
    couple (`Coupled`); which one holds matters beyond them. Weights by marginal likelihood or LOO go to whichever fits
    the runs closer, and that law is over-confident at scales that it has not seen; these weights predicted held-out
    scales of public sweeps best (docs/calibration.md). The posterior's coordinate ``law`` says which law a draw comes
    from; draws of ``sparse`` are the case k = 1.
    """

    name = "sparse+coupled"
    parts: ClassVar[Mapping[str, float]] = {"sparse": 0.25, "coupled": 0.75}
    nested: ClassVar[Mapping[str, float]] = {"k": 1.0}
