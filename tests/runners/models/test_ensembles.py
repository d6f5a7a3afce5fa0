# ruff: noqa: E402
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

import warnings

from torch import nn
from torch.func import functional_call, grad, stack_module_state
from torch.nn import functional
from torch.nn.utils import parametrize

from runners import models
from runners.models.blocks import attention_under_vmap
from runners.models.shapes import Shape


class Mask(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.register_buffer("mask", torch.rand_like(weight) < 0.5)

    def forward(self, dense):
        return dense * self.mask


def three(family, size, activation, seed=0):
    torch.manual_seed(seed)
    shape = Shape(2, 16, 24, activation=activation)
    members = [models.get(family).build(shape, classes=11, input_shape=size) for _ in range(3)]
    for member in members:
        for layer in [*member.block_layers(), *member.embedding_layers()]:
            parametrize.register_parametrization(layer, "weight", Mask(layer.weight))
    if family == "decoder":
        return members, torch.randint(0, 11, (3, 5, *size)), torch.randint(0, 11, (3, 5, *size))
    return members, torch.randn(3, 5, *size), torch.randint(0, 11, (3, 5))


CASES = [("decoder", (12,), "gelu"), ("decoder", (12,), "swiglu"), ("vit", (3, 12, 8), "gelu")]


@pytest.mark.parametrize(("family", "size", "activation"), CASES)
def test_stacked_models_compute_what_each_one_does(family, size, activation):
    members, inputs, targets = three(family, size, activation)
    parameters, buffers = stack_module_state(members)

    def logits(parameters, buffers, inputs):
        return functional_call(members[0], (parameters, buffers), (inputs,))

    def loss(parameters, buffers, inputs, targets):
        return functional.cross_entropy(logits(parameters, buffers, inputs).flatten(0, -2), targets.flatten())

    with warnings.catch_warnings(), attention_under_vmap():
        warnings.simplefilter("error")  # torch warns where an operation cannot be batched
        together = torch.vmap(logits)(parameters, buffers, inputs)
        gradients = torch.vmap(grad(loss))(parameters, buffers, inputs, targets)
    for i, member in enumerate(members):
        alone = member(inputs[i])
        assert torch.allclose(together[i], alone, atol=1e-5)
        functional.cross_entropy(alone.flatten(0, -2), targets[i].flatten()).backward()
        for name, parameter in member.named_parameters():
            assert torch.allclose(gradients[name][i], parameter.grad, atol=1e-5), name


@pytest.mark.parametrize(("family", "size", "activation"), CASES)
def test_models_are_traced_in_one_graph(family, size, activation):
    members, inputs, _ = three(family, size, activation)
    compiled = torch.compile(members[0], backend="eager", fullgraph=True)
    assert torch.allclose(compiled(inputs[0]), members[0](inputs[0]), atol=1e-5)


@pytest.mark.parametrize(("family", "size", "activation"), CASES)
def test_bf16_is_close_to_full_precision(family, size, activation):
    members, inputs, targets = three(family, size, activation)
    full = members[0](inputs[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        short = members[0](inputs[0])
    assert short.dtype == torch.bfloat16
    assert 0 < (short - full).abs().max() < 0.05
    functional.cross_entropy(short.float().flatten(0, -2), targets[0].flatten()).backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in members[0].parameters())
