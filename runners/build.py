"""From a configuration to what is trained: the model, its masks, the optimizer."""

import torch

from runners import models
from runners.config import RunConfig
from runners.data.batches import Batches
from runners.models import Model
from runners.mup import parameter_groups, scale_start
from runners.sparsity import structures
from runners.sparsity.sparsifier import Group, Sparsifier, embedding_sparsity

__all__ = ["build_model", "build_optimizer", "build_sparsifier"]


def build_model(config: RunConfig, batches: Batches) -> Model:
    """The dense model of a run, freshly drawn from its seed, on the CPU."""
    inputs, _ = batches.batch(0)
    options = {"patch_size": config.patch_size} if config.modality == "vision" else {}
    with torch.random.fork_rng(devices=[]):  # the caller's random state is not ours to move
        torch.manual_seed(config.seed)
        family = models.get(str(config.model))
        model = family.build(config.shape, classes=batches.classes, input_shape=inputs.shape[1:], **options)
    scale_start(config, model)
    if config.dropout:
        model.set_dropout(config.dropout)
    return model


def build_sparsifier(config: RunConfig, model: Model) -> Sparsifier:
    """Masks on everything that the run prunes, and what moves them; none on a dense model."""
    groups = []
    if config.sparsity > 0:
        method, names = config.pruning_method, {module: name for name, module in model.named_modules()}
        if method.trains_masks_alone:
            model.requires_grad_(False)
        blocks = [method.add_mask(layer, names[layer], config.power) for layer in model.block_layers()]
        structure = structures.parse(config.structure)
        groups.append(Group(blocks, config.sparsity, structure, config.pruning_distribution))
        if config.embedding_sparsity == "sqrt":
            embeddings = [method.add_mask(layer, names[layer], config.power) for layer in model.embedding_layers()]
            groups.append(Group(embeddings, embedding_sparsity(config.sparsity)))
    return Sparsifier(groups, config.pruning_schedule, config.steps, config.pruning_method)


def build_optimizer(config: RunConfig, model: Model) -> torch.optim.AdamW:
    """AdamW, without decay on norms and on whatever is not trained; built when model and masks are where they train."""
    return torch.optim.AdamW(
        parameter_groups(config, model),
        betas=(config.beta1, config.beta2),
        fused=next(model.parameters()).device.type != "mps",
    )
