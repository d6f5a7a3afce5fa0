"""The law of Frantar et al. with size and data coupled: their terms are added first and raised to a power."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bayes_scaling.laws.base import Coefficient, Law, Pooled, Prior, Published
from bayes_scaling.laws.sparse import PRIORS, Sparse

__all__ = ["Coupled"]


def _priors() -> dict[str, Prior]:
    """Those of `Sparse`, and one for the power, which steepens slopes k times."""
    priors: dict[str, Prior] = {}
    for name, prior in PRIORS.items():
        if name == "b_N":
            priors["k"] = Pooled(center=1.0, sd=0.3, spread=0.4, link="log", over=("modality",))
        if isinstance(prior, Pooled) and prior.slope_of:
            prior = Pooled(**(vars(prior) | {"slope_of": (*prior.slope_of, "k")}))
        priors[name] = prior
    return priors


@dataclass(frozen=True)
class Coupled(Law):
    """L(S, N, D) = ((a_S (1 - S)^b_S + c_S) N^-b_N + (a_D / D)^b_D)^k + c.

    The law of Frantar et al. (`Sparse`) is the case k = 1. With k below 1 a shortage of parameters hides a shortage
    of data, and the other way round; with k above 1 they aggravate each other. Dense, and with k = b_D, this is the
    form that Kaplan et al. used. What sparsity is optimal, and the dense-equivalent multiplier, do not depend on k
    given the other coefficients.

    References
    ----------
    Frantar et al., arXiv:2309.08520, for the terms; Kaplan et al., arXiv:2001.08361, Eq. 1.5, for coupling them.
    """

    name = "coupled"
    reference = "Frantar et al. (2023), arXiv:2309.08520, coupled as in Kaplan et al. (2020), arXiv:2001.08361, Eq. 1.5"
    latex = r"L = \left(\left(a_S (1 - S)^{b_S} + c_S\right) N^{-b_N} + \left(a_D / D\right)^{b_D}\right)^k + c"
    coefficients: ClassVar[dict[str, Coefficient]] = {
        **{
            name: Coefficient(c.units.replace("loss ×", "loss^(1/k) ×"), c.over, c.meaning)
            for name, c in Sparse.coefficients.items()
        },
        "k": Coefficient("1", ("modality",), "power that couples the size and data terms; 1 adds them up"),
    }
    published: ClassVar[dict[str, Published]] = {}

    priors: Mapping[str, Prior] = field(default_factory=_priors)

    def from_shares(self, *, nonzero_params: Any = 1.0, data_seen: Any = 1.0, **quantities: Any) -> dict[str, Any]:
        """Coefficients from loss shares at a reference point.

        Parameters
        ----------
        nonzero_params, data_seen : float or array
            The reference point in the units that the coefficients shall have; 1 gives coefficients relative to it.
        **quantities
            As for `Sparse`, and ``k``. ``size`` and ``data`` share what is above irreducible loss as their terms share
            the sum that is raised to the power.

        Returns
        -------
        dict
            The coefficients by name.
        """
        q = quantities
        above = q["size"] + q["data"]
        total = (q["reference_loss"] * above) ** (1 / q["k"])
        inner = {"reference_loss": total, "size": q["size"] / above, "data": q["data"] / above, "irreducible": 0.0}
        plain = Sparse().from_shares(nonzero_params=nonzero_params, data_seen=data_seen, **q | inner)
        return plain | {"c": q["reference_loss"] * q["irreducible"], "k": q["k"]}

    def loss(
        self,
        sparsity: Any,
        nonzero_params: Any,
        data_seen: Any,
        pretrain_data: Any = 0.0,
        *,
        c: Any,
        k: Any,
        **coefficients: Any,
    ) -> Any:
        """Expected held-out loss, in nats or the runs' unit; all arguments broadcast."""
        size, data = self.terms(sparsity, nonzero_params, data_seen, pretrain_data, **coefficients)
        return (size + data) ** k + c

    def terms(self, *columns: Any, k: Any = 1.0, **coefficients: Any) -> tuple[Any, Any]:  # noqa: ARG002
        """Those of `Sparse`, which are added up before the power is taken."""
        return Sparse().terms(*columns, **coefficients)

    def dense_equivalent(self, sparsity: Any, **coefficients: Any) -> Any:
        """Dense parameters per non-zero parameter at equal loss and data; independent of N, D and k."""
        return Sparse().dense_equivalent(sparsity, **coefficients)
