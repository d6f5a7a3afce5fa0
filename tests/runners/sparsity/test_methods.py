# ruff: noqa: E402
"""What makes each method what it is, on a small regression that is trained for real."""

import math

import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from runners.sparsity import methods, schedules
from runners.sparsity.chance import random_scores
from runners.sparsity.power import Power
from runners.sparsity.ranking import largest

CONSTANT = schedules.get("constant")
MOVING = {"every": 5, "end": 0.75, "fraction": 0.3}


def share(step, steps):
    """Cosine decay as in the paper: alpha / 2 (1 + cos(t pi / T_end))."""
    return 0.3 / 2 * (1 + math.cos(step * math.pi / (0.75 * steps)))


def of_name(name, **settings):
    return methods.get(name, **settings)


# --- random ----------------------------------------------------------------------------------------------------------


def test_random_masks_hang_on_seed_and_name_alone(training):
    one, again, other = (
        training(method=of_name("random", seed=seed), schedule=CONSTANT, sparsity=0.75) for seed in (3, 3, 4)
    )
    with torch.no_grad():
        again.weights[0].dense.mul_(-7.0)  # weights have no say
    for run in (one, again, other):
        run.step(0)
    for weight, same, unlike in zip(one.masks(), again.masks(), other.masks(), strict=True):
        assert torch.equal(weight, same)
        assert not torch.equal(weight, unlike)
    scores = random_scores(one.weights[0].mask, 3, "layer 0")
    assert torch.equal(one.masks()[0], largest(scores, 128))
    assert not torch.equal(random_scores(torch.zeros(5), 3, "a"), random_scores(torch.zeros(5), 3, "b"))


@pytest.mark.parametrize(("structure", "sparsity"), [("unstructured", 0.75), ("2:4", 0.5), ("block:4x4", 0.75)])
def test_random_masks_are_nested_under_a_gradual_schedule_and_end_where_static_ones_are(training, structure, sparsity):
    gradual = training(structure, sparsity=sparsity, method=of_name("random", seed=1))
    before = gradual.masks()
    for step in range(gradual.steps):
        gradual.step(step)
        assert all((old | ~new).all() for old, new in zip(before, gradual.masks(), strict=True))
        before = gradual.masks()
    static = training(structure, sparsity=sparsity, method=of_name("random", seed=1), schedule=CONSTANT)
    static.step(0)
    assert all(torch.equal(a, b) for a, b in zip(static.masks(), before, strict=True))


# --- SET and RigL ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distribution", ["uniform", "erk"])
@pytest.mark.parametrize("name", ["set", "rigl"])
def test_connections_move_in_the_right_number_from_small_weights_to_zeros(training, name, distribution):
    run = training("unstructured", distribution, 0.75, schedule=CONSTANT, method=of_name(name, seed=2, **MOVING))
    run.step(0)
    random = training("unstructured", distribution, 0.75, schedule=CONSTANT, method=of_name("random", seed=2))
    random.step(0)
    assert all(torch.equal(a, b) for a, b in zip(run.masks(), random.masks(), strict=True))
    counts, moves = [int(mask.sum()) for mask in run.masks()], 0
    assert sum(counts) == 192
    for step in range(1, run.steps):
        before = run.masks()
        magnitudes = [weight.dense.detach().abs().clone() for weight in run.weights]
        due = step % 5 == 0 and step < 45

        # Of all weights, at the point where the loss of this step is taken.
        gradients = [gradient.abs() for gradient in run.dense_gradients()]

        def look(step=step, before=before, magnitudes=magnitudes, gradients=gradients, due=due):
            for i, (weight, old, size) in enumerate(zip(run.weights, before, magnitudes, strict=True)):
                dropped, grown = old & ~weight.mask, weight.mask & ~old
                moved = int(share(step, run.steps) * counts[i]) if due else 0
                assert int(dropped.sum()) == int(grown.sum()) == moved
                assert int(weight.mask.sum()) == counts[i]
                # As many as move, and those with the smallest magnitudes.
                assert torch.equal(old & ~dropped, largest(size.masked_fill(~old, -1), counts[i] - moved))
                wanted = gradients[i] if name == "rigl" else random_scores(old, 2, f"layer {2 * i}", step)
                assert torch.equal(grown, largest(wanted.masked_fill(old, -1), moved))
                assert (weight.dense[grown] == 0).all()
                assert (weight.dense[~weight.mask] == 0).all()
                assert (weight.dense.grad[~weight.mask] == 0).all()
                for moment in ("exp_avg", "exp_avg_sq"):
                    assert (run.optimizer.state[weight.dense][moment][grown | ~weight.mask] == 0).all()

        run.step(step, look)
        moves += due
        for weight, old in zip(run.weights, before, strict=True):
            grown = weight.mask & ~old
            assert (weight.dense[grown] != 0).all() or name == "set"
    assert moves == 8
    assert any(int((a != b).sum()) > 20 for a, b in zip(run.masks(), random.masks(), strict=True))


