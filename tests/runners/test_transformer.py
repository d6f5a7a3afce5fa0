# ruff: noqa: E402
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from bayes_scaling.runs import InputError
from runners.models.transformer import Shape, Transformer, solve_shape


@pytest.mark.parametrize("nonzero", [3072, 6144, 9000, 12_288, 50_000, 98_304, 1_000_000])
@pytest.mark.parametrize(("sparsity", "group"), [(0.0, 4), (0.5, 4), (0.75, 4), (0.875, 8), (0.9375, 16)])
def test_solver_hits_the_target(nonzero, sparsity, group):
    shape = solve_shape(nonzero, sparsity, group=group)
    assert shape.block_weights * (1 - sparsity) == pytest.approx(nonzero, rel=0.01)
    assert shape.width % max(8, group) == 0
    assert shape.mlp_width % group == 0


def test_solver_prefers_the_usual_proportions():
    assert solve_shape(24_576, 0.0) == Shape(2, 32, 128)


def test_solver_says_when_nothing_fits():
    with pytest.raises(InputError, match="choose a larger nonzero_params"):
        solve_shape(100, 0.0)


def test_parts_sum_to_all_parameters():
    model = Transformer(Shape(2, 16, 64), context=16)
    parts = model.count_parameters()
    assert parts["blocks"]["total"] == Shape(2, 16, 64).block_weights == 6144
    assert sum(part["total"] for part in parts.values()) == sum(p.numel() for p in model.parameters())


@torch.no_grad()
def test_no_position_sees_the_future():
    model = Transformer(Shape(2, 16, 64), context=16)
    a = torch.randint(0, 256, (2, 16), generator=torch.Generator().manual_seed(0))
    b = a.clone()
    b[:, 10:] = 7
    assert torch.allclose(model(a)[:, :10], model(b)[:, :10], atol=1e-6)
    assert not torch.allclose(model(a)[:, 10:], model(b)[:, 10:], atol=1e-3)


@torch.no_grad()
def test_order_of_the_past_matters():
    model = Transformer(Shape(2, 16, 64), context=16)
    a = torch.tensor([[1, 2, 3, 4]])
    b = torch.tensor([[2, 1, 3, 4]])
    assert not torch.allclose(model(a)[:, -1], model(b)[:, -1], atol=1e-5)
