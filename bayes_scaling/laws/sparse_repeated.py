"""The law of Wu et al.: sparsity multiplies the size term, and changes how much repeated data is worth."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bayes_scaling.laws.base import CELL, Coefficient, Law, Pooled, Prior, Published, Read
from bayes_scaling.laws.constrained import DataConstrained

__all__ = ["SparseRepeated"]

OWN = ("eps", "P", "mu", "rise_D", "end_D", "rise_N", "end_N")
"""What sparsity does: to the size term, and to the worth of repetitions."""


def _priors() -> dict[str, Prior]:
    """Those of `DataConstrained`, and what sparsity does."""
    centers = {"eps": 0.02, "mu": 0.9, "rise_D": 1.5, "end_D": 1.0, "rise_N": 1.5, "end_N": 1.0}
    return {
        **DataConstrained().priors,
        **{name: Pooled(center=m, sd=0.7, spread=0.4, link="log", over=CELL) for name, m in centers.items()},
        "P": Pooled(center=0.3, sd=0.8, spread=0.6, link="logit", over=CELL),
    }


def _published() -> dict[str, float]:
    """Coefficients as in the public code: logs of A, B and E, one exponent, and R* (1 + x S - y S²)."""
    exponent = 0.3268217718148829
    rise = {"D": 1.8213812238803706, "N": 1.9039562899771467}
    fall = {"D": 1.3653091691735397, "N": 2.79909312658146}
    return {
        "A": math.exp(5.240737178917673), "b_N": exponent,
        "a_D": math.exp(6.103030891809012 / exponent), "b_D": exponent, "c": math.exp(0.8535501324918354),
        "eps": 0.009680437509279435, "P": 0.2728893199074849, "mu": 0.8466179337054532,
        "R_D": 4.404748822323469, "R_N": 11.087637121468322,
        **{f"rise_{of}": x for of, x in rise.items()},
        **{f"end_{of}": 1 + x - fall[of] for of, x in rise.items()},
    }  # fmt: skip


@dataclass(frozen=True)
class SparseRepeated(Law):
    """L = A ((1 - S)^-ε - P S^μ) N_eff^-b_N + (a_D / D_eff)^b_D + c, N_eff and D_eff as in `data_constrained`.

    R*_D and R*_N, what all repetitions together are worth, change with sparsity as R* (1 - S² + x S (1 - S) + y S²),
    from R* in a dense model to y R* at S = 1; printed as R* (1 + x S - (1 + x - y) S²). The size that unique data can
    feed is the optimal one at the same sparsity. With ε > 0 the multiplier turns: beyond some sparsity, more of it is
    worse.

    References
    ----------
    Wu et al., "When Data Is Scarce", arXiv:2606.01155; coefficients of its public code (boqian333/sparse-dc-scaling).
    """

    name = "sparse_repeated"
    reference = "Wu et al. (2026), arXiv:2606.01155"
    latex = (
        r"L = A \left((1 - S)^{-\epsilon} - P S^{\mu}\right) N_\mathrm{eff}^{-b_N} + "
        r"\left(a_D / D_\mathrm{eff}\right)^{b_D} + c"
    )
    coefficients: ClassVar[dict[str, Coefficient]] = {
        **DataConstrained.coefficients,
        "eps": Coefficient("1", CELL, "exponent of density that makes extreme sparsity worse"),
        "P": Coefficient("1", CELL, "share of the size term that sparsity takes away"),
        "mu": Coefficient("1", CELL, "exponent of sparsity in what it takes away"),
        **{
            f"{kind}_{of}": Coefficient("1", CELL, f"{meaning} of R*_{of}")
            for of in ("D", "N")
            for kind, meaning in (("rise", "first slope over sparsity"), ("end", "value at S = 1, over the dense one,"))
        },
    }
    published: ClassVar[dict[str, Published]] = {
        "c4": Published(
            "decoder on C4, dynamic sparse training, up to 93.75 %: Wu et al. (2026), digits of its public code",
            _published(),
        )
    }
    reads: ClassVar[dict[str, Read]] = DataConstrained.reads

    priors: Mapping[str, Prior] = field(default_factory=_priors)

    def from_shares(self, **quantities: Any) -> dict[str, Any]:
        """Coefficients from loss shares at a reference point, as those of `DataConstrained`, and what sparsity does."""
        own = {name: quantities.pop(name) for name in OWN}
        return {**DataConstrained().from_shares(**quantities), **own}

    def loss(
        self,
        sparsity: Any,
        nonzero_params: Any,
        data_seen: Any,
        pretrain_data: Any = 0.0,
        *,
        A: Any,
        R_D: Any,
        R_N: Any,
        eps: Any,
        P: Any,
        mu: Any,
        rise_D: Any,
        end_D: Any,
        rise_N: Any,
        end_N: Any,
        **more: Any,
    ) -> Any:
        """Expected held-out loss, in the unit of the coefficients; all arguments broadcast, and all data is new unless
        ``unique_data`` is said.
        """
        worth = {"R_D": R_D * _worth(sparsity, rise_D, end_D), "R_N": R_N * _worth(sparsity, rise_N, end_N)}
        more |= worth | {"A": A * _factor(sparsity, eps, P, mu)}
        return DataConstrained().loss(0.0 * sparsity, nonzero_params, data_seen, pretrain_data, **more)

    def dense_equivalent(self, sparsity: Any, *, b_N: Any, eps: Any, P: Any, mu: Any, **_: Any) -> Any:
        """Dense parameters per non-zero parameter at equal loss and new data; independent of N and D."""
        return _factor(sparsity, eps, P, mu) ** (-1 / b_N)


def _factor(sparsity: Any, eps: Any, P: Any, mu: Any) -> Any:
    """The size term at a sparsity, over that of a dense model."""
    return (1 - sparsity) ** -eps - P * sparsity**mu


def _worth(sparsity: Any, rise: Any, end: Any) -> Any:
    """What repetitions are worth at a sparsity, over what they are to a dense model; never negative."""
    return (1 - sparsity**2) + rise * sparsity * (1 - sparsity) + end * sparsity**2
