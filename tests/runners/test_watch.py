# ruff: noqa: E402
"""Runs that end when they are best, or when they have reached a target; finite data, and fine-tuning."""

import json
import math

import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

import bayes_scaling as bs
from bayes_scaling.runs import InputError
from runners import checkpoints
from runners.build import build_model
from runners.cost import units_of_work
from runners.data import load_batches
from runners.devices import pick_device
from runners.ensemble import group, run_ensemble
from runners.evaluate import heldout_loss
from runners.plan import expand
from runners.store import Store
from runners.sweep import run_plan
from runners.train import RunConfig, run
from tests.runners.conftest import source_text

TIMES = ("wall_seconds", "units_per_second", "peak_memory", "ensemble")


@pytest.fixture(scope="module")
def finite(tiny):
    """A run that learns a few lines by heart: its held-out loss falls, and then rises."""
    return {**tiny, "data_seen": 240 * 64, "unique_data": 512, "evaluate_every": 8, "patience": 3}


def untimed(record):
    row = {key: value for key, value in record["run"].items() if key not in TIMES}
    return row, record["curve"], record["flops"], record["parameters"]


def test_a_run_ends_once_it_gets_no_better_and_is_what_it_was_at_its_best(finite, tmp_path):
    config = RunConfig(**finite, learning_rate=0.03)
    record = run(config, keep_model=tmp_path / "best.pt")
    row, seen = record["run"], [(p["step"], p["heldout_loss"]) for p in record["curve"] if "heldout_loss" in p]
    best = min(seen, key=lambda each: each[1])
    assert (row["best_step"], row["loss"]) == best
    assert row["steps_trained"] == row["best_step"] + 3 * 8 == seen[-1][0] < 240
    assert row["data_seen"] == row["best_step"] * 64
    assert row["train_flops"] == 6 * 3072 * row["data_seen"]
    assert row["unique_data"] <= row["available_data"] == 512 < row["data_seen"]
    # The model that is kept is the one that the record is about.
    batches = load_batches("language", config.corpus, context=16, batch_size=4, seed=0)
    model = build_model(config, batches)
    model.load_state_dict(checkpoints.load(tmp_path / "best.pt")["model"])
    assert heldout_loss(model, batches, 32, pick_device("cpu"), "float32").loss == pytest.approx(best[1], rel=1e-6)


def test_without_patience_it_goes_on_to_the_end(finite):
    row = run(RunConfig(**{**finite, "patience": 0}, learning_rate=0.03))["run"]
    assert row["data_seen"] == 240 * 64
    assert "best_step" not in row
    assert row["loss"] > run(RunConfig(**finite, learning_rate=0.03))["run"]["loss"]


def test_the_best_counts_from_the_final_sparsity_on(finite):
    config = RunConfig(**{**finite, "prune_every": 1}, sparsity=0.75, learning_rate=0.03)
    row = run(config)["run"]
    assert row["best_step"] >= 0.75 * 240
    assert row["nonzero_params"] == 3072


def test_small_sets_are_parts_of_large_ones_and_held_out_data_stays(tiny):
    sides = {}
    for count in (0, 1024, 4096):
        config = RunConfig(**{**tiny, "data_seen": 2**17}, unique_data=count)
        batches = load_batches("language", config.corpus, context=16, batch_size=4, seed=1, unique_data=count)
        windows = {bytes(batches.batch(step)[1].astype("u1")[i]) for step in range(300) for i in range(4)}
        sides[count] = batches, windows
        assert count == 0 or batches.unique(5000) == count
    text = bytes(sides[0][0].corpus.train)
    for count in (1024, 4096):
        assert all(window in text[: count + 1] for window in sides[count][1])
        assert (sides[count][0].heldout(20)[0] == sides[0][0].heldout(20)[0]).all()
    with pytest.raises(InputError, match=r"unique_data is 100000000; corpus .* has \d+ tokens to train on"):
        run(RunConfig(**tiny, unique_data=100_000_000))


