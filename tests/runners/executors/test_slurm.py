"""Jobs through submitit, in processes on this machine; and through Slurm itself where there is one."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")
pytest.importorskip("submitit", reason="the executor needs submitit: install bayes-scaling[slurm]")

from bayes_scaling.runs import InputError
from runners import executors
from runners.executors import slurm as ours
from runners.plan import expand
from runners.states import states
from runners.store import Store
from runners.sweep import run_plan

TIMES = ("wall_seconds", "units_per_second", "peak_memory")
LOCAL = {"executor": "slurm", "options": {"cluster": "local"}}


def configs_of(tiny, **grid):
    return expand({"defaults": dict(tiny), "grid": [grid]}).configs


def plain(store):
    """What runs came to, without what depends on the machine's mood."""
    return [{k: v for k, v in record["run"].items() if k not in TIMES} for record in Store(store).records()]


def once(condition, seconds=90):
    """Wait for something to hold."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    raise TimeoutError


def test_jobs_of_their_own_train_as_the_inline_executor(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    configs = configs_of(tiny, sparsity=0.5, seed=[0, 1, 2])
    assert len(run_plan(configs, "inline", together=2).finished) == 3
    assert len(run_plan(configs, "jobs", workers=2, **LOCAL, together=2).finished) == 3
    assert plain("jobs") == plain("inline")
    assert not Path("jobs/slurm").exists()  # nothing of submitit's stays of jobs with a result


def test_what_slurm_stops_goes_on_in_another_job_and_what_dies_too(tiny, tmp_path):
    """Warned of its time limit, then killed without a word, then left alone."""
    (config,) = configs_of({**tiny, "data_seen": 64 * 600}, sparsity=0.5)
    log = tmp_path / "logs" / f"{config.run_id}.log"
    disturbed = []

    def attempts():
        return log.read_text().split(" starts\n") if log.exists() else []

    def disturb():
        for number in (signal.SIGUSR2, signal.SIGKILL):
            once(lambda: len(attempts()) == len(disturbed) + 2 and " step " in attempts()[-1])
            pid = attempts()[-1].rpartition("[")[2].partition("]")[0]
            os.kill(int(pid), number)
            disturbed.append(number)

    thread = threading.Thread(target=disturb)
    thread.start()
    assert run_plan([config], tmp_path, **LOCAL).finished == [config.run_id]
    thread.join()
    assert len(disturbed) == 2
    assert len(attempts()) == 1 + 3
    assert log.read_text().count("interrupted; it goes on from here") == 1
    assert len(list((tmp_path / "slurm").glob("*_log.out"))) == 1  # of the job that was killed


def test_ctrl_c_ends_the_jobs_and_leaves_checkpoints(tiny, tmp_path):
    (config,) = configs_of({**tiny, "data_seen": 64 * 3000}, sparsity=0.5)

    def press():
        once(lambda: [" step " in log.read_text() for log in (tmp_path / "logs").glob("*.log")] == [True])
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    summary = run_plan([config], tmp_path, **LOCAL)
    thread.join()
    assert summary.interrupted
    assert states(Store(tmp_path)) == {config.run_id: "interrupted"}
    assert not (tmp_path / "slurm").exists()


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A folder of commands of Slurm that say what a test wants them to."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def command(name, text, status=0):
        (folder / name).write_text(
            f"#!/bin/sh\necho \"$@\" >> {folder}/{name}.calls\ncat <<'END'\n{text}\nEND\nexit {status}\n"
        )
        (folder / name).chmod(0o755)
        return folder / f"{name}.calls"

    return command


class Task:
    """A batch job as submitit tells of it."""

    def __init__(self, folder, job_id, said=""):
        self.job_id, self._said = job_id, said
        self.paths = SimpleNamespace(result_pickle=folder / f"{job_id}_0_result.pkl", folder=folder)

    def stdout(self):
        return self._said


@pytest.mark.parametrize("state", ["TIMEOUT", "PREEMPTED", "NODE_FAIL", "CANCELLED", "OUT_OF_MEMORY", "FAILED"])
def test_a_job_that_ends_without_a_result_is_lost_with_its_state(tmp_path, monkeypatch, commands, state):
    monkeypatch.setattr(ours, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(ours.SlurmQueue, "late", 0.0)
    asked = commands("squeue", f"7|{state}\n8|RUNNING\n9|PENDING")
    crew = ours.SlurmCrew(SimpleNamespace(folder=tmp_path), "store", 3, ours.SlurmQueue())
    crew._running = {
        Task(tmp_path, "7", "one\nslurmstepd: killed\n"): "a",
        Task(tmp_path, "8"): "b",
        Task(tmp_path, "9"): "c",
    }
    (ended,) = crew.wait(5.0)
    assert ended.job == "a"
    assert f"its Slurm job ended as {state}, its output ends with 'slurmstepd: killed'" in ended.result.reason
    assert ended.result.blameless == (state in ("PREEMPTED", "NODE_FAIL"))
    assert asked.read_text().splitlines() == ["--noheader --states=all --format=%i|%T --jobs=7,8,9"]


def test_slurm_is_asked_seldom_and_a_silent_one_is_believed_to_be_at_work(tmp_path, commands):
    asked = commands("squeue", "slurm_load_jobs error: Unable to contact slurm controller", status=1)
    queue = ours.SlurmQueue()
    for _ in range(100):
        assert queue.states([Task(tmp_path, "7")]) == {}
    assert not asked.exists()
    assert queue.ask([Task(tmp_path, "7")]) == {"7": ""}


def test_what_slurm_has_forgotten_accounting_may_know(tmp_path, commands):
    commands("squeue", "8|RUNNING")
    accounting = commands("sacct", "CANCELLED by 0")
    queue = ours.SlurmQueue()
    tasks = [Task(tmp_path, "7"), Task(tmp_path, "8")]
    assert queue.ask(tasks) == queue.ask(tasks) == {"7": "CANCELLED", "8": "RUNNING"}
    assert len(accounting.read_text().splitlines()) == 1


def test_a_batch_script_asks_for_what_was_set(tiny, tmp_path, commands):
    """Slurm's refusal of a first job ends the sweep in one sentence, and the script that it refused is there."""
    commands("srun", "")
    script = tmp_path / "script"
    calls = commands("sbatch", "")
    (calls.parent / "sbatch").write_text(
        f"#!/bin/sh\ncp $1 {script}\necho 'sbatch: error: invalid partition specified: long' >&2\nexit 1\n"
    )
    options = {"partition": "long", "account": "team", "qos": "low", "time": 90, "gpus": 1, "memory": 12}
    options |= {"more": "--constraint=a100 --exclude='node[1-3]' --exclusive", "setup": "module load cuda"}
    configs = configs_of({**tiny, "threads": 3}, sparsity=0.5)
    with pytest.raises(InputError, match=r"Slurm does not take a job: .*invalid partition specified: long"):
        run_plan(configs, tmp_path / "store", executor="slurm", options=options)
    lines = script.read_text().splitlines()
    wanted = "partition=long account=team qos=low time=90 gpus-per-node=1 mem=12GB cpus-per-task=3 nodes=1 "
    wanted += "constraint=a100 exclude='node[1-3]' exclusive no-requeue ntasks-per-node=1 signal=USR2@90"
    assert {f"#SBATCH --{each}" for each in wanted.split()} <= set(lines)
    assert "module load cuda" in lines
    assert any("srun" in line and "--cpus-per-task=3" in line for line in lines)


