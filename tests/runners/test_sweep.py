import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

import bayes_scaling as bs
from bayes_scaling.runs import InputError
from runners import job
from runners.claims import held, holders
from runners.config import RunConfig
from runners.executors import Ended, Lost
from runners.fingerprint import fingerprint
from runners.plan import expand
from runners.states import changes, states
from runners.store import Store, StoreFullError
from runners.sweep import _Sweep, run_plan, table


def configs_of(tiny, **grid):
    return expand({"defaults": dict(tiny), "grid": [grid or {"sparsity": [0.5, 0.75]}]}).configs


def test_a_sweep_trains_the_cheapest_first_and_skips_what_is_done(tiny, tmp_path):
    configs = configs_of(tiny, sparsity=[0.75, 0.0, 0.5])
    lines = []
    first = run_plan(configs[:1], tmp_path)
    summary = run_plan(configs, tmp_path, progress=lambda where: lines.append(where))
    assert first.finished == summary.skipped == [configs[0].run_id]
    assert summary.finished == [configs[1].run_id, configs[2].run_id]
    assert [line.remaining for line in lines if line.run_id] == [1, 0]
    assert "3 done, 0 running, 0 to go, 100% of" in str(lines[-1])
    again = run_plan(configs, tmp_path)
    assert len(again.skipped) == 3
    assert not again.finished
    assert [row["sparsity"] for row in table(tmp_path)] == [0.0, 0.5, 0.75]


def test_flops_are_told_as_the_records_have_them(tiny, tmp_path):
    lines = []
    run_plan(configs_of(tiny, sparsity=[0.0, 0.5], data_seen=16384), tmp_path, progress=lines.append)
    measured = sum(row["train_flops"] for row in table(tmp_path))
    assert lines[-1].flops == lines[-1].all_flops == pytest.approx(measured, rel=1e-3)


def test_worker_processes_give_the_same_losses(tiny, tmp_path):
    configs = configs_of(tiny)
    run_plan(configs, tmp_path / "one")
    summary = run_plan(configs, tmp_path / "two", workers=2)
    assert sorted(summary.finished) == sorted(config.run_id for config in configs)
    losses = [[row["loss"] for row in table(tmp_path / store)] for store in ("one", "two")]
    assert losses[0] == losses[1]


def test_runs_of_one_shape_train_together(tiny, tmp_path):
    configs = configs_of(tiny, seed=[0, 1, 2])
    summary = run_plan(configs, tmp_path / "together")
    run_plan(configs, tmp_path / "alone", together=1)
    assert len(summary.finished) == 3
    together, alone = (table(tmp_path / store) for store in ("together", "alone"))
    assert {row["ensemble"] for row in together} == {3}
    assert not any("ensemble" in row for row in alone)
    assert [row["loss"] for row in together] == pytest.approx([row["loss"] for row in alone], rel=1e-5)


def test_pretrained_runs_wait_for_their_start(tiny, tmp_path):
    grid = {"strategy": ["scratch", "pretrained"], "sparsity": [0.5], "seed": [0, 1], "pretrain_data": 2048}
    configs = configs_of(tiny, **grid)
    summary = run_plan(configs, tmp_path)
    assert len(summary.finished) == 6
    rows = {row["run_id"]: row for row in table(tmp_path)}
    for config in configs:
        row = rows[config.run_id]
        assert row["strategy"] == ("scratch" if config.pretrained is None else "pretrained")
        if config.pretrained is not None:
            assert row["pretrained"] == config.start
            assert row["pretrain_flops"] == rows[config.start]["train_flops"]
    runs = bs.load_runs(tmp_path)
    assert set(runs["strategy"].to_numpy().tolist()) == {"scratch", "pretrained"}


