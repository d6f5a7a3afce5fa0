"""Held-out loss."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from runners.data.batches import Batches
from runners.devices import autocast, batch_to
from runners.parallel import ONE, Ranks

__all__ = ["BATCH", "Heldout", "cross_entropy", "evaluate", "heldout_loss", "mean_and_error"]

BATCH = 256
"""Windows or examples at a time."""


@dataclass(frozen=True)
class Heldout:
    """The held-out loss of a run.

    Attributes
    ----------
    loss, error : float
        Cross-entropy in nats per token or example, and its sampling error; NaN for a run that has none. Of a mixture,
        the plain mean over its corpora, so that runs compare whatever their weights.
    parts : mapping of str to tuple of float
        Of a mixture, loss and error by corpus.
    """

    loss: float = math.nan
    error: float = math.nan
    parts: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    """Cross-entropy in nats over all targets: one for each example, or for each position of each window."""
    return functional.cross_entropy(logits.float().flatten(0, -2), targets.flatten(), reduction=reduction)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    heldout: tuple[np.ndarray, np.ndarray, np.ndarray],
    device: torch.device,
    precision: str,
    ranks: Ranks = ONE,
) -> tuple[float, float]:
    """Held-out cross-entropy in nats per token or example, and its sampling error.

    Parameters
    ----------
    model : torch.nn.Module
    heldout : tuple of ndarray
        Inputs, targets, and the document or picture that each item is from, as `Batches.heldout` gives them.
    device, precision
        Where and how.
    ranks : Ranks
        The processes that share the items out among themselves; all of them get the result.

    Returns
    -------
    loss, error : float
        The error treats documents and pictures as the units drawn, since what comes from one resembles itself.
    """
    inputs, targets, clusters = heldout
    own = ranks.share(len(inputs))
    own_inputs, own_targets = inputs[own], targets[own]
    model.eval()
    losses = []
    for start in range(0, len(own_inputs), BATCH):
        x, y = batch_to(device, own_inputs[start : start + BATCH], own_targets[start : start + BATCH])
        with autocast(device, precision):
            logits = model(x)
        loss = cross_entropy(logits, y, reduction="none").view(len(y), -1)
        losses.append(loss.mean(1).double().cpu().numpy())
    model.train()
    return mean_and_error(ranks.together(np.concatenate(losses), len(inputs)), clusters)


def heldout_loss(
    model: nn.Module, batches: Batches, count: int, device: torch.device, precision: str, ranks: Ranks = ONE
) -> Heldout:
    """Loss on up to `count` held-out windows or examples of the data, or of each of its parts; 0 means all.

    Parameters
    ----------
    model : torch.nn.Module
    batches : Batches
    count : int
    device, precision, ranks
        Where and how.
    """
    if not batches.parts:
        return Heldout(*evaluate(model, batches.heldout(count), device, precision, ranks))
    parts = {
        name: evaluate(model, part.heldout(count), device, precision, ranks) for name, part in batches.parts.items()
    }
    losses, errors = zip(*parts.values(), strict=True)
    return Heldout(math.fsum(losses) / len(parts), math.hypot(*errors) / len(parts), parts)


def mean_and_error(losses: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    """Mean of the items' losses and its standard error with clusters as the units drawn."""
    mean = losses.mean()
    by_cluster = np.bincount(clusters, weights=losses - mean)
    return float(mean), float(np.sqrt((by_cluster**2).sum()) / len(losses))