def test_what_slurm_refuses_for_now_is_sent_when_a_job_has_ended(tmp_path):
    answers = iter([Task(tmp_path, "1"), RuntimeError("QOSMaxSubmitJobPerUserLimit"), Task(tmp_path, "2")])

    def submit(function, job, address):  # noqa: ARG001
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    queue = SimpleNamespace(states=lambda _: {"1": "TIMEOUT"}, late=0.0)
    crew = ours.SlurmCrew(SimpleNamespace(folder=tmp_path, submit=submit), "store", 2, queue)
    crew.submit("a")
    crew.submit("b")
    (ended,) = crew.wait(1.0)
    assert ended.job == "a"
    assert list(crew._running.values()) == ["b"]


def test_a_sweep_inside_a_batch_job_hands_on_none_of_its_variables(monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_CPUS_PER_TASK", "SLURM_CONF"):
        monkeypatch.setenv(name, "1")
    with ours._own_variables():
        assert {name for name in os.environ if name.startswith("SLURM_")} == {"SLURM_CONF"}
    assert os.environ["SLURM_CPUS_PER_TASK"] == "1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time": 0.5}, "time is 0.5; a whole number of at least 1"),
        ({"gpus": -1}, "gpus is -1; a whole number of at least 0"),
        ({"memory": "much"}, "memory is 'much'; a positive number of GB"),
        ({"cluster": "cloud"}, "cluster is 'cloud'; allowed are slurm, local"),
        ({"cores": 2}, "executor 'slurm' has no setting 'cores'"),
    ],
)
def test_wrong_settings(options, message):
    with pytest.raises(InputError, match=message):
        executors.get("slurm", **options)


def test_options_in_other_words_than_those_of_sbatch_are_refused(tiny, tmp_path):
    with pytest.raises(InputError, match="more is 'constraint=a100'; options like --constraint=a100"):
        run_plan(configs_of(tiny, sparsity=0.5), tmp_path, executor="slurm", options={"more": "constraint=a100"})


def test_a_machine_without_slurm_is_told_of(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="there is no Slurm on this machine"):
        run_plan(configs_of(tiny, sparsity=0.5), tmp_path / "store", executor="slurm")


def test_a_store_elsewhere_needs_a_folder_for_submitit(tiny, tmp_path):
    with pytest.raises(InputError, match="workers of their own cannot see"):
        run_plan(configs_of(tiny, sparsity=0.5), f"memory://{tmp_path.name}", executor="slurm")


def test_a_missing_extra_is_named(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"pip install 'bayes-scaling\[slurm\]'"):
        run_plan(configs_of(tiny, sparsity=0.5), tmp_path, executor="slurm")


def slurm_answers():
    return (
        shutil.which("sinfo") is not None
        and subprocess.run(["sinfo"], capture_output=True, timeout=30, check=False).returncode == 0
    )


@pytest.mark.skipif(not slurm_answers(), reason="no Slurm answers on this machine (sinfo)")
def test_slurm_itself_trains_a_plan(tiny, tmp_path):
    configs = configs_of(tiny, sparsity=0.5)
    summary = run_plan(configs, tmp_path, workers=None, executor="slurm", options={"time": 5})
    assert summary.finished == [configs[0].run_id]
