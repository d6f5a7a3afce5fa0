"""The block that all transformers here are made of: pre-norm with RMSNorm, no biases, dropout on request.

Shapes, in every file of this package: B batch, T position, E model width, H head, K head size, F half of K,
C channel, V classes (of a decoder: the vocabulary). A name's suffix tells the dimensions, `x_BTE`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from runners.models.rotary import rotate
from runners.models.shapes import Shape

__all__ = ["Block", "attention_under_vmap", "block_layers", "draw_block_weights", "draw_head"]


class Block(nn.Module):
    """Attention and MLP, each with its norm before it and a residual around it.

    Parameters
    ----------
    shape : Shape
        Widths, head size and activation.
    causal : bool
        Whether a position sees only itself and what came before.

    Attributes
    ----------
    dropout : float
        Share of what attention and MLP add to the residual stream that is dropped in training.
    """

    def __init__(self, shape: Shape, causal: bool) -> None:
        super().__init__()
        self.head_size, self.causal, self.gated = shape.head_size, causal, shape.activation == "swiglu"
        self.dropout = 0.0
        self.attention_norm = nn.RMSNorm(shape.width)
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)
        self.mlp_norm = nn.RMSNorm(shape.width)
        self.up = nn.Linear(shape.width, shape.mlp_width, bias=False)
        self.down = nn.Linear(shape.mlp_width, shape.width, bias=False)
        if self.gated:
            self.gate = nn.Linear(shape.width, shape.mlp_width, bias=False)

    def forward(self, x_BTE: Tensor, rotary: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """One block; `rotary` holds cosine and sine, (T, F) each, where positions are rotary."""
        x_BTE = x_BTE + self.dropped(self.attention(self.attention_norm(x_BTE), rotary))
        return x_BTE + self.dropped(self.mlp(self.mlp_norm(x_BTE)))

    def dropped(self, x_BTE: Tensor) -> Tensor:
        """What is left of it in training."""
        return functional.dropout(x_BTE, self.dropout, self.training) if self.dropout else x_BTE

    def attention(self, x_BTE: Tensor, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        """Self-attention, scaled by the square root of the head size."""
        B, T, E = x_BTE.shape
        qkv = self.qkv(x_BTE).view(B, T, 3, E // self.head_size, self.head_size)
        qk, v = qkv[:, :, :2], qkv[:, :, 2]
        if rotary is not None:
            cos, sin = (angle[:, None, None] for angle in rotary)
            # Both in one go, before heads are split off: few operations, on memory in order.
            qk = rotate(qk, cos, sin)
        q_BHTK, k_BHTK = qk.permute(2, 0, 3, 1, 4)
        y_BHTK = functional.scaled_dot_product_attention(q_BHTK, k_BHTK, v.transpose(1, 2), is_causal=self.causal)
        y_BTE: Tensor = self.out(y_BHTK.transpose(1, 2).reshape(B, T, E))
        return y_BTE

    def mlp(self, x_BTE: Tensor) -> Tensor:
        """GELU, or SiLU of a gate times the hidden layer."""
        hidden = self.up(x_BTE)
        y_BTE: Tensor = self.down(functional.silu(self.gate(x_BTE)) * hidden if self.gated else functional.gelu(hidden))
        return y_BTE


def block_layers(blocks: Sequence[nn.Module]) -> list[nn.Linear]:
    """The matrices of blocks, in order."""
    return [layer for block in blocks for layer in block.children() if isinstance(layer, nn.Linear)]


def draw_block_weights(blocks: Sequence[Block]) -> None:
    """Normal weights that keep variance, smaller where they write to the residual stream, lest depth grow it."""
    for layer in block_layers(blocks):
        nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
    with torch.no_grad():
        for block in blocks:
            for layer in (block.out, block.down):
                layer.weight.mul_((2 * len(blocks)) ** -0.5)


def draw_head(head: nn.Linear) -> None:
    """Small logits at first, near the loss of knowing nothing; not zero, so that non-zero weights can be counted."""
    nn.init.normal_(head.weight, std=0.5 * head.in_features**-0.5)


def attention_under_vmap() -> AbstractContextManager[None]:
    """Make attention batch under `torch.vmap`; put it around forward and backward of stacked models.

    The fused kernels of the CPU have no batching rule: `vmap` then warns and calls them once a model. The plain
    products have one. Outside `vmap` the fused kernels are as fast or faster, so nothing is set there.
    """
    return sdpa_kernel(SDPBackend.MATH)
