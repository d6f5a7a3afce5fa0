"""What the runners ask of a model and of a family of models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from bayes_scaling.runs import InputError
from runners.models.blocks import Block, block_layers
from runners.models.shapes import Shape

__all__ = ["Family", "Model"]


class Model(nn.Module):
    """A transformer with prunable blocks; its weights are drawn from torch's global random state.

    Every weight belongs to a layer of a block, to an embedding layer or to an RMSNorm.

    Attributes
    ----------
    shape : Shape
        Depth and widths.
    positions : int
        Positions that attend to each other: the context, or the patches of an image.
    positions_per_unit : int
        Positions in a unit of data: 1 for a token, all of them for an example.
    embedding_names : tuple of str
        Attributes that hold the layers outside the blocks, in the order in which data comes to them: the last one makes
        the logits.
    """

    embedding_names: ClassVar[tuple[str, ...]]
    shape: Shape
    positions: int
    positions_per_unit: int
    blocks: nn.ModuleList

    def block_layers(self) -> list[nn.Linear]:
        """The layers with the prunable weights that N counts."""
        return block_layers(list(self.blocks))

    def embedding_layers(self) -> list[nn.Module]:
        """The layers outside the blocks: what turns data into vectors, and vectors into logits."""
        return [getattr(self, name) for name in self.embedding_names]

    def set_dropout(self, share: float) -> None:
        """Drop a share of what every block adds to the residual stream, in training."""
        for block in self.blocks:
            if not isinstance(block, Block):
                raise InputError(f"model {type(self).__name__} has no dropout, found dropout {share:g}")
            block.dropout = share

    def flops_per_weight(self) -> dict[str, int]:
        """Training FLOPs per non-zero weight and unit of data, for ``blocks`` and every name in `embedding_names`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Family:
    """Models that differ in shape only.

    Attributes
    ----------
    name : str
        What it is registered as.
    modality : str
        ``language`` or ``vision``.
    solve : callable
        ``solve(nonzero_params, sparsity, **knobs) -> Shape``, with the knobs of `shapes.solve_shape`.
    build : callable
        ``build(shape, classes, input_shape, **options) -> Model``; `classes` is the size of the logits and
        `input_shape` that of one example: (T,) tokens or (C, height, width).
    options : tuple of str
        Names of what else `build` takes.
    """

    name: str
    modality: str
    solve: Callable[..., Shape]
    build: Callable[..., Model]
    options: tuple[str, ...] = ()
