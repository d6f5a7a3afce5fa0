"""A vision transformer (arXiv:2010.11929) in the plain form of arXiv:2205.01580.

Fixed 2-D sine-cosine positions and mean pooling, which do as well as learned positions and a class token or better
(arXiv:2205.01580), and leave nothing outside blocks, patch embedding and head that has weights.
"""

import math

import torch
from torch import Tensor, nn

from bayes_scaling.runs import InputError
from runners.models.base import Family, Model
from runners.models.blocks import Block, draw_block_weights, draw_head
from runners.models.flops import FIRST_LAYER, FORWARD_BACKWARD
from runners.models.shapes import Shape, solve_shape

__all__ = ["FAMILY", "ViT"]

QUARTERS = 4
"""Sine and cosine of each of two coordinates: the model width is a multiple of it."""


class ViT(Model):
    """The model. Its weights are drawn from torch's global random state.

    Parameters
    ----------
    shape : Shape
        Depth and widths; the width is a multiple of 4.
    classes : int
        Number of labels.
    image_shape : tuple of int
        (C, height, width), of which patches are cut.
    patch_size : int
        Side of a patch, in pixels; divides height and width.

    Raises
    ------
    InputError
        The width or the image does not divide.
    """

    embedding_names = ("patch_embedding", "head")
    places: Tensor

    def __init__(self, shape: Shape, classes: int, image_shape: tuple[int, int, int], patch_size: int) -> None:
        super().__init__()
        channels, height, width = image_shape
        if patch_size < 1 or height % patch_size or width % patch_size:
            raise InputError(f"patch_size is {patch_size}; a divisor of {height} x {width} pixels is needed")
        if shape.width % QUARTERS:
            raise InputError(f"width is {shape.width}; a ViT needs a multiple of {QUARTERS}")
        self.shape, self.patch_size = shape, patch_size
        rows, columns = height // patch_size, width // patch_size
        self.positions = self.positions_per_unit = rows * columns
        self.patch_embedding = nn.Linear(channels * patch_size**2, shape.width, bias=False)
        blocks = [Block(shape, causal=False) for _ in range(shape.layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.RMSNorm(shape.width)
        self.head = nn.Linear(shape.width, classes, bias=False)
        self.register_buffer("places", sine_cosine_places(rows, columns, shape.width), persistent=False)
        nn.init.normal_(self.patch_embedding.weight, std=self.patch_embedding.in_features**-0.5)
        draw_block_weights(blocks)
        draw_head(self.head)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits of the label, (B, V); here H and W are the image's height and width."""
        x_BTE = self.patch_embedding(patches(images_BCHW, self.patch_size)) + self.places
        for block in self.blocks:
            x_BTE = block(x_BTE)
        logits_BV: Tensor = self.head(self.norm(x_BTE).mean(dim=1))
        return logits_BV

    def flops_per_weight(self) -> dict[str, int]:
        """Training FLOPs per non-zero weight and example: once a patch, and the head once."""
        T = self.positions
        return {"blocks": FORWARD_BACKWARD * T, "patch_embedding": FIRST_LAYER * T, "head": FORWARD_BACKWARD}


def patches(images_BCHW: Tensor, size: int) -> Tensor:
    """Square patches, row by row, each flattened: (B, T, C size^2)."""
    B, C, H, W = images_BCHW.shape
    cut = images_BCHW.reshape(B, C, H // size, size, W // size, size)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(B, (H // size) * (W // size), C * size**2)


def sine_cosine_places(rows: int, columns: int, width: int) -> Tensor:
    """Fixed positions, (rows x columns, width): sine and cosine of row and column at width / 4 frequencies."""
    frequency = 10_000 ** (-torch.arange(width // QUARTERS) / (width // QUARTERS))
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = [torch.outer(coordinate.flatten(), frequency) for coordinate in (row, column)]
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1)


def solve(nonzero_params: int, sparsity: float, *, multiple_of: int = 4, **knobs: object) -> Shape:
    """As `shapes.solve_shape`, with widths that have room for the positions."""
    return solve_shape(nonzero_params, sparsity, multiple_of=math.lcm(multiple_of, QUARTERS), **knobs)  # type: ignore[arg-type]


def build(shape: Shape, classes: int, input_shape: tuple[int, ...], patch_size: int = 4) -> ViT:
    """A ViT with `classes` labels, for images of `input_shape` (C, height, width)."""
    if len(input_shape) != 3:
        raise InputError(f"a ViT reads images of shape (C, height, width), found {input_shape}")
    channels, height, width = input_shape
    return ViT(shape, classes, (channels, height, width), patch_size)


FAMILY = Family("vit", "vision", solve, build, options=("patch_size",))
