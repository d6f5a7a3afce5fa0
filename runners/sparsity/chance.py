"""Random numbers that hang on what they are for and on nothing else."""

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["normal_like", "random_scores"]


def random_scores(like: Tensor, seed: int, name: str, step: int = 0) -> Tensor:
    """Uniform numbers in [0, 1), one a weight: the same for the same arguments, on every device.

    Parameters
    ----------
    like : torch.Tensor
        Shape and device.
    seed : int
        Of the run.
    name : str
        Of the weight.
    step : int
        Where they are drawn anew as training goes on.
    """
    return torch.rand(like.shape, generator=_generator(seed, name, step)).to(like.device)


def normal_like(like: Tensor, shape: Sequence[int], seed: int, name: str) -> Tensor:
    """Standard normal numbers of a shape, on the device and in the precision of a tensor."""
    return torch.randn(tuple(shape), generator=_generator(seed, name, 0)).to(like)


def _generator(seed: int, name: str, step: int) -> torch.Generator:
    key = np.random.SeedSequence((seed, zlib.crc32(name.encode()), step)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(key[0] >> np.uint64(1)))
