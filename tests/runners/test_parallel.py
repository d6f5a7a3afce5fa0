# ruff: noqa: E402
"""One run on two processes, which torchrun starts, is the run that one process makes."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from bayes_scaling.runs import InputError
from runners import checkpoints
from runners.interrupts import RunInterrupted
from runners.parallel import VARIABLES, join
from runners.store import Store
from runners.sweep import run_plan
from runners.train import RunConfig, run

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this build of torch trains alone")

MODES = ("ddp", "fsdp")
STEPS, CUT = 30, 13

KINDS = {
    "gradual": {"sparsity": 0.75, "landscape": True},
    "2:4": {"sparsity": 0.5, "structure": "2:4"},
    "blocks over all tensors": {"sparsity": 0.75, "structure": "block:4x4", "distribution": "global"},
    "one shot, erk, power": {"sparsity": 0.75, "distribution": "erk", "schedule": "one_shot", "power": 2.0},
    "static random": {"sparsity": 0.75, "method": "random", "schedule": "constant", "embedding_sparsity": "none"},
    "rigl": {"sparsity": 0.75, "method": "rigl", "schedule": "constant", "distribution": "erk", "update_every": 7},
    "sr-ste": {"sparsity": 0.5, "structure": "2:4", "method": "srste", "schedule": "constant"},
    "snip": {"sparsity": 0.75, "method": "snip", "schedule": "constant", "distribution": "global", "snip_batches": 3},
    "dense, with noise": {"input_noise": 0.1},
}
CUT_KIND = {"sparsity": 0.75, "evaluate_every": 5, "patience": 9, "schedule": "constant", "seed": 5}
REFUSED = {
    "batch_size is 5, which 2 ranks cannot split evenly": {"batch_size": 5},
    "dropout is 0.1, and parallel is": {"dropout": 0.1},
}
REFUSED_SHARDED = {
    "method 'snip' needs whole weights": {"sparsity": 0.75, "method": "snip", "schedule": "constant"},
}

WORKER = """
import json, os, signal, sys
from pathlib import Path
from bayes_scaling.runs import InputError
from runners.ensemble import run_ensemble
from runners.interrupts import RunInterrupted
from runners.parallel import join
from runners.sweep import run_plan
from runners.train import RunConfig, run

task = json.loads(sys.argv[1])
base, tiny, said = Path(task["base"]), task["tiny"], {}


def refused(name, do):
    try:
        do()
    except InputError as error:
        said.setdefault(name, []).append(str(error))


def cut(store, ranks):
    def stop(step, *_):
        if step >= task["cut"] and ranks.number == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        run(config, store, stop, ranks=ranks)
    except RunInterrupted:
        said.setdefault("stopped", []).append(ranks.number)


for mode in ("ddp", "fsdp"):
    with join(mode, "cpu") as ranks:
        for name, kind in task["kinds"].items():
            if mode == "ddp" or kind.get("method") != "snip":
                run(RunConfig(**tiny | kind), base / mode, keep_model=True, ranks=ranks)
        config = RunConfig(**tiny | task["cut_kind"])
        run(config, base / f"whole-{mode}", keep_model=True, ranks=ranks)
        cut(base / f"left-{mode}", ranks)
        run(config, base / f"taken-{mode}", keep_model=True, ranks=ranks)  # one process left a checkpoint there
        cut(base / f"cut-{mode}", ranks)
        run(config, base / f"cut-{mode}", keep_model=True, ranks=ranks)
        if mode == "ddp":
            cut(base / "moved", ranks)  # fsdp goes on from there, below
        for kind in task["refused"] + (task["refused_sharded"] if mode == "fsdp" else []):
            refused(mode, lambda: run(RunConfig(**tiny | kind), ranks=ranks))
with join("fsdp", "cpu") as ranks:
    run(config, base / "moved", keep_model=True, ranks=ranks)
    other = RunConfig(**tiny | {"seed": ranks.number})
    refused("different", lambda: run(other, ranks=ranks))
