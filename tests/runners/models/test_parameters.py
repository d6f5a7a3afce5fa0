# ruff: noqa: E402
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from torch import nn
from torch.nn.utils import parametrize

from runners import models
from runners.models.parameters import count_parameters, embeddings
from runners.models.shapes import Shape


class Half(nn.Module):
    def forward(self, dense):
        return dense * (torch.arange(dense.numel()).view_as(dense) % 2)


@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
@pytest.mark.parametrize(("family", "size"), [("decoder", (16,)), ("vit", (3, 16, 8))])
def test_parts_sum_to_all_parameters(family, size, activation):
    shape = Shape(2, 16, 64, activation=activation)
    model = models.get(family).build(shape, classes=30, input_shape=size)
    counts = count_parameters(model)
    assert counts["blocks"]["total"] == shape.block_weights
    assert sum(part["total"] for part in counts.values()) == sum(p.numel() for p in model.parameters())
    assert all(part["total"] == part["nonzero"] for part in counts.values())


def test_parts_carry_their_names():
    counts = count_parameters(models.get("decoder").build(Shape(2, 16, 64), classes=30, input_shape=(16,)))
    assert {part: count["total"] for part, count in counts.items()} == {
        "blocks": 6144,
        "token_embedding": 480,
        "head": 480,
        "norms": 5 * 16,
    }
    assert embeddings(counts) == {"total": 960, "nonzero": 960}
    counts = count_parameters(models.get("vit").build(Shape(2, 16, 64), classes=7, input_shape=(3, 8, 8)))
    assert list(counts) == ["blocks", "patch_embedding", "head", "norms"]
    assert embeddings(counts)["total"] == 3 * 4 * 4 * 16 + 7 * 16


def test_non_zeros_are_those_the_model_computes_with():
    model = models.get("decoder").build(Shape(2, 16, 64), classes=30, input_shape=(16,))
    for layer in [*model.block_layers(), model.head]:
        parametrize.register_parametrization(layer, "weight", Half())
    counts = count_parameters(model)
    assert counts["blocks"] == {"total": 6144, "nonzero": 3072}
    assert counts["head"] == {"total": 480, "nonzero": 240}
    assert counts["token_embedding"] == {"total": 480, "nonzero": 480}
