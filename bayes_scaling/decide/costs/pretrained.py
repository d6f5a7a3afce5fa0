"""A sparse phase that starts from a trained dense model, whose training is sunk or paid for."""

from dataclasses import dataclass, field
from typing import Any

from bayes_scaling.decide.costs.base import Cost
from bayes_scaling.decide.costs.gradual import Gradual
from bayes_scaling.errors import InputError

__all__ = ["Pretrained"]


@dataclass(frozen=True)
class Pretrained(Cost):
    """Another cost model for the sparse phase, after a dense phase of N / (1 - S) parameters.

    Where the dense phase counts, it costs ``flops_per_unit`` · N / (1 - S) · ``pretrain_data`` FLOPs, which come off
    the budget before data is bought. Sparser models start from larger dense ones, so a budget ends at the sparsity
    whose dense phase takes all of it.

    Parameters
    ----------
    base : Cost
        Of the sparse phase: `Gradual` where it begins dense and is pruned, `Static` where it is pruned at once.
    counted : bool
        Whether the budget pays for the dense phase; if not, the dense model is there already and its cost is sunk.

    References
    ----------
    Frantar et al., arXiv:2309.08520, who sparsify pretrained models.
    """

    name = "pretrained"
    reference = "Frantar et al. (2023), arXiv:2309.08520"

    base: Cost = field(default_factory=Gradual)
    counted: bool = False
    serves_sparse: bool = field(init=False)
    """As of ``base``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "serves_sparse", self.base.serves_sparse)

    def multiplier(self, sparsity: Any) -> Any:
        """FLOPs of the sparse phase over those of a dense model of the same non-zero size."""
        return self.base.multiplier(sparsity)

    def upfront(self, nonzero_params: Any, sparsity: Any, pretrain_data: Any, flops_per_unit: Any) -> Any:
        """FLOPs of the dense phase, where they count.

        Raises
        ------
        InputError
            If there was no dense phase.
        """
        if not pretrain_data > 0:
            raise InputError(
                f"pretrain_data is {pretrain_data}; with cost 'pretrained' it is the data of the dense phase, above 0, "
                "and the strategy is 'pretrained'"
            )
        dense = flops_per_unit * nonzero_params / (1 - sparsity) * pretrain_data
        return dense * 1.0 if self.counted else 0.0

    def sparse_share(self, sparsity: Any) -> Any:
        """Share of the sparse phase at the final sparsity."""
        return self.base.sparse_share(sparsity)

    def for_structure(self, structure: str) -> Cost:
        """The same start with the sparse phase of that structure."""
        return Pretrained(self.base.for_structure(structure), self.counted)
