# ruff: noqa: E402
"""Runs that train together end as they would have alone."""

import math
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from torch import nn

from bayes_scaling.runs import InputError
from runners import checkpoints, models
from runners.ensemble import group, run_ensemble
from runners.models import Shape
from runners.sparsity.masks import add_mask
from runners.stacked import StackedModel
from runners.stacked_adamw import StackedAdamW
from runners.store import Store
from runners.train import RunConfig, run

STEPS = 60
SIZE = 6144
"""Weights of every member, zeros included."""


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    image = pytest.importorskip("PIL.Image", reason="needs bayes-scaling[runners]")
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("pictures")
    for i in range(120):
        place = folder / ("light" if i % 2 else "dark")
        place.mkdir(exist_ok=True)
        pixels = np.clip(rng.integers(-120, 120, (16, 16, 3)) + (126 if i % 2 else 122), 0, 255)
        image.fromarray(pixels.astype(np.uint8)).save(place / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def language(tiny):
    return {**tiny, "data_seen": STEPS * 4 * 16, "prune_every": 3}


@pytest.fixture(scope="session")
def vision(pictures):
    knobs = {"modality": "vision", "corpus": str(pictures), "image_size": 16, "batch_size": 8, "flips": True}
    return {**knobs, "data_seen": STEPS * 8, "prune_every": 3, "device": "cpu"}


def member(knobs, sparsity=0.0, **more):
    return RunConfig(**{**knobs, "nonzero_params": round(SIZE * (1 - sparsity)), "sparsity": sparsity, **more})


def many(knobs):
    """Dense and sparse of every structure, seeds, rates, decays and schedules."""
    return [
        member(knobs),
        member(knobs, seed=1, learning_rate=0.004, weight_decay=0.2),
        member(knobs, 0.75, seed=2),
        member(knobs, 0.75, learning_rate=0.03, distribution="erk", decay="wsd", warmup=0.2),
        member(knobs, 0.5, structure="2:4", embedding_sparsity="none"),
        # A small rate: what large ones do to blocks that go at once hangs on the last bit.
        member(knobs, 0.75, structure="block:4x4", schedule="one_shot", prune_start=0.5, seed=1, learning_rate=0.005),
    ]


TIMES = ("wall_seconds", "units_per_second", "peak_memory")


def assert_alike(together, alone, tolerance=2e-4):
    """All but the times: counts and FLOPs to the last one, losses but for rounding."""
    row, other = (
        {k: v for k, v in record["run"].items() if k not in (*TIMES, "loss", "eval_se")} for record in (together, alone)
    )
    row.pop("ensemble")
    assert row == other
    for part in ("schema", "status", "config", "flops", "data", "versions", "parameters", "device"):
        assert together[part] == alone[part], part
    assert together.keys() == alone.keys()
    assert together["run"]["loss"] == pytest.approx(alone["run"]["loss"], rel=tolerance, nan_ok=True)
    assert together["run"]["eval_se"] == pytest.approx(alone["run"]["eval_se"], rel=1e-2, nan_ok=True)
    for point, other_point in zip(together["curve"], alone["curve"], strict=True):
        assert point == pytest.approx(other_point, rel=tolerance, nan_ok=True)


@pytest.mark.parametrize("modality", ["language", "vision"])
def test_members_end_as_they_would_have_alone(modality, request, tmp_path):
    configs = many(request.getfixturevalue(modality))
    told = []
    ended = run_ensemble(configs, tmp_path, lambda *where: told.append(where))
    assert [record["run"]["run_id"] for record in ended] == [config.run_id for config in configs]
    for config, record in zip(configs, ended, strict=True):
        assert_alike(record, run(config))
        assert record["run"]["ensemble"] == len(configs)
        assert Store(tmp_path).read(config.run_id)["run"] == record["run"]
    assert len({round(record["run"]["loss"], 4) for record in ended}) == len(configs)  # six runs, not one six times
    assert told[-1][:2] == (STEPS, STEPS)


@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
def test_gradients_are_those_of_each_member(activation):
    torch.manual_seed(0)
    shape = Shape(2, 16, 24, activation=activation)
    members = [models.get("decoder").build(shape, classes=11, input_shape=(12,)) for _ in range(3)]
    for layer in members[1].block_layers():  # one masked, two not
        add_mask(layer, "").mask.copy_(torch.rand_like(layer.weight) < 0.5)
    inputs, targets = torch.randint(0, 11, (3, 5, 12)), torch.randint(0, 11, (3, 5, 12))

    def loss(logits, targets):
        return nn.functional.cross_entropy(logits.flatten(0, -2), targets.flatten())

    alone = []
    for model, x, y in zip(members, inputs, targets, strict=True):
        loss(model(x), y).backward()
        alone.append([parameter.grad for parameter in model.parameters()])
    stacked = StackedModel(members)
    logits = stacked(inputs.flatten(0, 1)).view(3, 5, 12, 11)
    sum(map(loss, logits, targets)).backward()
    assert len(stacked.layers) == len(alone[0])
    for layer, *gradients in zip(stacked.layers, *alone, strict=True):
        assert torch.allclose(layer.weight.grad, torch.stack(gradients), atol=1e-6)


def test_members_and_stack_are_the_same_memory():
    members = [models.get("decoder").build(Shape(1, 8, 8), classes=5, input_shape=(4,)) for _ in range(2)]
    mask = add_mask(members[1].blocks[0].up, "")
    stacked = StackedModel(members)
    mask.mask.zero_()
    assert not stacked.model.blocks[0].up.used()[1].any()
    assert stacked.model.blocks[0].up.used()[0].all()
    stacked.model.head.weight.data[1] = 7.0
    assert (members[1].head.weight == 7.0).all()
    assert not (members[0].head.weight == 7.0).any()


@pytest.mark.parametrize("clip", [0.05, 1e9])
def test_the_steps_are_those_of_torch_adamw(clip):
    torch.manual_seed(0)
    shape, knobs = Shape(1, 8, 8), [(1e-2, 0.3), (3e-3, 0.0)]

    def three_steps(stack):
        torch.manual_seed(1)
        members = [models.get("decoder").build(shape, classes=5, input_shape=(4,)) for _ in knobs]
        optimizers = [
            torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=decay, betas=(0.8, 0.9))
            for model, (lr, decay) in zip(members, knobs, strict=True)
        ]
        stacked = StackedModel(members) if stack else None
        optimizer = StackedAdamW(stacked.layers, optimizers, clip) if stack else None
        for step in range(3):
            inputs = torch.arange(8).view(2, 4) % 5
            if stack:
                stacked(inputs).pow(2).sum().mul(step + 1).backward()
                optimizer.step()
                continue
            for model, each, x in zip(members, optimizers, inputs, strict=True):
                model(x[None]).pow(2).sum().mul(step + 1).backward()
                nn.utils.clip_grad_norm_(model.parameters(), clip)
                each.step()
                each.zero_grad()
        return members, optimizers

    (members, optimizers), (alone, alone_optimizers) = three_steps(True), three_steps(False)
    for model, other, mine, theirs in zip(members, alone, optimizers, alone_optimizers, strict=True):
        for parameter, expected in zip(model.parameters(), other.parameters(), strict=True):
            assert torch.allclose(parameter, expected, rtol=1e-5, atol=1e-6)
            for name in ("exp_avg", "exp_avg_sq", "step"):
                assert torch.allclose(mine.state[parameter][name], theirs.state[expected][name], rtol=1e-4, atol=1e-7)