def test_training_stops_at_the_target(tiny, tmp_path):
    knobs = {**tiny, "data_seen": 200 * 64, "evaluate_every": 10}
    whole = run(RunConfig(**knobs))
    losses = {p["step"]: p["heldout_loss"] for p in whole["curve"] if "heldout_loss" in p}
    assert sorted(losses) == list(range(10, 201, 10))
    target = 0.5 * (losses[50] + losses[200])
    first = min(step for step, loss in losses.items() if loss <= target)
    row = run(RunConfig(**knobs, target_loss=target), tmp_path)["run"]
    assert (row["steps_to_target"], row["target_loss"]) == (first, target)
    assert row["loss"] == losses[first]
    assert row["data_seen"] == first * 64 < 200 * 64
    assert row["steps_trained"] == first
    never = RunConfig(**knobs, target_loss=0.01)
    row = run(never, tmp_path)["run"]
    assert (row["steps_to_target"], row["steps_trained"]) == (None, 200)
    assert json.loads((tmp_path / f"{never.run_id}.json").read_text())["run"]["steps_to_target"] is None
    steps = bs.load_runs(tmp_path)["steps_to_target"].values.astype(float)
    assert sorted(steps, key=math.isnan)[0] == first
    assert math.isnan(sorted(steps, key=math.isnan)[1])


def test_a_target_counts_from_the_final_sparsity_on(tiny):
    knobs = {**tiny, "data_seen": 80 * 64, "evaluate_every": 10, "sparsity": 0.75, "target_loss": 5.3}
    row = run(RunConfig(**knobs))["run"]
    assert row["steps_to_target"] == 60
    assert row["nonzero_params"] == 3072
    early = run(RunConfig(**knobs, schedule="constant", method="snip", distribution="global", snip_batches=4))["run"]
    assert early["steps_to_target"] < 60
    assert early["sparsity"] == pytest.approx(0.75, abs=1e-3)


def test_a_run_that_reaches_its_target_at_the_last_step_has_reached_it(tiny):
    knobs = {**tiny, "data_seen": 20 * 64, "evaluate_every": 20}
    assert run(RunConfig(**knobs, target_loss=5.5))["run"]["steps_to_target"] == 20


class StopNow(Exception):  # noqa: N818
    """Ends a run from its progress callback."""


def stop_at(at):
    def stop(step, *_):
        if step >= at:
            raise StopNow

    return stop


@pytest.mark.parametrize("sparsity", [0.0, 0.5])
def test_a_watched_run_goes_on_bit_by_bit(finite, tmp_path, sparsity):
    config = RunConfig(**finite, sparsity=sparsity, learning_rate=0.03, schedule="constant" if sparsity else "none")
    whole = run(config, keep_model=tmp_path / "whole.pt")
    for at in (17, whole["run"]["best_step"] + 10):  # before and after its best
        with pytest.raises(StopNow):
            run(config, tmp_path, stop_at(at), checkpoint_seconds=0.0)
    record = run(config, tmp_path, keep_model=tmp_path / "cut.pt")
    assert untimed(record) == untimed(whole)
    kept = [checkpoints.load(tmp_path / f"{name}.pt")["model"] for name in ("whole", "cut")]
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


def test_members_end_one_by_one_as_they_would_have_alone(finite, tmp_path):
    knobs = {**finite, "nonzero_params": 6144, "data_seen": 160 * 64, "learning_rate": 0.005}
    configs = [
        RunConfig(**{**knobs, "learning_rate": 0.02}),
        RunConfig(**{**knobs, "patience": 0, "target_loss": 3.5, "evaluate_every": 7}, seed=1),
        RunConfig(**{**knobs, "nonzero_params": 3072}, sparsity=0.5, schedule="constant"),
        RunConfig(**{**knobs, "patience": 0, "evaluate_every": 0}, seed=2),
    ]
    assert group(configs) == [configs]
    with pytest.raises(StopNow):
        run_ensemble(configs, tmp_path, stop_at(21), checkpoint_seconds=0.0)
    ended = run_ensemble(configs, tmp_path)
    for config, record in zip(configs, ended, strict=True):
        alone = run(config)
        for key in ("steps_to_target", "best_step", "steps_trained", "data_seen", "unique_data", "train_flops"):
            assert record["run"].get(key) == alone["run"].get(key), key
        assert record["run"]["loss"] == pytest.approx(alone["run"]["loss"], rel=3e-3)
        assert [point["step"] for point in record["curve"]] == [point["step"] for point in alone["curve"]]
    assert len({record["curve"][-1]["step"] for record in ended}) > 2  # they do end one by one


def test_held_out_losses_along_a_run_are_part_of_its_cost(tiny):
    knobs = {**tiny, "data_seen": 100 * 64}
    assert units_of_work(RunConfig(**knobs)) == pytest.approx(6400 + 32 * 16 / 3)
    assert units_of_work(RunConfig(**knobs, evaluate_every=25)) == pytest.approx(6400 + 4 * 32 * 16 / 3)