def test_a_tensor_that_is_dense_has_nothing_to_move(training):
    run = training(sparsity=0.0, schedule=CONSTANT, method=of_name("rigl", **MOVING))
    for step in range(11):
        run.step(step)
    assert all(mask.all() for mask in run.masks())
    assert all((weight.dense != 0).all() for weight in run.weights)


# --- SR-STE ----------------------------------------------------------------------------------------------------------


def test_srste_keeps_the_largest_of_each_group_at_every_step_and_pulls_the_others_to_zero(training):
    run = training("2:4", sparsity=0.5, schedule=CONSTANT, method=of_name("srste", decay=0.05))
    returned = 0
    for step in range(run.steps):
        before, sizes = run.masks(), [weight.dense.detach().abs().clone() for weight in run.weights]

        def look(sizes=sizes):
            for weight, size, gradient in zip(run.weights, sizes, run.dense_gradients(), strict=True):
                best = torch.zeros_like(size, dtype=torch.bool).view(-1, 4)
                best.scatter_(1, size.view(-1, 4).topk(2).indices, True)
                assert torch.equal(weight.mask, best.view_as(size))
                expected = gradient + 0.05 * ~weight.mask * weight.dense
                assert torch.allclose(weight.dense.grad, expected, atol=1e-6)
                assert (weight.dense[~weight.mask] != 0).any()

        run.step(step, look)
        if step:
            returned += sum(int((new & ~old).sum()) for old, new in zip(before, run.masks(), strict=True))
    assert returned > 0
    used = [weight.layer.weight.detach().clone() for weight in run.weights]
    run.sparsifier.finish()
    for weight, expected in zip(run.weights, used, strict=True):
        assert torch.equal(weight.dense, expected)
        assert torch.equal(weight.layer.weight, expected)
        assert (weight.mask.view(-1, 4).sum(1) == 2).all()


def test_the_decay_of_srste_shrinks_what_is_removed(training):
    left = []
    for decay in (0.0, 0.5):
        run = training("2:4", sparsity=0.5, schedule=CONSTANT, method=of_name("srste", decay=decay))
        for step in range(run.steps):
            run.step(step)
        left.append(float(sum((weight.dense.detach() * ~weight.mask).norm() for weight in run.weights)))
    assert left[1] < 0.7 * left[0]


def test_srste_follows_a_gradual_schedule_too(training):
    run = training("2:4", sparsity=0.5, method=of_name("srste"))
    for step in range(run.steps):
        _, moved = run.step(step)
        assert moved == run.schedule.due(step, run.steps)
        if moved:
            removed = round(run.schedule.ramp(step, run.steps) * 0.5 * 512)
            assert int((~run.weights[0].mask).sum()) == removed
    assert (run.weights[0].mask.view(-1, 4).sum(1) == 2).all()


