"""A decoder-only transformer on tokens: rotary positions, input embedding and output layer untied."""

from torch import Tensor, nn

from bayes_scaling.runs import InputError
from runners.models.base import Family, Model
from runners.models.blocks import Block, draw_block_weights, draw_head
from runners.models.flops import FORWARD_BACKWARD, LOOKUP
from runners.models.rotary import rotary_angles
from runners.models.shapes import Shape, solve_shape

__all__ = ["FAMILY", "Decoder"]


class Decoder(Model):
    """The model. Its weights are drawn from torch's global random state.

    Parameters
    ----------
    shape : Shape
        Depth and widths.
    vocabulary : int
        Number of tokens there are.
    context : int
        Longest sequence, in tokens.
    """

    embedding_names = ("token_embedding", "head")
    positions_per_unit = 1
    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape, vocabulary: int, context: int) -> None:
        super().__init__()
        self.shape, self.positions = shape, context
        # Layers are made in this order, and drawn in this order: a seed stands for the same weights for good.
        self.token_embedding = nn.Embedding(vocabulary, shape.width)
        blocks = [Block(shape, causal=True) for _ in range(shape.layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.RMSNorm(shape.width)
        self.head = nn.Linear(shape.width, vocabulary, bias=False)
        cos, sin = rotary_angles(context, shape.head_size)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        draw_block_weights(blocks)
        draw_head(self.head)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits of the next token, (B, T, V)."""
        x_BTE = self.token_embedding(tokens_BT)
        T = tokens_BT.shape[1]
        rotary = self.cos[:T], self.sin[:T]
        for block in self.blocks:
            x_BTE = block(x_BTE, rotary)
        logits_BTV: Tensor = self.head(self.norm(x_BTE))
        return logits_BTV

    def flops_per_weight(self) -> dict[str, int]:
        """Training FLOPs per non-zero weight and token."""
        return {"blocks": FORWARD_BACKWARD, "token_embedding": LOOKUP, "head": FORWARD_BACKWARD}


def build(shape: Shape, classes: int, input_shape: tuple[int, ...]) -> Decoder:
    """A decoder whose vocabulary is `classes`, for sequences of `input_shape` (T,)."""
    if len(input_shape) != 1:
        raise InputError(f"a decoder reads sequences of shape (T,), found {input_shape}")
    return Decoder(shape, classes, input_shape[0])


FAMILY = Family("decoder", "language", solve_shape, build)
