"""Training FLOPs by formula, per unit of data: what a step would cost if zeros were free.

A weight that is not zero takes part in one multiplication and one addition forward, and in two of each backward: for
the gradient of its input and its own. That makes 6 (arXiv:2001.08361). Norms, activations and softmax are left out.
"""

from dataclasses import dataclass

from runners.models.base import Model

__all__ = ["FIRST_LAYER", "FORWARD_BACKWARD", "LOOKUP", "TrainFlops", "train_flops"]

FORWARD_BACKWARD = 6
FIRST_LAYER = 4
"""Nobody asks for the gradient of the data."""
LOOKUP = 0
"""An embedding of tokens is no product."""


@dataclass(frozen=True)
class TrainFlops:
    """Training FLOPs per unit of data, a token or an example.

    Attributes
    ----------
    blocks : int
        Products with the weights of the blocks: what ``6 N D`` counts.
    embeddings : int
        Products with the weights of the layers outside the blocks.
    attention : int
        Queries with keys and scores with values, all pairs of positions, also where a causal mask hides half of them
        (the convention of arXiv:2204.02311); they have no weights and sparsity leaves them alone.
    """

    blocks: int
    embeddings: int
    attention: int

    @property
    def total(self) -> int:
        """All three."""
        return self.blocks + self.embeddings + self.attention


def train_flops(model: Model, counts: dict[str, dict[str, int]]) -> TrainFlops:
    """FLOPs of forward and backward pass per unit of data, at the density of `counts`.

    Parameters
    ----------
    model : Model
        Its shape and what it does with a weight.
    counts : dict
        From `parameters.count_parameters`, at the time in question: the sum over a training run's steps is the
        integral over its density.

    Returns
    -------
    TrainFlops
        By what is multiplied.
    """
    parts = {part: each * counts[part]["nonzero"] for part, each in model.flops_per_weight().items()}
    # Two products of E multiplications and additions for each pair of positions, forward; twice that backward.
    attention = 12 * model.shape.layers * model.shape.width * model.positions * model.positions_per_unit
    return TrainFlops(parts.pop("blocks"), sum(parts.values()), attention)
