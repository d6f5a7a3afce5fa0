# ruff: noqa: E402
import io

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from bayes_scaling.runs import InputError
from runners.sparsity import distributions, schedules, structures
from runners.sparsity.masks import add_mask
from runners.sparsity.sparsifier import Group, Sparsifier

COMBINATIONS = [
    ("unstructured", "uniform", 0.875, (16, 32, 8)),
    ("unstructured", "erk", 0.8, (16, 32, 8)),
    ("unstructured", "global", 0.8, (16, 32, 8)),
    ("2:4", "uniform", 0.5, (16, 32, 8)),
    ("3:7", "uniform", 4 / 7, (14, 35, 9)),
    ("block:4x4", "uniform", 0.75, (16, 32, 8)),
    ("block:4x4", "erk", 0.75, (16, 32, 8)),
    ("block:2x4", "global", 0.75, (16, 32, 8)),
]


@pytest.mark.parametrize(("structure", "distribution", "sparsity", "widths"), COMBINATIONS)
def test_weights_go_in_the_right_number_and_stay_away(training, structure, distribution, sparsity, widths):
    run = training(structure, distribution, sparsity, widths=widths)
    block = getattr(structures.parse(structure), "size", 1)
    sizes, removed = [weight.mask.numel() for weight in run.weights], 0
    before = run.masks()
    for step in range(run.steps):
        _, moved = run.step(step)
        masks = run.masks()
        assert moved == run.schedule.due(step, run.steps)
        if moved:
            now = run.schedule.ramp(step, run.steps) * sparsity
            removed = sum(round(now * n) for n in sizes) if distribution == "uniform" else round(now * sum(sizes))
        assert abs(sum(int((~mask).sum()) for mask in masks) - removed) <= (block // 2) * len(masks)
        assert all((old | ~new).all() for old, new in zip(before, masks, strict=True))  # nested
        before = masks
        for weight in run.weights:
            assert (weight.dense[~weight.mask] == 0).all()
            assert (weight.dense.grad[~weight.mask] == 0).all()
            for moment in ("exp_avg", "exp_avg_sq"):
                assert (run.optimizer.state[weight.dense][moment][~weight.mask] == 0).all()
    assert 1 - sum(int(m.sum()) for m in masks) / sum(sizes) == pytest.approx(sparsity, abs=0.01)
    if ":" in structure and block == 1:
        n, m = map(int, structure.split(":"))
        assert all((mask.view(-1, m).sum(1) == n).all() for mask in masks)


@pytest.mark.parametrize("distribution", ["uniform", "global"])
def test_every_mask_is_that_of_a_plain_ranking_of_magnitudes(training, distribution):
    run = training("unstructured", distribution, 0.9)
    for step in range(run.steps):
        magnitudes = [weight.dense.detach().abs().numpy().ravel().copy() for weight in run.weights]
        _, moved = run.step(step)
        if not moved:
            continue
        sparsity = run.schedule.ramp(step, run.steps) * 0.9
        together = [np.concatenate(magnitudes)] if distribution == "global" else magnitudes
        expected = []
        for magnitude in together:
            mask = np.zeros(magnitude.size, bool)
            mask[np.argsort(-magnitude, kind="stable")[: magnitude.size - round(sparsity * magnitude.size)]] = True
            expected.append(mask)
        found = np.concatenate([mask.numpy().ravel() for mask in run.masks()])
        assert (found == np.concatenate(expected)).all()


@pytest.mark.parametrize(
    ("schedule", "first"),
    [(schedules.get("constant"), 0), (schedules.get("one_shot", at=0.5), 9), (schedules.get("none"), None)],
)
def test_schedules_without_a_ramp_prune_once_or_never(training, schedule, first):
    run = training(sparsity=0.75, steps=20, schedule=schedule)
    for step in range(20):
        run.step(step)
        sparse = first is not None and step >= first
        assert int(run.weights[0].mask.sum()) == (128 if sparse else 512)


@pytest.mark.parametrize(("structure", "distribution"), [("unstructured", "global"), ("2:4", "uniform")])
def test_a_run_that_was_stopped_ends_bit_for_bit_like_one_that_was_not(training, structure, distribution):
    whole = training(structure, distribution, 0.5)
    for step in range(whole.steps):
        if step == 31:
            saved = io.BytesIO()
            torch.save((whole.model.state_dict(), whole.optimizer.state_dict()), saved)
        whole.step(step)

    again = training(structure, distribution, 0.5)
    saved.seek(0)
    model, optimizer = torch.load(saved)
    again.model.load_state_dict(model)
    again.optimizer.load_state_dict(optimizer)
    for step in range(31, again.steps):
        again.step(step)
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key]), key


