"""A small decoder-only transformer over bytes, and the shape that gives it a wanted number of non-zero weights.

Pre-norm with RMSNorm, rotary positions, scaled dot-product attention, a GELU MLP, no biases, no dropout; input
embedding and output layer are untied. Depth and head size are fixed; size is scaled by width.

Shapes: B batch, T position, E model width, H head, K head size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bayes_scaling.runs import InputError

__all__ = ["VOCABULARY", "Shape", "Transformer", "solve_shape"]

VOCABULARY = 256
"""Bytes are the tokens."""


@dataclass(frozen=True)
class Shape:
    """Everything that fixes the number of weights.

    Attributes
    ----------
    layers : int
        Number of blocks.
    width : int
        Model width, a multiple of the head size.
    mlp_width : int
        Hidden width of the MLP.
    head_size : int
        Width of an attention head, 8 or 16.
    """

    layers: int
    width: int
    mlp_width: int
    head_size: int = 8

    @property
    def block_weights(self) -> int:
        """Prunable weights: the matrices of all blocks, zeros included."""
        return self.layers * (4 * self.width**2 + 2 * self.width * self.mlp_width)


def solve_shape(nonzero_params: int, sparsity: float, layers: int = 2, head_size: int = 8, group: int = 4) -> Shape:
    """The shape whose block weights times (1 - sparsity) come nearest to `nonzero_params`.

    Parameters
    ----------
    nonzero_params : int
        Wanted non-zero block weights.
    sparsity : float
        Final sparsity of the block weights.
    layers : int
        Number of blocks.
    head_size : int
        8 or 16; the model width is a multiple of it.
    group : int
        The MLP width is a multiple of it (for n:m, a multiple of m).

    Returns
    -------
    Shape
        Among shapes within .1 % of the target (else within 1 %) the one whose MLP is most nearly four times as
        wide as the model.

    Raises
    ------
    InputError
        No shape comes within 1 %.
    """
    if head_size not in (8, 16):
        raise InputError(f"head_size is {head_size}; allowed are 8 and 16")
    target = nonzero_params / (1 - sparsity)
    step = math.lcm(head_size, group)  # model widths are inputs too, so n:m groups must fit them
    candidates: list[tuple[bool, float, Shape]] = []
    for width in range(step, math.isqrt(int(target / (4 * layers))) + step, step):
        wanted = (target / layers - 4 * width**2) / (2 * width)
        for mlp_width in {group * math.floor(wanted / group), group * math.ceil(wanted / group)}:
            if mlp_width < group:
                continue
            shape = Shape(layers, width, mlp_width, head_size)
            error = abs(shape.block_weights / target - 1)
            if error <= 0.01:
                candidates.append((error > 0.001, abs(math.log(mlp_width / (4 * width))), shape))
    if not candidates:
        raise InputError(
            f"no {layers}-layer transformer of head size {head_size} has within 1 % of {nonzero_params} non-zero "
            f"block weights at sparsity {sparsity}; choose a larger nonzero_params"
        )
    return min(candidates, key=lambda c: c[:2])[2]


def rotary_angles(context: int, head_size: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the rotary angles, (T, K/2) each."""
    frequency = 10_000 ** (-torch.arange(0, head_size, 2) / head_size)
    angle = torch.outer(torch.arange(context), frequency)
    return angle.cos(), angle.sin()


def rotate(x_BHTK: Tensor, cos_TK: Tensor, sin_TK: Tensor) -> Tensor:
    """Rotate the two halves of every head by the angle of its position."""
    a, b = x_BHTK.chunk(2, dim=-1)
    return torch.cat((a * cos_TK - b * sin_TK, a * sin_TK + b * cos_TK), dim=-1)


class Block(nn.Module):
    """Attention and MLP, each with its norm before it and a residual around it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.head_size = shape.head_size
        self.attention_norm = nn.RMSNorm(shape.width)
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)
        self.mlp_norm = nn.RMSNorm(shape.width)
        self.up = nn.Linear(shape.width, shape.mlp_width, bias=False)
        self.down = nn.Linear(shape.mlp_width, shape.width, bias=False)

    def forward(self, x_BTE: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """One block."""
        B, T, E = x_BTE.shape
        qkv = self.qkv(self.attention_norm(x_BTE)).view(B, T, 3, E // self.head_size, self.head_size)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
        x_BTE = x_BTE + self.out(y.transpose(1, 2).reshape(B, T, E))
        return x_BTE + self.down(functional.gelu(self.up(self.mlp_norm(x_BTE))))


class Transformer(nn.Module):
    """The model. Its weights are drawn from torch's global random state.

    Parameters
    ----------
    shape : Shape
        Depth and widths.
    context : int
        Longest sequence, in bytes.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape, context: int) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(VOCABULARY, shape.width)
        blocks = [Block(shape) for _ in range(shape.layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.RMSNorm(shape.width)
        self.head = nn.Linear(shape.width, VOCABULARY, bias=False)
        cos, sin = rotary_angles(context, shape.head_size)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for layer in self.block_layers():
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        for block in blocks:  # keeps the residual stream's variance from growing with depth
            for layer in (block.out, block.down):
                layer.weight.data.mul_((2 * shape.layers) ** -0.5)
        nn.init.normal_(self.head.weight, std=0.5 * shape.width**-0.5)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits of the next byte, (B, T, 256)."""
        x = self.embedding(tokens_BT)
        T = tokens_BT.shape[1]
        for block in self.blocks:
            x = block(x, self.cos[:T], self.sin[:T])
        return self.head(self.norm(x))

    def block_layers(self) -> list[nn.Linear]:
        """The layers with the prunable weights that N counts."""
        return [layer for block in self.blocks for layer in block.children() if isinstance(layer, nn.Linear)]

    def embedding_layers(self) -> list[nn.Module]:
        """Input embedding and output layer."""
        return [self.embedding, self.head]

    @torch.no_grad()
    def count_parameters(self) -> dict[str, dict[str, int]]:
        """Weights in all and non-zero weights by component, counted on the weights that the model computes with."""

        def count(tensors: Sequence[Tensor]) -> dict[str, int]:
            return {
                "total": sum(t.numel() for t in tensors),
                "nonzero": sum(int(t.count_nonzero()) for t in tensors),
            }

        norms = [m.weight for m in self.modules() if isinstance(m, nn.RMSNorm)]
        return {
            "blocks": count([layer.weight for layer in self.block_layers()]),
            "embeddings": count([layer.weight for layer in self.embedding_layers()]),  # type: ignore[misc]
            "norms": count(norms),
        }
