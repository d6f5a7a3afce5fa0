"""The law of Jin et al.: what counts is the average number of parameters over training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bayes_scaling.decide.costs.gradual import Gradual
from bayes_scaling.laws.base import Coefficient, Law, Prior, Published, Read
from bayes_scaling.laws.dense import OF_DENSE, Dense
from bayes_scaling.laws.sparse import PRIORS

__all__ = ["Average"]


@dataclass(frozen=True)
class Average(Law):
    """L(N_avg, D) = A N_avg^-b_N + (a_D / D)^b_D + c, N_avg the parameters in use, averaged over training.

    Runs at equal average size cost the same to train, so this says that sparse and dense training reach equal losses
    for equal compute, and that zeros save inference alone. Runs state their average as ``mean_params``; without it,
    gradual pruning by a cubic ramp from 25 to 75 % of training is meant, N_avg = N c_mul(S) with the multiplier of the
    cost model `gradual`. Nothing about sparsity is fitted.

    References
    ----------
    Jin et al., "The Journey Matters: Average Parameter Count over Pre-training Unifies Sparse and Dense Scaling Laws",
    arXiv:2501.12486.
    """

    name = "average"
    reference = "Jin et al. (2025), arXiv:2501.12486"
    latex = r"L = A \bar{N}^{-b_N} + \left(a_D / D\right)^{b_D} + c"
    coefficients: ClassVar[dict[str, Coefficient]] = Dense.coefficients
    published: ClassVar[dict[str, Published]] = {}
    reads: ClassVar[dict[str, Read]] = {"mean_params": Read(per="nonzero_params", absent=None)}

    priors: Mapping[str, Prior] = field(default_factory=lambda: {name: PRIORS[name] for name in OF_DENSE})

    def from_shares(self, **quantities: Any) -> dict[str, Any]:
        """Coefficients from loss shares at a reference point, as those of `Dense`."""
        return Dense().from_shares(**quantities)

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
        mean_params: Any = None,
        **coefficients: Any,
    ) -> tuple[Any, Any]:
        """Those of `Dense` for a model of the average size."""
        size = nonzero_params * Gradual().multiplier(sparsity) if mean_params is None else mean_params
        return Dense().terms(0.0, size, data_seen, pretrain_data, **coefficients)

    def dense_equivalent(self, sparsity: Any, *, A: Any, **_: Any) -> Any:
        """Average size over non-zero size, the same for each draw; independent of N and D."""
        return Gradual().multiplier(sparsity) + 0.0 * A
