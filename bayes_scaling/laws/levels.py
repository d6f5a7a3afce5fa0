"""The law `sparse` with a free multiplier at every halving of density: no form in the sparsity at all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bayes_scaling.laws.base import CELL, Coefficient, Law, Pooled, Prior, Published
from bayes_scaling.laws.dense import OF_DENSE, Dense
from bayes_scaling.laws.sparse import PRIORS

__all__ = ["Levels"]

KNOTS = {"m_2": 1 / 2, "m_4": 1 / 4, "m_8": 1 / 8, "m_16": 1 / 16}
"""Densities that have a multiplier of their own, by name."""

CENTERS = {"m_2": 1.5, "m_4": 2.0, "m_8": 2.4, "m_16": 2.7}


def _priors() -> dict[str, Prior]:
    """Those of a dense law, and multipliers that may rise or fall from one density to the next."""
    priors: dict[str, Prior] = {name: PRIORS[name] for name in OF_DENSE}
    return priors | {name: Pooled(center=m, sd=0.3, spread=0.25, link="log", over=CELL) for name, m in CENTERS.items()}


@dataclass(frozen=True)
class Levels(Law):
    """L(S, N, D) = A (m(S) N)^-b_N + (a_D / D)^b_D + c, with m free at sparsity 1/2, 3/4, 7/8 and 15/16.

    Between these, log m is linear in the density, from m = 1 at sparsity 0; beyond the last it is constant. It says
    what runs tell of each sparsity without help from a form, so it is there to hold forms against: where `sparse` is
    right, its multipliers agree.

    References
    ----------
    Frantar et al., arXiv:2309.08520, for the terms of size and data.
    """

    name = "levels"
    reference = "the terms of Frantar et al. (2023), arXiv:2309.08520, with a free multiplier per sparsity level"
    latex = r"L = A \left(m(S) N\right)^{-b_N} + \left(a_D / D\right)^{b_D} + c"
    coefficients: ClassVar[dict[str, Coefficient]] = {
        **Dense.coefficients,
        **{
            m: Coefficient("1", CELL, f"dense parameters per non-zero one at sparsity {1 - d:g}")
            for m, d in KNOTS.items()
        },
    }
    published: ClassVar[dict[str, Published]] = {}

    priors: Mapping[str, Prior] = field(default_factory=_priors)

    def from_shares(self, **quantities: Any) -> dict[str, Any]:
        """Coefficients from loss shares at a reference point, as those of `Dense`, and the multipliers."""
        own = {name: quantities.pop(name) for name in KNOTS}
        return {**Dense().from_shares(**quantities), **own}

    def loss(self, sparsity: Any, nonzero_params: Any, *data: Any, **coefficients: Any) -> Any:
        """Expected held-out loss, in the unit of the coefficients; all arguments broadcast."""
        dense = {name: value for name, value in coefficients.items() if name not in KNOTS}
        return Dense().loss(0.0, nonzero_params * self.dense_equivalent(sparsity, **coefficients), *data, **dense)

    def dense_equivalent(self, sparsity: Any, **coefficients: Any) -> Any:
        """Dense parameters per non-zero parameter at equal loss and data; independent of N and D."""
        found = 1.0
        for name, weight in _hats(1 - sparsity).items():
            found = found * coefficients[name] ** weight
        return found


def _hats(density: Any) -> dict[str, Any]:
    """Weight of each knot at a density: 1 on it, falling to 0 at its neighbours, the last one 1 below itself."""
    places = [1.0, *KNOTS.values()]
    hats = {}
    for i, name in enumerate(KNOTS, start=1):
        above = _clipped((places[i - 1] - density) / (places[i - 1] - places[i]))
        below = _clipped((density - places[i + 1]) / (places[i] - places[i + 1])) if i + 1 < len(places) else 1.0
        hats[name] = above * below
    return hats


def _clipped(value: Any) -> Any:
    """A value kept between 0 and 1, by operators that serve arrays of any kind."""
    return (1 + (value**2) ** 0.5 - ((value - 1) ** 2) ** 0.5) / 2
