# ruff: noqa: E402
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from runners.sparsity.masks import MaskedWeight, Pruner
from runners.sparsity.schedules import CubicSchedule
from runners.sparsity.structures import parse_structure


def train(structure="unstructured", sparsity=0.75, steps=60):
    """A few layers on a small regression; yields after every step."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Tanh(), torch.nn.Linear(32, 8))
    weights = [MaskedWeight.on(model[i], parse_structure(structure), sparsity) for i in (0, 2)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    pruner = Pruner(weights, CubicSchedule(), steps, every=4)
    x = torch.randn(64, 16)
    y = torch.sin(x[:, :8])
    for step in range(steps):
        pruner.before(step, optimizer)
        loss = torch.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield model, weights, optimizer


def test_every_tensor_ends_at_its_exact_sparsity():
    *_, (_, weights, _) = train(sparsity=0.875)
    for weight in weights:
        assert int((~weight.mask).sum()) == round(0.875 * weight.mask.numel())


def test_nothing_is_pruned_before_the_schedule_starts():
    for step, (_, weights, _) in enumerate(train(steps=60)):
        if step < 14:
            assert all(weight.mask.all() for weight in weights)


def test_removed_weights_stay_removed_in_value_gradient_and_moments():
    before = None
    for _, weights, optimizer in train():
        masks = [weight.mask.clone() for weight in weights]
        for weight, mask in zip(weights, masks, strict=True):
            assert (weight.dense[~mask] == 0).all()
            assert (weight.dense.grad[~mask] == 0).all()
            for moment in ("exp_avg", "exp_avg_sq"):
                assert (optimizer.state[weight.dense][moment][~mask] == 0).all()
        if before is not None:
            assert all((old | ~new).all() for old, new in zip(before, masks, strict=True))  # nested
        before = masks


def test_what_lies_under_the_mask_has_no_effect():
    *_, (model, weights, _) = train()
    x = torch.randn(5, 16)
    with torch.no_grad():
        clean = model(x)
        weights[0].dense[~weights[0].mask] = 1e3
        assert torch.equal(model(x), clean)


def test_n_of_m_holds_at_the_end_and_at_least_n_on_the_way():
    for _, weights, _ in train("2:4", 0.5):
        assert all((weight.mask.view(-1, 4).sum(1) >= 2).all() for weight in weights)
    assert all((weight.mask.view(-1, 4).sum(1) == 2).all() for weight in weights)