def test_groups_have_sparsities_of_their_own():
    layers = [torch.nn.Linear(8, 8, bias=False) for _ in range(3)]
    a, b, c = (add_mask(layer, f"layer {i}") for i, layer in enumerate(layers))
    optimizer = torch.optim.SGD([layer.parametrizations.weight.original for layer in layers], lr=0.1)
    groups = [Group([a], 0.5, structures.parse("2:4")), Group([b, c], 0.75), Group([], 0.9)]
    assert Sparsifier(groups, schedules.get("constant"), 1).before(0, optimizer)
    assert [int(weight.mask.sum()) for weight in (a, b, c)] == [32, 16, 16]


def test_a_removed_weight_does_not_return_in_place_of_one_that_happens_to_be_zero():
    layer = torch.nn.Linear(4, 4, bias=False)
    weight = add_mask(layer, "layer")
    weight.mask[0] = False
    with torch.no_grad():
        weight.dense[:2] = 0.0  # the first row is removed, the second in use
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    Sparsifier([Group([weight], 0.375)], schedules.get("constant"), 1).before(0, optimizer)
    assert not weight.mask[0].any()
    assert int(weight.mask.sum()) == 10


def test_counts_are_exact_even_in_a_run_that_has_diverged():
    layer = torch.nn.Linear(8, 8, bias=False)
    weight = add_mask(layer, "layer")
    with torch.no_grad():
        weight.dense[::2] = torch.nan
        weight.dense[1, :3] = -torch.inf
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    Sparsifier([Group([weight], 0.75)], schedules.get("constant"), 1).before(0, optimizer)
    assert int(weight.mask.sum()) == 16
    assert (layer.weight[~weight.mask] == 0).all() or layer.weight.isnan().any()


def test_a_rounded_sparsity_still_ends_on_the_pattern():
    weight = add_mask(torch.nn.Linear(7 * 40, 50), "layer")
    assert Group([weight], 0.571, structures.parse("3:7")).sparsity == 1 - 3 / 7


@pytest.mark.parametrize(
    ("structure", "distribution", "sparsity", "message"),
    [
        ("2:4", "erk", 0.5, "structure 2:4 fixes the sparsity of every tensor at 0.5, and distribution 'erk' gives"),
        ("2:4", "global", 0.5, "distribution 'uniform' is needed"),
        ("1:4", "uniform", 0.5, "structure 1:4 means sparsity 0.75, found sparsity 0.5"),
        ("1:3", "uniform", 2 / 3, "structure 1:3 needs input widths divisible by 3; blocks.0.up has 16"),
        ("block:3x4", "uniform", 0.5, "blocks.0.up has 8 outputs and 16 inputs"),
        ("block:4x16", "uniform", 0.75, "sparsity 0.75 is out of reach of structure block:4x16, .*nearest there is 1$"),
        ("unstructured", "uniform", 1.0, r"sparsity is 1.0; a fraction in \[0, 1\)"),
    ],
)
def test_groups_that_cannot_be_are_refused_in_one_sentence(structure, distribution, sparsity, message):
    weight = add_mask(torch.nn.Linear(16, 8), "blocks.0.up")
    with pytest.raises(InputError, match=message) as caught:
        Group([weight], sparsity, structures.parse(structure), distributions.get(distribution))
    assert "\n" not in str(caught.value)