def test_knobs_that_are_off_leave_names_alone(tiny):
    off = {"unique_data": 0, "evaluate_every": 0, "patience": 0, "target_loss": None, "mixture": None}
    assert RunConfig(**tiny).run_id == RunConfig(**tiny, **off).run_id
    assert RunConfig(**off).run_id == "n6144-d1048576-dense-s0-0-c7c6efbb"


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"patience": 3}, "patience is 3, which goes by held-out losses along the run; evaluate_every above 0"),
        ({"target_loss": 2.0}, "target_loss is 2.0, which goes by held-out losses"),
        ({"target_loss": -1.0, "evaluate_every": 5}, "target_loss is -1.0; a number above 0"),
        ({"evaluate_every": -1}, "evaluate_every is -1; a whole number of at least 0"),
        ({"unique_data": 100, "mixture": {"a": 1.0}}, "unique_data is 100, found a mixture; it is of runs on one text"),
        ({"unique_data": 100, "modality": "vision"}, "unique_data is 100, found modality 'vision'"),
    ],
)
def test_wrong_knobs(knobs, message):
    with pytest.raises(InputError, match=message):
        RunConfig(**knobs)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Texts of another kind to pretrain on: the same words, other lines, in files of another ending."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for seed in range(60):
        (folder / f"{seed}.txt").write_text(source_text(5000 + seed).replace(" = ", " := ") + "\n")
    return str(folder)


def test_a_transfer_plan_trains_from_one_corpus_to_another(finite, elsewhere, tmp_path):
    plan = {
        "defaults": {**finite, "data_seen": 60 * 64},
        "grid": [
            {
                "strategy": ["scratch", "pretrained"],
                "pretrain": {"corpus": elsewhere, "suffix": ".txt", "data_seen": 150.0 * 64, "seed": 7},
                "unique_data": [512, 2048],
                "seed": [0, 1],
            }
        ],
    }
    configs = expand(plan).configs
    start = next(config for config in configs if config.corpus == elsewhere)
    assert len(configs) == 2 * 4 + 1
    assert (start.data_seen, start.seed, start.suffix, start.unique_data, start.patience) == (150 * 64, 7, ".txt", 0, 0)
    summary = run_plan(configs, tmp_path)
    assert (len(summary.finished), summary.failed) == (9, {})
    rows = {record["run"]["run_id"]: record["run"] for record in Store(tmp_path).records()}
    for config in configs:
        if config is start:
            continue
        row = rows[config.run_id]
        assert row["corpus"] != rows[start.run_id]["corpus"]
        assert row["available_data"] == config.unique_data
        if config.pretrained is None:
            assert row["strategy"] == "scratch"
            assert "pretrain_corpus" not in row
        else:
            assert row["pretrain_corpus"] == rows[start.run_id]["corpus"]
            assert row["pretrain_data"] == 150 * 64
            scratch = next(
                rows[other.run_id]
                for other in configs
                if other.pretrained is None and (other.seed, other.unique_data) == (config.seed, config.unique_data)
            )
            assert row["loss"] < scratch["loss"]
    table = bs.load_runs(tmp_path)
    assert set(table["strategy"].values.tolist()) == {"scratch", "pretrained"}


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"pretrain": {"corpus": "x"}}, "needs pretrain_data"),
        ({"pretrain": "x", "pretrain_data": 100}, "pretrain is 'x'; a table of knobs"),
        ({"pretrain": {"sparsity": 0.5, "data_seen": 100}}, r"a table of knobs is needed, without \['nonzero_params'"),
        ({"pretrain": {"seed": 1, "data_seen": 100}}, "sparsity above 0 is needed, or pretrain with a corpus"),
    ],
)
def test_wrong_starts(tiny, grid, message):
    with pytest.raises(InputError, match=message):
        expand({"defaults": tiny, "grid": [{"strategy": "pretrained", **grid}]})


def test_a_start_may_be_a_mixture(tiny, elsewhere):
    mixture = {elsewhere: 0.5, tiny["corpus"]: 0.5}
    grid = {"strategy": "pretrained", "pretrain": {"mixture": mixture, "data_seen": 2048}}
    start, later = expand({"defaults": tiny, "grid": [grid]}).configs
    assert dict(start.mixture) == mixture
    assert start.corpus is None
    assert (later.corpus, later.start) == (tiny["corpus"], start.run_id)