refused("alone", lambda: run(config))
refused("alone", lambda: run_ensemble([config]))
refused("alone", lambda: run_plan([config], base / "sweep"))
(base / f"said-{ranks.number}.json").write_text(json.dumps(said))
"""

FAILING = """
import json, os, signal, sys, time
from pathlib import Path
from runners import parallel
from runners.train import RunConfig, run

Path(sys.argv[2] + "-" + os.environ["RANK"]).touch()
while not all(Path(f"{sys.argv[2]}-{rank}").exists() for rank in (0, 1)):
    time.sleep(0.05)  # importing takes as long as it takes; what follows has a time limit
parallel.TIMEOUT = float(sys.argv[3])
knobs, store = json.loads(sys.argv[1]), sys.argv[2]


def trouble(step, *_):
    if os.environ["RANK"] != "1":
        return
    if sys.argv[4] == "raise":
        raise ValueError("a cosmic ray")
    os.kill(os.getpid(), getattr(signal, sys.argv[4]))


with parallel.join("ddp", "cpu") as ranks:
    record = run(RunConfig(**knobs), store, trouble, ranks=ranks)
print(record["error"])
sys.exit(1)
"""


def torchrun(*command):
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--nnodes", "1", "--nproc-per-node", "2"),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"),
        *map(str, command),
    ]


def environment(**more):
    root = str(Path(__file__).parents[2])
    alone = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    path = os.pathsep.join([root, *filter(None, [alone.get("PYTHONPATH")])])
    return alone | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | more


def model_of(store, config):
    return checkpoints.load(store / "models" / f"{config.run_id}.pt")["model"]


def left_by_one(config, store):
    def stop(step, *_):
        if step >= CUT:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(RunInterrupted):
        run(config, store, stop)


@pytest.fixture(scope="module")
def settings(corpus_folder):
    return {
        "corpus": str(corpus_folder),
        "nonzero_params": 3072,
        "data_seen": STEPS * 4 * 16,
        "context": 16,
        "batch_size": 4,
        "prune_every": 3,
        "heldout_items": 33,  # which two do not divide
        "device": "cpu",
    }


@pytest.fixture(scope="module")
def trained(settings, tmp_path_factory):
    """Everything on two ranks at once, since starting Python takes most of the time; and the same on one."""
    base = tmp_path_factory.mktemp("parallel")
    cut = RunConfig(**settings | CUT_KIND)
    for mode in MODES:
        left_by_one(cut, base / f"taken-{mode}")
    task = {
        "base": str(base),
        "tiny": settings,
        "kinds": KINDS,
        "cut": CUT,
        "cut_kind": CUT_KIND,
        "refused": list(REFUSED.values()),
        "refused_sharded": list(REFUSED_SHARDED.values()),
    }
    (base / "worker.py").write_text(WORKER)
    command = torchrun(base / "worker.py", json.dumps(task))
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-4000:]
    one = {}
    for name, kind in {**KINDS, "cut": CUT_KIND}.items():
        config = RunConfig(**settings | kind)
        one[name] = run(config, base / "one", keep_model=True)
    said = [json.loads((base / f"said-{rank}.json").read_text()) for rank in (0, 1)]
    return SimpleNamespace(base=base, one=one, cut=cut, said=said)


def difference(one, other):
    """The largest difference of any loss on two curves of the same shape."""
    assert [point.keys() for point in one] == [point.keys() for point in other]
    losses = ("train_loss", "heldout_loss")
    for point, its in zip(one, other, strict=True):
        assert {k: v for k, v in point.items() if k not in losses} == {k: v for k, v in its.items() if k not in losses}
    pairs = zip(one, other, strict=True)
    return max(abs(point[name] - its[name]) for point, its in pairs for name in losses if name in point)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", KINDS)
def test_two_ranks_make_the_run_that_one_makes(trained, settings, name, mode):
    if (name, mode) == ("snip", "fsdp"):
        pytest.skip("refused, as another test has it")
    config = RunConfig(**settings | KINDS[name])
    one, two = trained.one[name], Store(trained.base / mode).read(config.run_id)
    assert two["run"]["parallel"] == mode
    assert two["run"]["ranks"] == 2
    assert "ranks" not in one["run"]
    assert difference(one["curve"], two["curve"]) < 1e-5
    assert two["run"]["loss"] == pytest.approx(one["run"]["loss"], abs=1e-5)
    assert two["run"]["eval_se"] == pytest.approx(one["run"]["eval_se"], abs=1e-6)
    for what in ("config", "flops", "data", "parameters"):
        assert json.loads(json.dumps(two[what])) == json.loads(json.dumps(one[what])), what
    model, its = model_of(trained.base / "one", config), model_of(trained.base / mode, config)
    assert model.keys() == its.keys()
    for key, tensor in model.items():
        if key.endswith("mask"):
            assert torch.equal(its[key], tensor), key
        else:
            torch.testing.assert_close(its[key], tensor, atol=1e-4, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_spectra_are_of_whole_matrices(trained, settings, mode):
    config = RunConfig(**settings | KINDS["gradual"])
    one, two = trained.one["gradual"], Store(trained.base / mode).read(config.run_id)
    assert two["landscape"]["before"] == one["landscape"]["before"]
    for name, figures in one["landscape"]["after"].items():
        assert two["landscape"]["after"][name]["spectral_norm"] == pytest.approx(figures["spectral_norm"], abs=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_a_signal_to_one_rank_ends_all_with_one_checkpoint_that_one_process_goes_on_from(trained, mode):
    store, config = trained.base / f"left-{mode}", trained.cut
    assert all(said["stopped"].count(rank) == 5 for rank, said in enumerate(trained.said))
    assert sorted(path.name for path in store.rglob("*") if path.is_file()) == [f"{config.run_id}.pt"]
    saved = checkpoints.load(store / "checkpoints" / f"{config.run_id}.pt")
    assert CUT <= saved["account"]["step"] < STEPS
    told = []
    record = run(config, store, lambda step, *_: told.append(step))
    assert told[0] > saved["account"]["step"]
    assert "ranks" not in record["run"]
    assert difference(record["curve"], trained.one["cut"]["curve"]) < 1e-5


@pytest.mark.parametrize("mode", MODES)
def test_ranks_go_on_from_where_one_process_stopped(trained, mode):
    record = Store(trained.base / f"taken-{mode}").read(trained.cut.run_id)
    assert record["run"]["ranks"] == 2
    assert difference(record["curve"], trained.one["cut"]["curve"]) < 1e-5
    assert not list((trained.base / f"taken-{mode}" / "checkpoints").iterdir())


@pytest.mark.parametrize("mode", MODES)
def test_a_run_cut_on_two_ranks_ends_bit_for_bit_as_one_that_was_not(trained, mode):
    cut, whole = trained.base / f"cut-{mode}", trained.base / f"whole-{mode}"
    assert Store(cut).read(trained.cut.run_id)["curve"] == Store(whole).read(trained.cut.run_id)["curve"]
    model, its = model_of(whole, trained.cut), model_of(cut, trained.cut)
    assert all(torch.equal(its[name], tensor) for name, tensor in model.items())


def test_checkpoints_move_between_replicas_and_shards(trained):
    record = Store(trained.base / "moved").read(trained.cut.run_id)
    assert record["run"]["parallel"] == "fsdp"
    assert difference(record["curve"], trained.one["cut"]["curve"]) < 1e-5


def test_what_two_ranks_cannot_train_is_refused_with_the_reason(trained):
    for said in trained.said:
        for mode in MODES:
            reasons = [*REFUSED, *(REFUSED_SHARDED if mode == "fsdp" else {})]
            assert len(said[mode]) == len(reasons)
            assert all(reason in text for reason, text in zip(reasons, said[mode], strict=True))
        assert all("rank 1 has run n3072" in text and "all ranks need the same" in text for text in said["different"])
        for what, text in zip(("a run without parallel", "an ensemble", "a sweep"), said["alone"], strict=True):
            assert f"torchrun started 2 processes, and {what} trains in one" in text


def test_the_command_line_trains_on_what_torchrun_started(trained, settings, tmp_path):
    options = ("corpus", "nonzero_params", "data_seen", "device")
    config = RunConfig(**settings | KINDS["gradual"])
    knobs = {name: value for name, value in (settings | KINDS["gradual"]).items() if name not in options}
    command = [
        *("-m", "bayes_scaling.cli", "train", "--parallel", "fsdp", "--store", tmp_path, "--json", "--suffix", ".py"),
        *(part for name in options for part in (f"--{name.replace('_', '-')}", settings[name])),
        *("--sparsity", knobs.pop("sparsity")),
        *(part for name, value in knobs.items() for part in ("--set", f"{name}={value}")),
    ]
    done = subprocess.run(torchrun(*command), env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stderr.count(f"run {config.run_id}: decoder of 2 layers") == 1  # one of them speaks
    record = json.loads(done.stdout)
    assert record == Store(tmp_path).read(config.run_id)
    # The same ranks and the same arithmetic as in the other test.
    assert record["curve"] == Store(trained.base / "fsdp").read(config.run_id)["curve"]


def test_a_rank_that_fails_ends_the_run_and_the_record_says_which_and_why(settings, tmp_path):
    (tmp_path / "worker.py").write_text(FAILING)
    arguments = (json.dumps(settings), str(tmp_path / "store"), "300", "raise")
    command = torchrun(tmp_path / "worker.py", *arguments)
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 1
    record = Store(tmp_path / "store").read(RunConfig(**settings).run_id)
    assert record["status"] == "failed"
    assert record["error"] == "rank 1 of 2 failed: ValueError: a cosmic ray"
    assert record["error"] in done.stdout + done.stderr
    assert 'raise ValueError("a cosmic ray")' in done.stderr  # the traceback
    assert not math.isfinite(record["run"]["loss"] or math.nan)


@pytest.mark.parametrize("trouble", ["SIGKILL", "SIGSTOP"])
def test_a_rank_that_is_killed_or_stalls_does_not_hang_the_others(settings, tmp_path, trouble):
    (tmp_path / "worker.py").write_text(FAILING)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [sys.executable, tmp_path / "worker.py", json.dumps(settings), tmp_path / "store", "15", trouble]
    ranks = []
    try:
        for rank in (0, 1):  # by hand, for torchrun would end the other one itself
            told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            variables = environment(**{name: str(value) for name, value in told.items()})
            ranks.append(subprocess.Popen(list(map(str, arguments)), env=variables, stdout=subprocess.PIPE, text=True))
        said, _ = ranks[0].communicate(timeout=600)
    finally:
        for process in ranks:
            process.kill()
            process.wait()
    assert ranks[0].returncode == 1
    record = Store(tmp_path / "store").read(RunConfig(**settings).run_id)
    assert record["status"] == "failed"
    assert "rank 0 of 2 lost the others; one was killed, or did not answer for 15 s" in record["error"]
    assert record["error"] in said


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT of torchrun is not set; start it with torchrun"),
        ({"WORLD_SIZE": "2"}, "RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT of torchrun is not set"),
        (dict.fromkeys(VARIABLES, "2"), "RANK is 2 and WORLD_SIZE 2; a rank below it is needed"),
        (dict.fromkeys(VARIABLES, "two"), "RANK is 'two'; torchrun sets it to a whole number"),
    ],
)
def test_without_all_that_torchrun_tells_it_is_refused(monkeypatch, variables, message):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message), join("fsdp", "cpu"):
        pass


def test_an_unknown_way_is_refused_by_name():
    with pytest.raises(InputError, match="parallel is 'pipeline'; allowed are 'ddp', 'fsdp'"), join("pipeline"):
        pass


def test_a_variable_that_some_clusters_set_everywhere_hinders_nobody(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    config = RunConfig(**settings | {"data_seen": 4 * 16})
    assert run_plan([config], tmp_path).finished == [config.run_id]
