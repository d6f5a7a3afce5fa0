"""The joint law of Kaplan et al. for dense models: no irreducible loss, size and data coupled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bayes_scaling.laws.base import Coefficient, Law, Pooled, Prior, Published, Rough, Shares
from bayes_scaling.laws.coupled import Coupled
from bayes_scaling.laws.dense import dense_only

__all__ = ["Kaplan"]

PRIORS: dict[str, Prior] = {
    "reference_loss": Rough(sd=0.5),
    "share": Shares(terms=("size", "data"), concentration=1.5),
    "alpha_N": Pooled(center=0.1, sd=0.6, spread=0.4, link="log", over=("modality",), slope_of=("size",)),
    "alpha_D": Pooled(center=0.1, sd=0.6, spread=0.4, link="log", over=("modality",), slope_of=("data",)),
}
"""Exponents are those of the whole loss here, not of a term above a floor, and so are smaller than elsewhere."""


@dataclass(frozen=True)
class Kaplan(Law):
    """L(N, D) = ((N_c / N)^(α_N / α_D) + D_c / D)^α_D.

    With much data the loss goes as N^-α_N, with a large model as D^-α_D, down to zero.

    References
    ----------
    Kaplan et al., "Scaling Laws for Neural Language Models", arXiv:2001.08361, Eq. 1.5.
    """

    name = "kaplan"
    reference = "Kaplan et al. (2020), arXiv:2001.08361, Eq. 1.5"
    latex = r"L = \left(\left(N_c / N\right)^{\alpha_N / \alpha_D} + D_c / D\right)^{\alpha_D}"
    coefficients: ClassVar[dict[str, Coefficient]] = {
        "N_c": Coefficient("parameters", ("modality",), "size at which the loss would be 1 with endless data"),
        "D_c": Coefficient("data units", ("modality",), "data at which the loss of an endless model would be 1"),
        "alpha_N": Coefficient("1", ("modality",), "exponent of size with endless data"),
        "alpha_D": Coefficient("1", ("modality",), "exponent of data for an endless model"),
    }
    published: ClassVar[dict[str, Published]] = {}

    prunes: ClassVar[bool] = False

    priors: Mapping[str, Prior] = field(default_factory=PRIORS.copy)

    def check(self, runs: Any) -> None:
        """Refuse sparse runs."""
        dense_only(self.name, runs)

    def from_shares(self, *, nonzero_params: Any = 1.0, data_seen: Any = 1.0, **quantities: Any) -> dict[str, Any]:
        """Coefficients from loss shares at a reference point.

        Parameters
        ----------
        nonzero_params, data_seen : float or array
            The reference point in the units that the coefficients shall have.
        **quantities
            ``reference_loss``; ``size`` and ``data``, the shares of the two terms in the sum that is raised to the
            power; ``alpha_N`` and ``alpha_D``.

        Returns
        -------
        dict
            The coefficients by name.
        """
        q = quantities
        total = q["reference_loss"] ** (1 / q["alpha_D"])
        return {
            "N_c": (total * q["size"]) ** (q["alpha_D"] / q["alpha_N"]) * nonzero_params,
            "D_c": total * q["data"] * data_seen,
            "alpha_N": q["alpha_N"],
            "alpha_D": q["alpha_D"],
        }

    def loss(self, *columns: Any, **coefficients: Any) -> Any:
        """Expected held-out loss, in the unit of the coefficients; all arguments broadcast."""
        return Coupled().loss(*columns, **_coupled(**coefficients))

    def terms(self, *columns: Any, **coefficients: Any) -> tuple[Any, Any]:
        """The terms of size and of data, whose sum is raised to the power."""
        return Coupled().terms(*columns, **_coupled(**coefficients))

    def dense_equivalent(self, sparsity: Any, *, alpha_N: Any, **_: Any) -> Any:
        """1 for each draw: a dense law knows of no other models."""
        return 1.0 + 0.0 * sparsity * alpha_N


def _coupled(*, N_c: Any, D_c: Any, alpha_N: Any, alpha_D: Any, **columns: Any) -> dict[str, Any]:
    """The law as the case of `Coupled` that it is: k = α_D, b_N = α_N / α_D, b_D = 1, and c = 0."""
    ratio = alpha_N / alpha_D
    size = {"a_S": 0.0, "b_S": 1.0, "c_S": N_c**ratio, "b_N": ratio}  # zeros make no difference
    return {**columns, **size, "a_D": D_c, "b_D": 1.0, "c": 0.0, "k": alpha_D}
