"""Parametrizations whose best learning rate stays put while a model gets wider or sparser.

``mup`` goes by a matrix's inputs, ``smupar`` by those of them that are in use: inputs times density, the effective
width. With m the (effective) inputs over those of the same matrix in a dense model of the base width, m_d and m_rho its
two factors, and everything else as in the standard parametrization:

| weights | initial deviation | learning rate | weight decay |
|---|---|---|---|
| input layer, norms | × 1 | × 1 | × 1 |
| matrices of blocks | × m_rho^-1/2, beside inputs^-1/2 as ever | / m | × m |
| output layer | × (m_d^1/2 m_rho)^-1, beside inputs^-1/2 as ever | / m | × m |

The published tables multiply logits by 1 / m where the last row has the output layer's weights and rate: under Adam
the two are one. So models compute as ever, and trained ones are kept as ever. Decay goes up as the rate goes down,
because AdamW removes their product at every step. The published 1 / head size in attention differs from our
1 / sqrt(head size) by a constant: models get wider by more heads of one size. Depth is no part of it.

The density is that which the schedule asks for at the step: of the initial weights at step 0, of the rates at each
step. An update adds up over the inputs in use, however large their weights are, so the rate has to go by how many
there are now; a run that starts dense starts as a dense one does.

References
----------
Yang et al., arXiv:2203.03466, Table 8, for the width; Dey et al., arXiv:2405.15743, Table 1, for the effective width,
there for static random masks.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from bayes_scaling.runs import InputError
from runners.models.base import Model
from runners.models.shapes import ACTIVATIONS
from runners.rates import learning_rate
from runners.sparsity.sparsifier import embedding_sparsity

if TYPE_CHECKING:
    from runners.config import RunConfig

__all__ = ["PARAMETRIZATIONS", "check_parametrization", "parameter_groups", "scale_start", "set_rates"]

PARAMETRIZATIONS = ("standard", "mup", "smupar")


def check_parametrization(config: "RunConfig") -> None:
    """Refuse what the rules do not hold for.

    Raises
    ------
    InputError
        With the reason.
    """
    if config.parametrization == "standard" or config.sparsity == 0:
        return
    what, method = f"parametrization {config.parametrization!r}", config.pruning_method
    if config.power != 1:
        raise InputError(f"{what} is of weights as they are stored, found power {config.power:g}; power 1 is needed")
    if method.trains_masks_alone:
        raise InputError(f"{what} is of trained matrices, which method {config.method!r} freezes; 'standard' is needed")
    if config.parametrization == "mup":
        return
    if not config.pruning_distribution.even:
        raise InputError(
            f"{what} goes by one density of all matrices, and distribution {config.distribution!r} gives each its own; "
            "distribution 'uniform' is needed"
        )
    if _ramp(config, 0) > 0 and config.pretrained is None and not method.by_chance:
        raise InputError(
            f"{what} draws larger weights for masks that leave some of them out by chance, and method "
            f"{config.method!r} chooses from the first step on; a schedule that starts dense, method 'random', or "
            "parametrization 'mup' is needed"
        )


@torch.no_grad()
def scale_start(config: "RunConfig", model: Model) -> None:
    """Bring freshly drawn weights to the parametrization of a run.

    Parameters
    ----------
    config : RunConfig
    model : Model
        Dense, as its family draws it.
    """
    for layer, wider, final in _readers(config, model):
        density = 1 - final * _ramp(config, 0)
        by_width = 1.0 if layer in model.block_layers() else wider**-0.5
        by_density = density ** (-0.5 if layer in model.block_layers() else -1)
        layer.weight.mul_(by_width * by_density)


def parameter_groups(config: "RunConfig", model: Model) -> list[dict[str, Any]]:
    """What an optimizer is built of: matrices that decay, vectors that do not, and apart what has a rate of its own.

    Parameters
    ----------
    config : RunConfig
    model : Model
        Masked or not.

    Returns
    -------
    list of dict
        ``decay`` is the weight decay at the peak's own rate, ``wider`` the inputs over those of the base, and
        ``final_sparsity`` what the schedule leads to; `set_rates` goes by them.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    apart = {id(next(layer.parameters())): (wider, final) for layer, wider, final in _readers(config, model)}
    matrices = [p for p in trained if p.ndim > 1 and id(p) not in apart]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0},
    ]
    alike: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in trained:
        if id(parameter) in apart:
            alike.setdefault(apart[id(parameter)], []).append(parameter)
    for (wider, final), parameters in alike.items():
        groups.append({"params": parameters, "decay": config.weight_decay, "wider": wider, "final_sparsity": final})
    return groups


def set_rates(config: "RunConfig", optimizer: Optimizer, step: int) -> None:
    """Give every group of parameters its learning rate of a step (from 0), and its weight decay."""
    rate = learning_rate(config, step)
    for group in optimizer.param_groups:
        group["lr"] = rate
        if "wider" in group:
            m = group["wider"] * (1 - group["final_sparsity"] * _ramp(config, step))
            group["lr"], group["weight_decay"] = rate / m, group["decay"] * m


def _readers(config: "RunConfig", model: Model) -> Iterator[tuple[nn.Linear, float, float]]:
    """Layers whose inputs get more with the width: how many over those of the base, and the final sparsity."""
    if config.parametrization == "standard":
        return
    in_use = config.parametrization == "smupar"
    hidden = 8 * config.base_width / ACTIVATIONS[config.shape.activation]  # `Shape.proportion` 1
    mlp_readers = {id(getattr(block, "down", None)) for block in model.blocks}
    for layer in model.block_layers():
        base = hidden if id(layer) in mlp_readers else config.base_width
        yield layer, layer.in_features / base, config.sparsity if in_use else 0.0
    head = model.embedding_layers()[-1]
    assert isinstance(head, nn.Linear)
    pruned = in_use and config.embedding_sparsity == "sqrt"
    yield head, head.in_features / config.base_width, embedding_sparsity(config.sparsity) if pruned else 0.0


def _ramp(config: "RunConfig", step: int) -> float:
    """The share of the final sparsity that the schedule asks for."""
    return config.pruning_schedule.ramp(step, config.steps) if config.sparsity > 0 else 0.0