def test_a_member_that_diverges_leaves_the_others_alone(language, tmp_path):
    wild = member(language, 0.5, learning_rate=1e20, clip=1e30)
    calm = [member(language, clip=1e30), member(language, 0.75, seed=1, clip=1e30)]
    configs = [calm[0], wild, calm[1]]
    ended = run_ensemble(configs, tmp_path)
    for config, record in zip(configs, ended, strict=True):
        assert_alike(record, run(config))
    assert [record["status"] for record in ended] == ["finished", "diverged", "finished"]
    assert Store(tmp_path).read(wild.run_id)["run"]["loss"] is None
    assert ended[1]["run"]["data_seen"] < ended[0]["run"]["data_seen"]


def test_an_ensemble_of_diverging_runs_ends(language):
    ended = run_ensemble([member(language, learning_rate=1e20, clip=1e30, seed=seed) for seed in range(2)])
    assert [record["status"] for record in ended] == ["diverged", "diverged"]


def test_starts_from_a_trained_model(language, tmp_path):
    run(member(language), keep_model=tmp_path / "start.pt")
    configs = [member(language, 0.5, pretrained=str(tmp_path / "start.pt")), member(language, 0.5)]
    for config, record in zip(configs, run_ensemble(configs), strict=True):
        assert_alike(record, run(config))


class StopNow(Exception):  # noqa: N818
    """Ends an ensemble from its progress callback."""


def stop_at(at):
    def stop(step, steps, loss):  # noqa: ARG001
        if step >= at:
            raise StopNow

    return stop


def stopped(configs, store, at):
    with pytest.raises(StopNow):
        run_ensemble(configs, store, stop_at(at), checkpoint_seconds=0.0)


def assert_same(record, other):
    for part in ("curve", "flops", "parameters"):
        assert record[part] == other[part]
    row, others = ({k: v for k, v in r["run"].items() if k not in TIMES} for r in (record, other))
    assert row == others


