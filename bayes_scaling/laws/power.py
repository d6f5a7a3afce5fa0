"""The law `sparse` with a power of density for its multiplier: no floor that sparsity cannot go below."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bayes_scaling.laws.base import CELL, Coefficient, Law, Pooled, Prior, Published
from bayes_scaling.laws.sparse import PRIORS, Sparse

__all__ = ["Power"]


def _priors() -> dict[str, Prior]:
    """Those of `Sparse` but for the sparsity parameters, which one exponent replaces."""
    priors: dict[str, Prior] = {name: prior for name, prior in PRIORS.items() if name not in ("b_S", "floor")}
    return priors | {"k_S": Pooled(center=0.45, sd=0.5, spread=0.4, link="log", over=CELL)}


@dataclass(frozen=True)
class Power(Law):
    """L(S, N, D) = A (N (1 - S)^-k_S)^-b_N + (a_D / D)^b_D + c.

    A sparse model is worth (1 - S)^-k_S times its non-zero parameters: with k_S = 0 zeros are worth nothing, with 1 as
    much as other weights. It is the case c_S = 0, b_S = k_S b_N of `Sparse`, and grows without bound as S goes to 1,
    where measured multipliers level off; it is here to be compared with.

    References
    ----------
    Frantar et al., arXiv:2309.08520, for the terms of size and data.
    """

    name = "power"
    reference = "the terms of Frantar et al. (2023), arXiv:2309.08520, with a power of density"
    latex = r"L = A \left(N (1 - S)^{-k_S}\right)^{-b_N} + \left(a_D / D\right)^{b_D} + c"
    coefficients: ClassVar[dict[str, Coefficient]] = {
        "A": Coefficient("loss × parameters^b_N", ("modality",), "size term of one parameter"),
        "k_S": Coefficient("1", CELL, "exponent of density in the size multiplier"),
        **{name: Sparse.coefficients[name] for name in ("b_N", "a_D", "b_D", "c", "rho")},
    }
    published: ClassVar[dict[str, Published]] = {}

    priors: Mapping[str, Prior] = field(default_factory=_priors)

    def from_shares(self, **quantities: Any) -> dict[str, Any]:
        """Coefficients from loss shares at a reference point, as those of `Sparse`, and ``k_S``."""
        k_S = quantities.pop("k_S")
        plain = Sparse().from_shares(**quantities, floor=0.0, b_S=1.0)
        rest = {name: value for name, value in plain.items() if name not in ("a_S", "b_S", "c_S")}
        return {"A": plain["a_S"], "k_S": k_S, **rest}

    def loss(self, *columns: Any, c: Any, **more: Any) -> Any:
        """Expected held-out loss, in the unit of the coefficients; all arguments broadcast."""
        size, data = self.terms(*columns, **more)
        return size + data + c

    def terms(self, *columns: Any, A: Any, k_S: Any, b_N: Any, c: Any = 0.0, **more: Any) -> tuple[Any, Any]:
        """Those of `Sparse` with b_S = k_S b_N and no floor."""
        return Sparse().terms(*columns, a_S=A, b_S=k_S * b_N, c_S=0.0, b_N=b_N, c=c, **more)

    def dense_equivalent(self, sparsity: Any, *, k_S: Any, **_: Any) -> Any:
        """Dense parameters per non-zero parameter at equal loss and data; independent of N and D."""
        return (1 - sparsity) ** -k_S
