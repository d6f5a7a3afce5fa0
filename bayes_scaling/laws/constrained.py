"""The law of Muennighoff et al.: repeated data is worth less and less, and so is more size than it can feed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bayes_scaling.laws.base import Coefficient, Law, Pooled, Prior, Published, Read
from bayes_scaling.laws.dense import OF_DENSE, Dense, dense_only
from bayes_scaling.laws.sparse import PRIORS

__all__ = ["DataConstrained", "worth"]


def _priors() -> dict[str, Prior]:
    """Those of `Dense`, and how many repetitions are worth something."""
    priors: dict[str, Prior] = {name: PRIORS[name] for name in OF_DENSE}
    return priors | {
        "R_D": Pooled(center=10.0, sd=1.0, spread=0.4, link="log", over=("modality",)),
        "R_N": Pooled(center=10.0, sd=1.0, spread=0.4, link="log", over=("modality",)),
    }


def worth(amount: Any, unique: Any, half_life: Any) -> Any:
    """What an amount is worth of which only a part is new: unique (1 + R* (1 - e^(-R / R*))), R = amount / unique - 1.

    Repetitions are worth as much as new data at first, and all of them together R* times the unique part.
    """
    excess = amount / unique - 1
    return unique * (1 + half_life * (1 - math.e ** (-excess / half_life)))


@dataclass(frozen=True)
class DataConstrained(Law):
    """L = A N_eff^-b_N + (a_D / D_eff)^b_D + c, with D_eff and N_eff what data and parameters are worth.

    Of D tokens, U are unique: D_eff = U (1 + R*_D (1 - e^(-R_D / R*_D))) with R_D = D / U - 1 repetitions. Likewise
    parameters beyond U_N, the size that is compute-optimal for U tokens, N_eff = U_N (1 + R*_N (1 - e^(-R_N / R*_N))).
    Without repetition, and up to that size, this is `dense`.

    References
    ----------
    Muennighoff et al., "Scaling Data-Constrained Language Models", arXiv:2305.16264, Eqs. 5 and 6.
    """

    name = "data_constrained"
    reference = "Muennighoff et al. (2023), arXiv:2305.16264, Eqs. 5 and 6"
    latex = r"L = A N_\mathrm{eff}^{-b_N} + \left(a_D / D_\mathrm{eff}\right)^{b_D} + c"
    coefficients: ClassVar[dict[str, Coefficient]] = {
        **Dense.coefficients,
        "R_D": Coefficient("1", ("modality",), "R*_D: unique data that all repetitions together are worth"),
        "R_N": Coefficient("1", ("modality",), "R*_N: the same of parameters beyond what the data can feed"),
    }
    published: ClassVar[dict[str, Published]] = {
        "c4": Published(
            "C4, Muennighoff et al. (2023), arXiv:2305.16264, digits of its public code (huggingface/datablations)",
            {
                "A": math.exp(6.255414),
                "b_N": 0.3526596,
                "a_D": math.exp(7.3049974 / 0.3526596),
                "b_D": 0.3526596,
                "c": math.exp(0.6254804),
                "R_D": 15.387756,
                "R_N": 5.309743,
            },
        ),
    }
    reads: ClassVar[dict[str, Read]] = {"unique_data": Read(per="data_seen", absent="data_seen")}

    prunes: ClassVar[bool] = False

    priors: Mapping[str, Prior] = field(default_factory=_priors)

    def check(self, runs: Any) -> None:
        """Refuse sparse runs."""
        dense_only(self.name, runs)

    def from_shares(self, **quantities: Any) -> dict[str, Any]:
        """Coefficients from loss shares at a reference point, as those of `Dense`, and the worth of repetitions."""
        own = {name: quantities.pop(name) for name in ("R_D", "R_N")}
        return {**Dense().from_shares(**quantities), **own}

    def loss(
        self,
        sparsity: Any,
        nonzero_params: Any,
        data_seen: Any,
        pretrain_data: Any = 0.0,
        *,
        unique_data: Any = None,
        R_D: Any,
        R_N: Any,
        **coefficients: Any,
    ) -> Any:
        """Expected held-out loss, in the unit of the coefficients; all arguments broadcast, and all data is new unless
        ``unique_data`` is said.
        """
        if unique_data is None:
            return Dense().loss(sparsity, nonzero_params, data_seen, pretrain_data, **coefficients)
        A, b_N, a_D, b_D = (coefficients[name] for name in ("A", "b_N", "a_D", "b_D"))
        # Where the marginal gains of size and data over unique data are equal, as 6 N D asks.
        fed = (b_N * A / (b_D * a_D**b_D)) ** (1 / b_N) * unique_data ** (b_D / b_N)
        base = _least(nonzero_params, fed)
        size = worth(nonzero_params, base, R_N)
        return Dense().loss(sparsity, size, worth(data_seen, unique_data, R_D), pretrain_data, **coefficients)

    def dense_equivalent(self, sparsity: Any, **coefficients: Any) -> Any:
        """1 for each draw: a dense law knows of no other models."""
        return Dense().dense_equivalent(sparsity, **coefficients)


def _least(one: Any, other: Any) -> Any:
    """The smaller of two, by operators that complex steps go through unharmed."""
    return (one + other - ((one - other) ** 2) ** 0.5) / 2
