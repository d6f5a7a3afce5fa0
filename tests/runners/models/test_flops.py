# ruff: noqa: E402
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from runners import models
from runners.models.flops import train_flops
from runners.models.parameters import count_parameters
from runners.models.shapes import Shape


@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
@pytest.mark.parametrize(("family", "size"), [("decoder", (48,)), ("vit", (3, 24, 16))])
def test_the_formula_is_what_torch_counts_in_a_dense_step(family, size, activation):
    model = models.get(family).build(Shape(3, 16, 48, activation=activation), classes=50, input_shape=size)
    if family == "decoder":
        inputs, targets, units = torch.randint(0, 50, (4, *size)), torch.randint(0, 50, (4, *size)), 4 * size[0]
    else:
        inputs, targets, units = torch.randn(4, *size), torch.randint(0, 50, (4,)), 4
    # The fused kernels multiply queries with keys once more on the way back, which the formula leaves out.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        functional.cross_entropy(model(inputs).flatten(0, -2), targets.flatten()).backward()
    found = train_flops(model, count_parameters(model))
    assert units * found.total == pytest.approx(counter.get_total_flops(), rel=0.01)
    assert min(found.blocks, found.embeddings, found.attention) > 0.01 * found.total  # so that each is checked


def test_flops_follow_the_non_zeros():
    model = models.get("decoder").build(Shape(2, 16, 64), classes=50, input_shape=(32,))
    counts = count_parameters(model)
    dense = train_flops(model, counts)
    assert dense.blocks == 6 * 6144
    assert dense.embeddings == 6 * 50 * 16  # the input embedding is looked up
    counts["blocks"]["nonzero"] //= 4
    sparse = train_flops(model, counts)
    assert sparse.blocks == dense.blocks / 4
    assert (sparse.embeddings, sparse.attention) == (dense.embeddings, dense.attention)
