"""How many weights a model has, and how many of them are not zero."""

from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from runners.models.base import Model
from runners.shards import whole

__all__ = ["count_parameters", "embeddings"]

Counts = dict[str, dict[str, int]]


@torch.no_grad()
def count_parameters(model: Model) -> Counts:
    """Weights by part, counted on the weights that the model computes with.

    Where there is a mask, what it lets through counts, also if it happens to be zero: a connection that has just grown
    is in use.

    Parameters
    ----------
    model : Model
        Masked or not.

    Returns
    -------
    dict
        ``total`` and ``nonzero`` of ``blocks`` (what N counts), of every embedding layer by its name, and of
        ``norms``. The parts sum to all parameters.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.RMSNorm)]
    layers: dict[str, list[nn.Module]] = {"blocks": list(model.block_layers())}
    layers |= {name: [layer] for name, layer in zip(model.embedding_names, model.embedding_layers(), strict=True)}
    layers["norms"] = list(norms)
    weights = {part: [_connections(layer) for layer in of] for part, of in layers.items()}
    # One transfer from the device for all of them.
    nonzero = iter(torch.stack([whole(weight.count_nonzero()) for weight in chain(*weights.values())]).tolist())
    return {
        part: {"total": sum(weight.numel() for weight in of), "nonzero": sum(next(nonzero) for _ in of)}
        for part, of in weights.items()
    }


def _connections(layer: nn.Module) -> Tensor:
    """What is not zero where a layer has a connection: its mask, or its weight."""
    if parametrize.is_parametrized(layer, "weight"):
        mask = getattr(layer.get_submodule("parametrizations.weight.0"), "mask", None)
        if isinstance(mask, Tensor):
            return mask
    weight: Tensor = layer.weight  # type: ignore[assignment]
    return weight


def embeddings(counts: Counts) -> dict[str, int]:
    """The sum over the parts outside blocks and norms."""
    parts = [count for part, count in counts.items() if part not in ("blocks", "norms")]
    return {kind: sum(count[kind] for count in parts) for kind in ("total", "nonzero")}