# --- SNIP ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batches", "seen"), [(0, 4), (2, 2), (9, 4)])
@pytest.mark.parametrize("distribution", ["uniform", "global"])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_masks_of_snip_are_those_of_the_derivative_by_the_mask(training, batches, seen, distribution, power):
    method = of_name("snip", batches=batches)
    run = training("unstructured", distribution, 0.75, schedule=CONSTANT, method=method, power=power)
    pieces = [slice(16 * i, 16 * i + 16) for i in range(4)]
    run.sparsifier.start(run.loss(piece) for piece in pieces)
    moved = run.sparsifier.before(0, run.optimizer)
    assert moved
    assert all(parameter.grad is None for parameter in run.model.parameters())

    masks = [torch.ones_like(weight).requires_grad_() for weight in run.plain]
    sensitivity = [torch.zeros_like(mask) for mask in masks]
    x, y = run.x, run.y
    for piece in pieces[:seen]:
        run.x, run.y = x[piece], y[piece]
        loss = run.loss_of(*(weight * mask for weight, mask in zip(run.plain, masks, strict=True)))
        for total, gradient in zip(sensitivity, torch.autograd.grad(loss, masks), strict=True):
            total += gradient
    sensitivity = [each.abs() for each in sensitivity]
    if distribution == "global":
        together = largest(torch.cat([each.flatten() for each in sensitivity]), 192)
        expected = [part.view_as(mask) for part, mask in zip(together.split([512, 256]), masks, strict=True)]
    else:
        expected = [largest(each, each.numel() // 4) for each in sensitivity]
    assert all(torch.equal(found, mask) for found, mask in zip(run.masks(), expected, strict=True))
    run.x, run.y = x, y
    before = run.masks()
    for step in range(1, 20):
        run.step(step)
    assert all(torch.equal(old, new) for old, new in zip(before, run.masks(), strict=True))


# --- Powerpropagation ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [1.5, 2.0, 4.0])
def test_powerpropagation_scales_gradients_and_keeps_initial_weights(training, power):
    run = training(sparsity=0.75, power=power)
    for weight, plain in zip(run.weights, run.plain, strict=True):
        assert torch.allclose(weight.layer.weight, plain, rtol=1e-5, atol=1e-8)
        assert torch.allclose(weight.dense, plain.sign() * plain.abs() ** (1 / power), rtol=1e-5)
    run.loss().backward()
    for weight, gradient in zip(run.weights, run.dense_gradients(), strict=True):
        expected = gradient * power * weight.dense.abs() ** (power - 1)
        assert torch.allclose(weight.dense.grad, expected, rtol=1e-4, atol=1e-8)
    stored = torch.tensor([-0.7, 0.3, 1.2], dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda theta: Power.apply(theta, power), (stored,))
    nothing = torch.zeros(3, requires_grad=True)
    Power.apply(nothing, power).sum().backward()
    assert (nothing.grad == 0).all()  # and no NaN, which removed weights would spread


def test_pruning_goes_by_what_the_model_computes_with(training):
    run = training("block:4x4", "global", 0.75, power=3.0, schedule=CONSTANT)
    means = [weight.layer.weight.detach().abs().clone() for weight in run.weights]
    run.sparsifier.before(0, run.optimizer)
    means = [m.view(m.shape[0] // 4, 4, m.shape[1] // 4, 4).mean((1, 3)) for m in means]
    best = largest(torch.cat([each.flatten() for each in means]), 12)
    found = torch.cat([mask[::4, ::4].flatten() for mask in run.masks()])
    assert torch.equal(found, best)


def test_powerpropagation_trains_and_leaves_removed_weights_alone(training):
    run = training(sparsity=0.75, power=2.0, steps=200)
    losses = [run.step(step)[0] for step in range(run.steps)]
    assert losses[-1] < 0.5 * losses[0]
    assert all((weight.dense[~weight.mask] == 0).all() for weight in run.weights)
    assert [int(mask.sum()) for mask in run.masks()] == [128, 64]


# --- PST -------------------------------------------------------------------------------------------------------------


def test_pst_starts_from_the_stored_weights_and_never_moves_them(training):
    run = training(sparsity=0.75, method=of_name("pst", rank=2))
    stored = [weight.dense.detach().clone() for weight in run.weights]
    assert all(torch.equal(weight.layer.weight, plain) for weight, plain in zip(run.weights, run.plain, strict=True))
    losses = []
    for step in range(run.steps):
        scores = [run.sparsifier.method.score(weight).detach() for weight in run.weights]
        losses.append(run.step(step)[0])
        for weight, score in zip(run.weights, scores, strict=True):  # of the scores before the step, at every step
            assert torch.equal(weight.mask, largest(score, int(weight.mask.sum())))
    assert min(losses[1:]) < losses[0]
    for weight, before in zip(run.weights, stored, strict=True):
        assert torch.equal(weight.dense, before)
    assert [int(mask.sum()) for mask in run.masks()] == [128, 64]
    used = [weight.layer.weight.detach().clone() for weight in run.weights]
    assert any(not torch.equal(u, s * m) for u, s, m in zip(used, stored, run.masks(), strict=True))
    run.sparsifier.finish()
    for weight, expected in zip(run.weights, used, strict=True):
        assert torch.equal(weight.dense, expected)
        assert torch.equal(weight.layer.weight, expected)


def test_the_importance_learns_from_the_gradient_of_the_mask(training):
    run = training(sparsity=0.75, schedule=CONSTANT, method=of_name("pst", rank=3))
    gradients = []
    for step in range(4):
        run.step(step, lambda: gradients.append(run.dense_gradients()))
    run.optimizer.zero_grad()
    run.loss().backward()
    for weight, gradient in zip(run.weights, run.dense_gradients(), strict=True):
        pst = weight.module
        full = pst.unmasked(weight.dense).detach()
        by_mask = gradient * full
        assert torch.allclose(pst.importance_row.grad, by_mask.sum(1, keepdim=True), atol=1e-6)
        assert torch.allclose(pst.importance_column.grad, by_mask.sum(0, keepdim=True), atol=1e-6)
        assert torch.allclose(pst.importance_in.grad, pst.importance_out.detach().T @ by_mask, atol=1e-5)
        by_weight = gradient * weight.mask + by_mask * full.sign()
        assert torch.allclose(pst.update_in.grad, pst.update_out.detach().T @ by_weight, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("set", {"every": 0}, "update_every is 0"),
        ("rigl", {"end": 0.0}, r"update_end is 0.0; a fraction in \(0, 1\]"),
        ("rigl", {"fraction": 1.5}, "update_fraction is 1.5"),
        ("srste", {"decay": -1.0}, "srste_decay is -1.0"),
        ("snip", {"batches": -1}, "snip_batches is -1"),
        ("pst", {"rank": 0}, "pst_rank is 0"),
    ],
)
def test_settings_out_of_bounds_are_refused(name, settings, message):
    with pytest.raises(ValueError, match=message):
        methods.get(name, **settings)