def test_an_ensemble_that_was_stopped_goes_on_bit_by_bit(language, tmp_path):
    configs = many(language)[2:5]
    whole = run_ensemble(configs)
    for at in (20, 45):  # on the ramp, and at its end
        stopped(configs, tmp_path, at)
    told = []
    ended = run_ensemble(configs, tmp_path, lambda step, *_: told.append(step))
    assert told[0] == 45
    for record, other in zip(ended, whole, strict=True):
        assert_same(record, other)
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_checkpoints_are_those_of_single_runs(language, tmp_path):
    configs = many(language)[:4]
    stopped(configs, tmp_path, 30)  # on the ramp
    place = tmp_path / "checkpoints" / f"{configs[2].run_id}.pt"
    single = checkpoints.load(place)
    assert single["account"]["step"] == 29  # the last step before
    stored = [
        *single["model"].values(),
        *(t for state in single["optimizer"]["state"].values() for t in state.values()),
    ]
    content = sum(tensor.numel() * tensor.element_size() for tensor in stored)
    assert place.stat().st_size < 1.5 * content + 50_000  # its own weights, not those of all
    told = []
    record = run(configs[2], tmp_path, lambda step, *_: told.append(step))
    assert told[0] == 30
    alone = run(configs[2])
    record["run"]["ensemble"] = 1
    assert_alike(record, alone)
    with pytest.raises(StopNow):
        run(configs[0], tmp_path, stop_at(45), checkpoint_seconds=0.0)
    # One member is ahead of the others, one has ended: they go on one company after the other.
    ended = run_ensemble([configs[0], configs[1], configs[3]], tmp_path)
    assert [record["run"]["ensemble"] for record in ended] == [1, 2, 2]
    for config, record in zip([configs[0], configs[1], configs[3]], ended, strict=True):
        assert_alike(record, run(config))


def test_running_out_of_memory_is_told_of_every_member(language, tmp_path, monkeypatch):
    configs = many(language)[:2]

    def full(*_, **__):
        return torch.empty(2**62, dtype=torch.uint8)

    with monkeypatch.context() as patch:
        patch.setattr("runners.ensemble.StackedModel", full)
        ended = run_ensemble(configs, tmp_path)
    assert [record["status"] for record in ended] == ["failed", "failed"]
    assert all(record["error"].startswith("out of memory") for record in Store(tmp_path).records())
    assert Store(tmp_path).done() == set()
    assert {record["status"] for record in run_ensemble(configs, tmp_path)} == {"finished"}


def test_other_errors_are_not_taken_for_that(language, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("something else")

    monkeypatch.setattr("runners.ensemble.StackedModel", broken)
    with pytest.raises(RuntimeError, match="something else"):
        run_ensemble(many(language)[:2])


def test_groups_hold_what_can_train_together(language):
    alike = many(language)
    others = [
        member(language, nonzero_params=12288),
        member(language, data_seen=2 * STEPS * 4 * 16),
        member(language, batch_size=8, data_seen=STEPS * 8 * 16),
        member(language, beta2=0.95),
        member(language, corpus="stdlib"),
        member(language, head_size=4),
        member(language, threads=2),
    ]
    mixed = [alike[0], *others, *alike[1:]]
    groups = group(mixed)
    assert groups == [alike, *([other] for other in others)]
    assert [len(g) for g in group(alike, at_once=4)] == [3, 3]
    assert [len(g) for g in group(alike, at_once=5)] == [3, 3]
    assert [c for g in group(alike, at_once=4) for c in g] == alike
    assert group([]) == []
    with pytest.raises(InputError, match="at_once is 0; at least 1"):
        group(alike, at_once=0)


def test_what_cannot_train_together_is_refused(language):
    with pytest.raises(InputError, match="configs are of 2 kinds, which cannot train together"):
        run_ensemble([member(language), member(language, beta2=0.95)])


def test_models_with_other_layers_are_refused():
    model = models.get("decoder").build(Shape(1, 8, 8), classes=5, input_shape=(4,))
    model.blocks[0].up = nn.Linear(8, 8)
    with pytest.raises(InputError, match=r"its parameter blocks.0.up.weight is not the weight of a layer without bias"):
        StackedModel([model, model])


def test_shares_of_the_time_sum_to_all_of_it(language):
    began = time.perf_counter()
    ended = run_ensemble(many(language))
    passed = time.perf_counter() - began
    assert 0.3 * passed < sum(record["run"]["wall_seconds"] for record in ended) < passed + 0.01
    assert math.isfinite(sum(record["run"]["units_per_second"] for record in ended))