def test_a_start_whose_model_is_gone_is_trained_again(tiny, tmp_path):
    configs = configs_of(tiny, strategy="pretrained", sparsity=0.5, pretrain_data=2048)
    start, sparse = configs
    assert run_plan([start], tmp_path).finished == [start.run_id]
    assert not (tmp_path / "models").exists()
    with pytest.raises(InputError, match="neither in the plan nor in the store"):
        run_plan([sparse], tmp_path)
    assert run_plan(configs, tmp_path).finished == [start.run_id, sparse.run_id]


def test_what_starts_from_a_failed_run_fails_too(tiny, tmp_path, monkeypatch):
    configs = configs_of(tiny, strategy=["scratch", "pretrained"], sparsity=0.5, pretrain_data=2048)
    fail_where(monkeypatch, lambda config: config.sparsity == 0)
    summary = run_plan(configs, tmp_path)
    assert len(summary.failed) == 2
    assert "the run that it starts from has failed" in summary.failed[configs[-1].run_id]
    assert len(summary.finished) == 1


def fail_where(monkeypatch, condition):
    real = job.run

    def failing(config, *args, **kwargs):
        if condition(config):
            raise RuntimeError("no luck")
        return real(config, *args, **kwargs)

    monkeypatch.setattr(job, "run", failing)


def test_ctrl_c_leaves_whole_records_and_the_rest_for_later(tiny, tmp_path, monkeypatch):
    configs = configs_of(tiny, seed=[0, 1, 2])
    real, calls = job.run, []

    def interrupted(config, *args, **kwargs):
        calls.append(config)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return real(config, *args, **kwargs)

    monkeypatch.setattr(job, "run", interrupted)
    summary = run_plan(configs, tmp_path, together=1)
    assert summary.interrupted
    assert Store(tmp_path).done() == set(summary.finished)
    assert len(summary.finished) == 1
    resumed = run_plan(configs, tmp_path, together=1)
    assert len(resumed.finished) == 2
    assert not resumed.interrupted


