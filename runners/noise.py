"""Noise on what a model reads and on what its layers pass on; it hangs on seed and step alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from runners.config import RunConfig
from runners.data.batches import Batches

__all__ = ["drawing", "training_batch"]

INPUT, DROPOUT = 3, 4  # keep these streams apart from those of the data


def training_batch(config: RunConfig, batches: Batches, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of a step, the inputs with the run's noise."""
    inputs, targets = batches.batch(step)
    if config.input_noise == 0:
        return inputs, targets
    rng = np.random.default_rng((config.seed, step, INPUT))
    if config.modality == "language":
        replaced = rng.random(inputs.shape) < config.input_noise
        return np.where(replaced, rng.integers(batches.classes, size=inputs.shape), inputs), targets
    return inputs + np.float32(config.input_noise) * rng.standard_normal(inputs.shape, dtype=np.float32), targets


@contextmanager
def drawing(config: RunConfig, step: int, device: torch.device) -> Iterator[None]:
    """Dropout in a step's forward pass draws what it would draw in any process; the caller's random state stays."""
    if config.dropout == 0:
        yield
        return
    key = np.random.SeedSequence((config.seed, step, DROPOUT)).generate_state(1, np.uint64)
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else []):
        torch.manual_seed(int(key[0] >> np.uint64(1)))
        yield
