# ruff: noqa: E402
"""Nothing is lost: killed runs go on, bit by bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from bayes_scaling.runs import InputError
from runners import checkpoints
from runners.records import records_to_rows
from runners.store import Store
from runners.train import RunConfig, run

CHILD = """
import json, sys
from pathlib import Path
from runners.train import RunConfig, run
knobs, store = json.loads(sys.argv[1]), Path(sys.argv[2])
run(RunConfig(**knobs), store, checkpoint_seconds=0.0, keep_model=store / "models" / "end.pt")
"""

STEPS = 400


def knobs_of(tiny, **more):
    return {**tiny, "data_seen": STEPS * 4 * 16, "sparsity": 0.75, "seed": 3, **more}


def start(knobs, store):
    return subprocess.Popen([sys.executable, "-c", CHILD, json.dumps(knobs), str(store)])


def result_of(store, config):
    """What must not depend on being killed: record without times, and the model's bytes."""
    record = Store(store).read(config.run_id)
    row = {k: v for k, v in record["run"].items() if k not in ("wall_seconds", "units_per_second", "peak_memory")}
    return row, record["curve"], checkpoints.load(store / "models" / "end.pt")["model"]


def test_a_run_killed_at_any_point_ends_as_one_that_was_not(tiny, tmp_path):
    knobs = knobs_of(tiny)
    config = RunConfig(**knobs)
    run(config, tmp_path / "whole", keep_model=tmp_path / "whole" / "models" / "end.pt")
    store, rng, kills = tmp_path / "killed", random.Random(0), 0
    checkpoint = store / "checkpoints" / f"{config.run_id}.pt"
    for _ in range(2):
        child = start(knobs, store)
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while child.poll() is None and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before):
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.25))
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
            kills += 1
        child.wait(timeout=60)
    assert kills
    if not Store(store).is_done(config.run_id):
        assert start(knobs, store).wait(timeout=120) == 0
    assert_same(store, tmp_path / "whole", config)
    assert not checkpoint.exists()
    assert not list(store.glob("*.tmp"))


def assert_same(store, whole, config):
    row, curve, model = result_of(store, config)
    whole_row, whole_curve, whole_model = result_of(whole, config)
    assert row == whole_row
    assert curve == whole_curve
    assert model.keys() == whole_model.keys()
    assert all(torch.equal(model[name], whole_model[name]) for name in model)


class StopNow(Exception):  # noqa: N818
    """Ends a run from its progress callback."""


def stopped(config, store, at):
    def stop(step, steps, loss):  # noqa: ARG001
        if step >= at:
            raise StopNow

    with pytest.raises(StopNow):
        run(config, store, stop, checkpoint_seconds=0.0)
    return store / "checkpoints" / f"{config.run_id}.pt"


@pytest.mark.parametrize(
    "more",
    [
        {"structure": "2:4", "sparsity": 0.5, "decay": "wsd"},
        {"structure": "block:4x4", "distribution": "global"},
        {"distribution": "erk", "schedule": "one_shot", "activation": "swiglu"},
        {"schedule": "constant", "embedding_sparsity": "none"},
        {"sparsity": 0.0},
    ],
    ids=repr,
)
def test_every_kind_of_run_goes_on_bit_by_bit(tiny, tmp_path, more):
    config = RunConfig(**{**knobs_of(tiny, **more), "data_seen": 200 * 4 * 16})
    run(config, tmp_path / "whole", keep_model=tmp_path / "whole" / "models" / "end.pt")
    for at in (20, 70, 110, 130):  # before, on and after the ramp
        stopped(config, tmp_path / "cut", at)
    run(config, tmp_path / "cut", keep_model=tmp_path / "cut" / "models" / "end.pt")
    assert_same(tmp_path / "cut", tmp_path / "whole", config)


def test_it_goes_on_where_it_was_and_not_from_the_start(tiny, tmp_path):
    config = RunConfig(**knobs_of(tiny))
    place = stopped(config, tmp_path, at=200)
    assert checkpoints.load(place)["account"]["step"] == 199
    told = []
    run(config, tmp_path, lambda step, *_: told.append(step))
    assert told[0] == 200
    assert Store(tmp_path).read(config.run_id)["curve"][0]["step"] == 20


def test_a_checkpoint_cut_short_is_told_and_left_alone(tiny, tmp_path):
    config = RunConfig(**knobs_of(tiny))
    place = stopped(config, tmp_path, at=100)
    whole = place.read_bytes()
    place.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"checkpoint .* cannot be read \(\d+ bytes: cut short.*delete it"):
        run(config, tmp_path)
    assert place.stat().st_size == len(whole) // 2


def test_a_file_that_holds_code_is_not_run(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match="cannot be read"):
        checkpoints.load(tmp_path / "evil.pt")
    torch.save({"format": 1, "evil": Evil()}, tmp_path / "zip.pt")
    with pytest.raises(InputError, match="cannot be read"):
        checkpoints.load(tmp_path / "zip.pt")
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_of_other_text_is_refused(tiny, tmp_path, corpus_folder):
    config = RunConfig(**knobs_of(tiny))
    place = stopped(config, tmp_path, at=100)
    saved = checkpoints.load(place)
    for what, told in (("sha256", "another corpus"), ("tokenizer_sha256", "another tokenizer")):
        checkpoints.save(place, {**saved, "data": {**saved["data"], what: "0" * 64}})
        with pytest.raises(InputError, match=told):
            run(config, tmp_path)
    assert str(corpus_folder) in config.corpus


def test_running_out_of_memory_is_a_record_and_is_tried_again(tiny, tmp_path, monkeypatch):
    config = RunConfig(**tiny)

    def full(*_, **__):
        return torch.empty(2**62, dtype=torch.uint8)  # what the CPU's allocator says is what is tested

    with monkeypatch.context() as patch:
        patch.setattr("runners.train.build_optimizer", full)
        record = run(config, tmp_path)
    assert record["status"] == "failed"
    assert record["error"].startswith("out of memory")
    assert not Store(tmp_path).is_done(config.run_id)
    assert Store(tmp_path).done() == set()
    assert records_to_rows(Store(tmp_path).records()) == []
    assert run(config, tmp_path)["status"] == "finished"
    assert Store(tmp_path).done() == {config.run_id}


def test_other_errors_are_not_taken_for_that(tiny, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("something else")

    monkeypatch.setattr("runners.train.build_optimizer", broken)
    with pytest.raises(RuntimeError, match="something else"):
        run(RunConfig(**tiny))
