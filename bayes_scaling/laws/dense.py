"""The law of Hoffmann et al. (Chinchilla): sizes and data of dense models add up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bayes_scaling.errors import InputError
from bayes_scaling.laws.base import Coefficient, Law, Prior, Published
from bayes_scaling.laws.coupled import Coupled
from bayes_scaling.laws.sparse import PRIORS, Sparse

__all__ = ["Dense", "DenseCoupled", "dense_only"]

OF_DENSE = ("reference_loss", "share", "b_N", "b_D", "rho")
"""Quantities of the law `sparse` that dense runs bear on."""

UNPRUNED: dict[str, Any] = {"b_S": 1.0, "c_S": 0.0}
"""With these and sparsity 0, the law `sparse` is its own dense case: a_S is then A."""


def dense_only(name: str, runs: Any) -> None:
    """Refuse sparse runs.

    Raises
    ------
    InputError
        If there are any.
    """
    sparse = runs["sparsity"].to_numpy() > 0
    if sparse.any():
        first = runs["run_id"].to_numpy()[sparse][0]
        raise InputError(
            f"law {name!r} is about dense runs, and {sparse.sum()} of {sparse.size} have a sparsity above 0 "
            f"(first {first!r}); law 'sparse' takes both"
        )


def _no_sparsity(coefficients: Mapping[str, Any]) -> dict[str, Any]:
    """Coefficients of `sparse` or `coupled` under the names that dense laws have."""
    rest = {name: value for name, value in coefficients.items() if name not in ("a_S", "b_S", "c_S")}
    return {"A": coefficients["a_S"], **rest}


@dataclass(frozen=True)
class Dense(Law):
    """L(N, D) = A N^-b_N + (a_D / D)^b_D + c: the law `sparse` at sparsity 0.

    Printed as E + A / N^α + B / D^β, with α = b_N, β = b_D, B = a_D^b_D and E = c.

    References
    ----------
    Hoffmann et al., "Training Compute-Optimal Large Language Models", arXiv:2203.15556, approach 3; refitted by
    Besiroglu et al., arXiv:2404.10102.
    """

    name = "dense"
    reference = "Hoffmann et al. (2022), arXiv:2203.15556, Eq. 2"
    latex = r"L = A N^{-b_N} + \left(a_D / D\right)^{b_D} + c"
    coefficients: ClassVar[dict[str, Coefficient]] = {
        "A": Coefficient("loss × parameters^b_N", ("modality",), "size term of one parameter"),
        **{name: Sparse.coefficients[name] for name in ("b_N", "a_D", "b_D", "c", "rho")},
    }
    published: ClassVar[dict[str, Published]] = {
        "chinchilla": Published(
            "Hoffmann et al. (2022), arXiv:2203.15556, as printed",
            {"A": 406.4, "b_N": 0.34, "a_D": 410.7 ** (1 / 0.28), "b_D": 0.28, "c": 1.69},
        ),
        "chinchilla-refit": Published(
            "Besiroglu et al. (2024), arXiv:2404.10102: the same runs, read off a figure",
            {"A": 482.0, "b_N": 0.348, "a_D": 2085.0 ** (1 / 0.366), "b_D": 0.366, "c": 1.817},
        ),
    }

    prunes: ClassVar[bool] = False

    priors: Mapping[str, Prior] = field(default_factory=lambda: {name: PRIORS[name] for name in OF_DENSE})

    def check(self, runs: Any) -> None:
        """Refuse sparse runs."""
        dense_only(self.name, runs)

    def from_shares(self, **quantities: Any) -> dict[str, Any]:
        """Coefficients from loss shares at a reference point, as those of `Sparse`."""
        return _no_sparsity(Sparse().from_shares(**quantities, floor=0.0, b_S=1.0))

    def loss(self, *columns: Any, c: Any, **more: Any) -> Any:
        """Expected held-out loss, in the unit of the coefficients; all arguments broadcast."""
        size, data = self.terms(*columns, **more)
        return size + data + c

    def terms(
        self,
        sparsity: Any,
        nonzero_params: Any,
        data_seen: Any,
        pretrain_data: Any = 0.0,
        *,
        A: Any,
        **more: Any,
    ) -> tuple[Any, Any]:
        """Those of `Sparse`, with no gain from sparsity."""
        return Sparse().terms(0.0 * sparsity, nonzero_params, data_seen, pretrain_data, a_S=A, **UNPRUNED, **more)

    def dense_equivalent(self, sparsity: Any, *, A: Any, **_: Any) -> Any:
        """1 for each draw: a dense law knows of no other models."""
        return 1.0 + 0.0 * sparsity * A


@dataclass(frozen=True)
class DenseCoupled(Dense):
    """L(N, D) = (A N^-b_N + (a_D / D)^b_D)^k + c: the law `coupled` at sparsity 0.

    References
    ----------
    Hoffmann et al., arXiv:2203.15556, for the terms; Kaplan et al., arXiv:2001.08361, Eq. 1.5, for coupling them.
    """

    name = "dense_coupled"
    reference = "Hoffmann et al. (2022), arXiv:2203.15556, coupled as in Kaplan et al. (2020), arXiv:2001.08361"
    latex = r"L = \left(A N^{-b_N} + \left(a_D / D\right)^{b_D}\right)^k + c"
    coefficients: ClassVar[dict[str, Coefficient]] = {
        "A": Coefficient("loss^(1/k) × parameters^b_N", ("modality",), "size term of one parameter"),
        **{name: Coupled.coefficients[name] for name in ("b_N", "a_D", "b_D", "c", "rho", "k")},
    }
    published: ClassVar[dict[str, Published]] = {}

    priors: Mapping[str, Prior] = field(
        default_factory=lambda: {n: p for n, p in Coupled().priors.items() if n in (*OF_DENSE, "k")}
    )

    def from_shares(self, **quantities: Any) -> dict[str, Any]:
        """Coefficients from loss shares at a reference point, as those of `Coupled`."""
        return _no_sparsity(Coupled().from_shares(**quantities, floor=0.0, b_S=1.0))

    def loss(self, *columns: Any, c: Any, k: Any, **more: Any) -> Any:  # type: ignore[override]
        """Expected held-out loss, in the unit of the coefficients; all arguments broadcast."""
        size, data = self.terms(*columns, **more)
        return (size + data) ** k + c

    def terms(self, *columns: Any, k: Any = 1.0, **more: Any) -> tuple[Any, Any]:  # noqa: ARG002
        """Those of `Dense`, which are added up before the power is taken."""
        return super().terms(*columns, **more)
