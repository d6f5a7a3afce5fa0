"""Models of one shape side by side: every weight of all of them in one tensor, all of them computed at once.

Members share the batch dimension: a stacked model takes the batches of its members one after the other, (M B, ...), and
whatever has no weights (attention, activations, residuals) runs over all of them as it is. Only layers that have
weights are exchanged, for ones that multiply each member's part of the batch by the member's own weight. On small
models this is faster than `torch.vmap`, under which attention cannot use its fused kernels (docs/benchmarks.md).

Shapes: M member, B batch, and whatever the layer has.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from bayes_scaling.runs import InputError
from runners.models import Model
from runners.sparsity.masks import MaskedWeight

__all__ = ["StackedModel", "layers_with_weights"]


class StackedLayer(nn.Module):
    """One layer of all members; afterwards their weights and masks are views of what this layer holds.

    Parameters
    ----------
    layers : sequence of torch.nn.Module
        The same layer of every member, some of them masked, some not.

    Attributes
    ----------
    weight : torch.nn.Parameter
        (M, ...), the stored weights.
    mask : torch.Tensor or None
        Of the same shape, of ones where a member has no mask; None where no member has one.
    members : list of torch.nn.Parameter
        The members' parameters, each sharing its memory with a part of `weight`.
    """

    mask: Tensor | None

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        masked = {i: MaskedWeight("", layer) for i, layer in enumerate(layers) if parametrize.is_parametrized(layer)}
        self.members = [next(layer.parameters()) for layer in layers]
        self.weight = nn.Parameter(torch.stack([parameter.data for parameter in self.members]))
        for parameter, view in zip(self.members, self.weight.data, strict=True):
            parameter.data = view  # the same object, so that optimizers know it still
        self.register_buffer("mask", torch.ones_like(self.weight, dtype=torch.bool) if masked else None)
        for i, weight in masked.items():
            assert self.mask is not None
            self.mask[i] = weight.mask
            weight.mask.data = self.mask[i]

    def used(self) -> Tensor:
        """The weights that the layer computes with, as `runners.sparsity.masks.Mask` has it."""
        return self.weight if self.mask is None else self.weight * self.mask

    def by_member(self, x: Tensor) -> Tensor:
        """What comes one member after the other, (M B, ..., E), as (M, positions of a member, E)."""
        return x.reshape(len(self.members), -1, x.shape[-1])


class StackedLinear(StackedLayer):
    """`torch.nn.Linear` without bias."""

    def forward(self, x: Tensor) -> Tensor:
        """(M B, ..., in) to (M B, ..., out)."""
        return torch.bmm(self.by_member(x), self.used().mT).view(*x.shape[:-1], -1)


class StackedEmbedding(StackedLayer):
    """`torch.nn.Embedding`."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(M B, T) to (M B, T, E)."""
        table = self.used()
        first_rows = table.shape[1] * torch.arange(len(table), device=tokens.device)
        rows = tokens.view(len(table), -1) + first_rows[:, None]
        return functional.embedding(rows, table.flatten(0, 1)).view(*tokens.shape, -1)


class StackedRMSNorm(StackedLayer):
    """`torch.nn.RMSNorm` over the last dimension."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__(layers)
        self.eps = layers[0].eps

    def forward(self, x: Tensor) -> Tensor:
        """(M B, ..., E) to the same."""
        normal = functional.rms_norm(self.by_member(x), x.shape[-1:], eps=self.eps)  # type: ignore[arg-type]
        return (normal * self.used()[:, None]).view(x.shape)


STACKED: dict[type[nn.Module], type[StackedLayer]] = {
    nn.Linear: StackedLinear,
    nn.Embedding: StackedEmbedding,
    nn.RMSNorm: StackedRMSNorm,
}


class StackedModel(nn.Module):
    """All members at once, from (M B, ...) inputs to (M B, ...) outputs, one member's batch after the other's.

    Members stay what they were, on shared memory: what trains here trains them, and what a `Sparsifier` does to one of
    them is done here.

    Parameters
    ----------
    members : sequence of Model
        Of one family and shape and on one device, masked or not.

    Attributes
    ----------
    layers : list of StackedLayer
        Everything that has weights.

    Raises
    ------
    InputError
        A model has weights in a layer of a kind that cannot be stacked.
    """

    def __init__(self, members: Sequence[Model]) -> None:
        super().__init__()
        by_member = [layers_with_weights(member) for member in members]
        self.model = copy.deepcopy(members[0])
        self.layers: list[StackedLayer] = []
        for name, layer in by_member[0].items():
            kind = next(kind for kind in STACKED if isinstance(layer, kind))
            self.layers.append(STACKED[kind]([layers[name] for layers in by_member]))
            parent, _, attribute = name.rpartition(".")
            setattr(self.model.get_submodule(parent), attribute, self.layers[-1])

    def forward(self, inputs: Tensor) -> Tensor:
        """(M B, ...) to (M B, ...)."""
        outputs: Tensor = self.model(inputs)
        return outputs


def layers_with_weights(model: Model) -> dict[str, nn.Module]:
    """By their names, the layers that hold all parameters of a model, each one tensor named ``weight``.

    Raises
    ------
    InputError
        A parameter is somewhere else.
    """
    layers = {
        name: layer
        for name, layer in model.named_modules()
        if any(isinstance(layer, kind) for kind in STACKED) and len(list(layer.parameters())) == 1  # a bias is a second
    }
    held = {id(parameter) for layer in layers.values() for parameter in layer.parameters()}
    for name, parameter in model.named_parameters():
        if id(parameter) not in held:
            kinds = ", ".join(kind.__name__ for kind in STACKED)
            raise InputError(
                f"model {type(model).__name__} cannot train in an ensemble: its parameter {name} is not the weight of "
                f"a layer without bias of one of the kinds {kinds}"
            )
    return layers
