"""Rotary positions (arXiv:2104.09864). The legend of shape suffixes is in `blocks`."""

import torch
from torch import Tensor

__all__ = ["BASE", "rotary_angles", "rotate"]

BASE = 10_000
"""Wavelengths run from 2 pi positions to almost 2 pi times this."""


def rotary_angles(context: int, head_size: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the rotary angles, (T, K/2) each."""
    frequency = BASE ** (-torch.arange(0, head_size, 2) / head_size)
    angle_TF = torch.outer(torch.arange(context), frequency)
    return angle_TF.cos(), angle_TF.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the two halves of every head, the last dimension, by the angle of its position."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
