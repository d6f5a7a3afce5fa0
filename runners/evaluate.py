"""Held-out loss."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from runners.devices import autocast, batch_to

__all__ = ["BATCH", "cross_entropy", "evaluate", "mean_and_error"]

BATCH = 256
"""Windows or examples at a time."""


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    """Cross-entropy in nats over all targets: one for each example, or for each position of each window."""
    return functional.cross_entropy(logits.float().flatten(0, -2), targets.flatten(), reduction=reduction)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    heldout: tuple[np.ndarray, np.ndarray, np.ndarray],
    device: torch.device,
    precision: str,
) -> tuple[float, float]:
    """Held-out cross-entropy in nats per token or example, and its sampling error.

    Parameters
    ----------
    model : torch.nn.Module
    heldout : tuple of ndarray
        Inputs, targets, and the document or picture that each item is from, as `Batches.heldout` gives them.
    device, precision
        Where and how.

    Returns
    -------
    loss, error : float
        The error treats documents and pictures as the units drawn, since what comes from one resembles itself.
    """
    inputs, targets, clusters = heldout
    model.eval()
    losses = []
    for start in range(0, len(inputs), BATCH):
        x, y = batch_to(device, inputs[start : start + BATCH], targets[start : start + BATCH])
        with autocast(device, precision):
            logits = model(x)
        loss = cross_entropy(logits, y, reduction="none").view(len(y), -1)
        losses.append(loss.mean(1).double().cpu().numpy())
    model.train()
    return mean_and_error(np.concatenate(losses), clusters)


def mean_and_error(losses: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    """Mean of the items' losses and its standard error with clusters as the units drawn."""
    mean = losses.mean()
    by_cluster = np.bincount(clusters, weights=losses - mean)
    return float(mean), float(np.sqrt((by_cluster**2).sum()) / len(losses))