def test_an_interrupted_run_leaves_a_checkpoint_and_says_so(tiny, tmp_path):
    config = RunConfig(**{**tiny, "data_seen": 64 * 2000, "sparsity": 0.5})
    store = Store(tmp_path)
    log = tmp_path / "logs" / f"{config.run_id}.log"

    def press():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (log.exists() and "step" in log.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    summary = run_plan([config], tmp_path)
    thread.join()
    assert summary.interrupted
    assert states(store, [config.run_id]) == {config.run_id: "interrupted"}
    assert "interrupted; it goes on from here" in log.read_text()
    assert run_plan([config], tmp_path).finished == [config.run_id]
    assert log.read_text().count(" starts\n") == 2
    lines = [line.split(" step ")[1] for line in log.read_text().splitlines() if " step " in line]
    steps = [int(line.split(" of ")[0].replace(",", "")) for line in lines]
    assert steps == sorted(steps)  # it went on, and did not begin again


def test_one_failing_run_does_not_stop_the_others(tiny, tmp_path, monkeypatch):
    configs = configs_of(tiny, seed=[0, 1])
    fail_where(monkeypatch, lambda config: config.seed == 0)
    summary = run_plan(configs, tmp_path, together=1)
    assert summary.failed == {configs[0].run_id: "RuntimeError: no luck"}
    assert summary.finished == [configs[1].run_id]
    assert "Traceback" in (tmp_path / "logs" / f"{configs[0].run_id}.log").read_text()
    assert states(Store(tmp_path))[configs[0].run_id] == "failed"
    monkeypatch.undo()
    assert run_plan(configs, tmp_path).finished == [configs[0].run_id]


class Doomed:
    """A crew that loses every job."""

    slots = 2

    def __init__(self, blameless):
        self.lost, self.sizes, self._at_work = Lost("it died", blameless), [], []

    def submit(self, job):
        self.sizes.append(len(job.configs))
        self._at_work.append(job)

    def wait(self, _seconds):
        ended, self._at_work = [Ended(job, self.lost) for job in self._at_work], []
        return ended


@pytest.mark.parametrize(("blameless", "tries"), [(False, 5), (True, 50)])
def test_a_run_whose_processes_die_fails_sooner_than_one_whose_machines_do(tiny, tmp_path, blameless, tries):
    configs, crew = configs_of(tiny, sparsity=[0.0, 0.5]), Doomed(blameless)
    sweep = _Sweep(configs, Store(tmp_path), None, (), None)
    sweep.work_off(crew)
    assert set(sweep.summary.failed) == {config.run_id for config in configs}
    assert all("it died, time and again" in error for error in sweep.summary.failed.values())
    assert sum(crew.sizes) == tries * len(configs)


def test_trouble_that_all_runs_have_ends_the_sweep(tiny, tmp_path):
    configs = configs_of({**tiny, "corpus": str(tmp_path / "nothing")}, seed=list(range(20)))
    with pytest.raises(InputError, match="the first 3 runs all failed alike, and the sweep ends: "):
        run_plan(configs, tmp_path / "store", together=1)
    assert len(Store(tmp_path / "store").records()) == 3


def test_a_diverged_run_counts_as_done_until_it_is_asked_for(tiny, tmp_path):
    configs = configs_of(tiny, learning_rate=1e20, clip=1e30)
    assert run_plan(configs, tmp_path).diverged == [configs[0].run_id]
    assert run_plan(configs, tmp_path).skipped == [configs[0].run_id]
    assert table(tmp_path) == []
    assert run_plan(configs, tmp_path, retry=["diverged"]).diverged == [configs[0].run_id]
    assert len(list((tmp_path / "replaced").iterdir())) == 1


def test_changed_code_and_data_show_and_can_be_trained_again(tiny, tmp_path):
    configs = configs_of(tiny, seed=[0, 1, 2])
    run_plan(configs, tmp_path)
    store = Store(tmp_path)
    assert changes(store.contents().records, fingerprint()) == []
    for config, change in zip(configs, ({"code": "0123456789ab"}, {"data": {"sha256": "other"}}), strict=False):
        store.write(store.read(config.run_id) | change)
    said = changes(store.contents().records, fingerprint())
    assert "1 of 3 runs were trained by other code than is installed now: 1 by" in said[0]
    assert "was not the same for all runs: 2 on" in said[1]
    summary = run_plan(configs, tmp_path, retry=["changed"])
    assert sorted(summary.finished) == sorted(config.run_id for config in configs[:2])
    assert changes(store.contents().records, fingerprint()) == []


def test_comments_are_no_change_of_code():
    from runners.fingerprint import _bare

    one = 'def f(x):\n    """Doc."""\n    return x + 1  # why\n'
    assert _bare(one) == _bare("def f(x):\n    return (x + 1)\n") != _bare("def f(x):\n    return x + 2\n")


def test_a_full_store_ends_the_sweep_in_one_sentence(tiny, tmp_path, monkeypatch):
    def full(_, record):
        raise StoreFullError(f"no room for {record['run']['run_id']}")

    monkeypatch.setattr(Store, "write", full)
    with pytest.raises(StoreFullError, match="no room for"):
        run_plan(configs_of(tiny), tmp_path)


def test_unreadable_records_are_set_aside_and_their_runs_trained(tiny, tmp_path):
    configs = configs_of(tiny)
    (tmp_path / f"{configs[0].run_id}.json").write_text('{"schema": 1, "run"')
    (tmp_path / "of_another_plan.json").write_text("{")
    summary = run_plan(configs, tmp_path)
    assert len(summary.finished) == 2
    assert set(summary.unreadable) == {f"{configs[0].run_id}.json", "of_another_plan.json"}
    assert (tmp_path / "replaced" / f"{configs[0].run_id}-1.json").read_text() == '{"schema": 1, "run"'


def test_what_another_process_trains_is_left_to_it(tiny, tmp_path):
    """Held by somebody at first, then let go of: once with a record, once without."""
    configs = configs_of(tiny)
    store = Store(tmp_path)
    mine, theirs = configs
    record = run_plan([theirs], tmp_path / "aside") and Store(tmp_path / "aside").read(theirs.run_id)

    def hold():
        with held(store, [config.run_id for config in configs]):
            started.set()
            time.sleep(1.0)
            store.write(record)

    started = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    started.wait()
    summary = run_plan(configs, tmp_path)
    thread.join()
    assert summary.elsewhere == [theirs.run_id]
    assert summary.finished == [mine.run_id]


def sweep_process(plan, store, *more):
    command = [sys.executable, "-m", "bayes_scaling.cli", "sweep", str(plan), "--store", str(store), *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def plan_file(tiny, tmp_path):
    """Eight runs of about two seconds."""
    path = tmp_path / "plan.json"
    slow = {**tiny, "data_seen": 64 * 300}
    path.write_text(json.dumps({"defaults": slow, "grid": [{"sparsity": [0.0, 0.5], "seed": [0, 1, 2, 3]}]}))
    return path


def test_two_sweeps_on_one_store_train_each_run_once(plan_file, tmp_path):
    options = ("--executor", "inline", "--together", "1")
    both = [sweep_process(plan_file, tmp_path / "store", *options) for _ in range(2)]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert len(Store(tmp_path / "store").done()) == 8
    logs = [log.read_text() for log in (tmp_path / "store" / "logs").iterdir()]
    assert [log.count(" starts\n") for log in logs] == [1] * 8
    assert all("8 done" in text for text in said)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are found in /proc")
def test_killed_workers_and_sweeps_lose_nothing():
    """The long form, fifty kills, is in docs/benchmarks.md."""
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "kill_sweep.py"
    command = [sys.executable, str(script), "--kills", "4", "--runs", "8", "--pause", "6"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no record lost, none twice, none half written" in done.stdout


def test_a_run_without_memory_leaves_a_record_and_the_sweep_goes_on(tiny, tmp_path, monkeypatch):
    import torch

    from runners import train

    configs = configs_of(tiny, sparsity=[0.0, 0.5])
    build = train.build_optimizer

    def full(config, model):
        if config.sparsity == 0.5:
            torch.empty(2**62, dtype=torch.uint8)
        return build(config, model)

    monkeypatch.setattr(train, "build_optimizer", full)
    summary = run_plan(configs, tmp_path)
    assert summary.finished == [configs[0].run_id]
    assert "out of memory" in summary.failed[configs[1].run_id]
    assert bs.load_runs(tmp_path)["sparsity"].to_numpy().tolist() == [0.0]
    (tmp_path / f"{configs[0].run_id}.json").rename(tmp_path / "aside")
    with pytest.raises(InputError, match="holds 1 run records, and all of them failed"):
        bs.load_runs(tmp_path)
    (tmp_path / "aside").rename(tmp_path / f"{configs[0].run_id}.json")
    monkeypatch.undo()
    assert run_plan(configs, tmp_path).finished == [configs[1].run_id]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"together": 0}, "together is 0"),
        ({"retry": ["finished"]}, r"retry is \['finished'\]; allowed are diverged, changed"),
        ({"executor": "cloud"}, "executor 'cloud' is not known; the executors are"),
        ({"executor": "local", "options": {"gpus": 3}}, "executor 'local' has no setting 'gpus'"),
        ({"executor": "inline", "workers": 2}, "the executor 'inline' has 1"),
    ],
)
def test_wrong_settings(tiny, tmp_path, more, message):
    with pytest.raises(InputError, match=message):
        run_plan(configs_of(tiny), tmp_path, **more)


def test_a_store_in_memory_is_for_one_process(tiny, tmp_path):
    address = f"memory://{tmp_path.name}/sweep"
    with pytest.raises(InputError, match="workers of their own cannot see"):
        run_plan(configs_of(tiny), address, workers=2)
    assert len(run_plan(configs_of(tiny), address).finished) == 2
    assert bs.load_curves(address)["train_loss"].dims == ("run", "step")
    assert holders(Store(address)) == {}
