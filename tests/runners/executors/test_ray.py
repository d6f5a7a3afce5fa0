"""Real clusters on loopback: one of this machine's own, and two nodes of which one is killed."""

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

# Ray reads these when it is imported.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on every system, that is how Ray stays on 127.0.0.1
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),  # or Ray leaves one in the home folder
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
}
pytest.importorskip("ray", reason="the executor needs Ray: install bayes-scaling[ray]")

import ray

from bayes_scaling.runs import InputError
from runners import executors
from runners.claims import holders
from runners.executors import ray as ours
from runners.plan import expand
from runners.states import states
from runners.store import Store
from runners.sweep import run_plan

TIMES = ("wall_seconds", "units_per_second", "peak_memory")

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are found in /proc")


def configs_of(tiny, **grid):
    return expand({"defaults": dict(tiny), "grid": [grid]}).configs


def plain(store):
    """What runs came to, without what depends on the machine's mood."""
    return [{k: v for k, v in record["run"].items() if k not in TIMES} for record in Store(store).records()]


def ray_processes():
    """Ids of Ray's processes: its own programs, and workers, which are called ray::…"""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (folder / "cmdline").read_bytes()
            if line.startswith(b"ray::") or b"/ray/core/src/ray/" in line or b"/ray/_private/" in line:
                found.add(folder.name)
    return found


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    before = ray_processes()
    yield
    deadline = time.monotonic() + 10
    while (left := ray_processes() - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == set()
    assert not ray.is_initialized()


@pytest.fixture
def two_nodes():
    """A head without room for jobs, and two nodes for one job each."""
    from ray.cluster_utils import Cluster

    memory = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **memory})
    try:
        yield cluster, [cluster.add_node(num_cpus=1, num_gpus=1, **memory) for _ in range(2)]
    finally:
        logging.disable(logging.WARNING)
        cluster.shutdown()
        logging.disable(logging.NOTSET)


def once(condition, seconds=90):
    """Wait for something to hold."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    raise TimeoutError


def test_a_cluster_of_its_own_trains_as_the_inline_executor_and_ctrl_c_leaves_a_checkpoint(tiny, tmp_path, monkeypatch):
    """One cluster that lasts for two sweeps, since it takes seconds to start."""
    monkeypatch.chdir(tmp_path)
    configs = configs_of(tiny, sparsity=[0.0, 0.5], seed=[0, 1])
    assert len(run_plan(configs, "inline", together=2).finished) == 4
    with ours._connected(None, 2):
        # A relative store is one of this folder, wherever workers are.
        summary = run_plan(configs, "cluster", workers=2, executor="ray", together=2)
        assert sorted(summary.finished) == sorted(config.run_id for config in configs)
        assert plain("cluster") == plain("inline")
        with pytest.raises(InputError, match=r"no node of the Ray cluster has room for a job \(CPUs: 1, GPUs: 64\)"):
            run_plan(configs_of(tiny, sparsity=0.75), "cluster", executor="ray", options={"gpus": 64})

        (long,) = configs_of({**tiny, "data_seen": 64 * 400}, sparsity=0.5)
        log = Path("cluster/logs") / f"{long.run_id}.log"

        def press():
            once(lambda: log.exists() and "step" in log.read_text())
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=press)
        thread.start()
        assert run_plan([long], "cluster", executor="ray").interrupted
        thread.join()
        assert states(Store("cluster"), [long.run_id]) == {run.run_id: "finished" for run in configs} | {
            long.run_id: "interrupted"
        }
        assert "interrupted; it goes on from here" in log.read_text()
        assert run_plan([long], "cluster", executor="ray").finished == [long.run_id]


def test_what_a_killed_node_was_training_the_other_one_finishes(tiny, tmp_path, two_nodes):
    cluster, nodes = two_nodes
    configs = configs_of({**tiny, "data_seen": 64 * 300}, sparsity=[0.0, 0.5], seed=[0, 1])
    assert len(run_plan(configs, tmp_path / "inline", together=1).finished) == 4
    store, slots, killed = Store(tmp_path / "store"), [], threading.Event()
    real = ours.RayCrew.submit

    def submit(self, job):
        slots.append(self.slots)
        real(self, job)

    def kill():
        once(lambda: len(holders(store)) == 2)  # both nodes are at work
        cluster.remove_node(nodes[0], allow_graceful=False)
        killed.set()

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ours.RayCrew, "submit", submit)
        summary = run_plan(
            configs, store, workers=None, executor="ray", options={"address": cluster.address, "gpus": 0.5}, together=1
        )
    thread.join()
    assert killed.is_set()
    assert ray_processes()  # or the fixture that looks for them would find none ever
    assert sorted(summary.finished + summary.elsewhere) == sorted(config.run_id for config in configs)
    assert plain(store) == plain(tmp_path / "inline")
    assert slots[0] == 2
    assert [log.read_text().count(" finished after ") for log in (tmp_path / "store" / "logs").iterdir()] == [1] * 4


@pytest.mark.parametrize(
    ("gpus", "node", "jobs"),
    [
        (0, {"CPU": 8}, 4),
        (0.25, {"CPU": 64, "GPU": 2}, 8),
        (0.4, {"CPU": 64, "GPU": 2}, 4),  # two on each, although five would fit on 2.0
        (2, {"CPU": 64, "GPU": 7}, 3),
        (1, {"CPU": 6, "GPU": 7}, 3),
        (1, {"CPU": 64}, 0),
    ],
)
def test_a_node_takes_as_many_jobs_as_fit_on_its_cpus_and_single_gpus(gpus, node, jobs):
    crew = object.__new__(ours.RayCrew)
    crew._threads, crew.gpus = 2, gpus
    assert crew._fit(node) == jobs


@pytest.mark.parametrize("gpus", [-1, 1.5, "many"])
def test_gpus_of_a_job_are_a_fraction_of_one_or_whole(gpus):
    with pytest.raises(InputError, match="a fraction below 1 or a whole number is needed"):
        executors.get("ray", gpus=gpus)


@pytest.fixture
def deaf():
    """A port at which something listens that is not Ray."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            with contextlib.suppress(OSError):
                server.accept()[0].sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:9", "there is no Ray cluster at 127.0.0.1:9: .*refused"),
        ("ray://127.0.0.1:9", "there is no Ray cluster at ray://127.0.0.1:9: .*refused"),
        ("127.0.0.1:DEAF", "what answers there is not Ray"),
        ("elsewhere", "'auto', 'host:port' or 'ray://host:port' is needed"),
        (6379, "address is '6379'; 'auto'"),
        ("auto", "the Ray cluster at auto cannot be used: Could not find any running Ray instance"),
    ],
)
def test_a_wrong_address_is_told_at_once(tiny, tmp_path, address, message, deaf):
    address = address.replace("DEAF", str(deaf)) if isinstance(address, str) else address
    began = time.monotonic()
    with pytest.raises(InputError, match=message):
        run_plan(configs_of(tiny, sparsity=0.5), tmp_path, executor="ray", options={"address": address})
    assert time.monotonic() - began < 10


def test_a_store_in_memory_is_refused(tiny, tmp_path):
    with pytest.raises(InputError, match="workers of their own cannot see"):
        run_plan(configs_of(tiny, sparsity=0.5), f"memory://{tmp_path.name}", executor="ray")


def test_a_missing_extra_is_named(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'bayes-scaling\[ray\]'"):
        run_plan(configs_of(tiny, sparsity=0.5), tmp_path, executor="ray")
