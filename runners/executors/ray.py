"""Ray: a cluster that is there, or one of this machine's own cores and GPUs that lasts as long as the sweep.

A job is a Ray task without Ray's retries: one whose worker or node died is `Lost`, and the sweep, which knows about
checkpoints, ensembles and runs that die again and again, decides what becomes of it.

``ray.cancel`` raises a ``KeyboardInterrupt`` in the worker's main thread by calling Python's SIGINT handler, which
during training is that of `runners.interrupts`: the step ends, a checkpoint is written, the task ends.
"""

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from bayes_scaling.runs import InputError
from runners.executors.base import EXECUTORS, Ended, Lost
from runners.executors.reach import address_elsewhere
from runners.job import Job, Outcome, train_job
from runners.store import Store

__all__ = ["Ray"]

GRACE = 30.0
"""Seconds that tasks have for their last step and a checkpoint."""

OBJECTS = 100 * 2**20
"""Bytes of shared memory of a cluster that the sweep starts; what goes through Ray is tiny."""

LOOK_SECONDS = 5.0
"""Between looks at what the cluster can take; nodes come and go."""

CONNECT_SECONDS = 5.0
"""For the first answer of a cluster's head; Ray itself would try for minutes."""

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""With which a gRPC connection begins; the answer is a frame of type 4."""


@EXECUTORS.register
@dataclass(frozen=True)
class Ray:
    """Tasks of a Ray cluster.

    Attributes
    ----------
    address : str, optional
        ``auto`` (a cluster that runs on this machine, or the one in RAY_ADDRESS), ``host:port`` of a head node, or
        ``ray://host:port`` of its Ray Client server. By default a cluster is started on this machine for the sweep.
    gpus : float, optional
        GPUs of a job; a fraction lets several jobs share one. By default 1 where the cluster has any, else 0.
    """

    name: ClassVar[str] = "ray"

    address: str | None = None
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.gpus is not None and not (
            isinstance(self.gpus, int | float) and (0 <= self.gpus < 1 or (self.gpus >= 1 and self.gpus % 1 == 0))
        ):
            raise InputError(f"gpus is {self.gpus!r}; a fraction below 1 or a whole number is needed")

    @contextmanager
    def open(self, store: Store, workers: int | None, threads: int) -> Iterator["RayCrew"]:
        """A crew of as many tasks as the cluster can run, or of `workers` tasks, for which an autoscaler makes room."""
        address = address_elsewhere(store)
        with _connected(self.address, (workers or 1) * threads) as ray:
            crew = RayCrew(ray, address, workers, threads, self._gpus(ray))
            if crew.room() == 0 and (workers is None or self.address is None):
                raise InputError(
                    f"no node of the Ray cluster has room for a job (CPUs: {threads}, GPUs: {crew.gpus:g}); set gpus "
                    "or the plan's threads, or workers where an autoscaler adds nodes"
                )
            try:
                yield crew
            finally:
                crew.stop()

    def _gpus(self, ray: Any) -> float:
        if self.gpus is not None:
            return self.gpus
        return 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0


class RayCrew:
    """Tasks under way."""

    def __init__(self, ray: Any, address: str, workers: int | None, threads: int, gpus: float) -> None:
        self._ray, self._address, self._workers, self._threads, self.gpus = ray, address, workers, threads, gpus
        self._task = ray.remote(max_retries=0, num_cpus=threads, num_gpus=gpus)(_work)
        self._running: dict[Any, Job] = {}
        self._looked = float("-inf")
        self.slots = 1
        self._look()

    def submit(self, job: Job) -> None:
        """Give a job to the cluster."""
        self._running[self._task.remote(job, self._address, os.getcwd())] = job

    def wait(self, seconds: float) -> list[Ended]:
        """Jobs that ended."""
        try:
            self._look()
            self._ray.wait(list(self._running), timeout=seconds)
            done, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
            return [Ended(self._running.pop(each), self._result(each)) for each in done]
        except ConnectionError as error:
            raise InputError(
                f"the connection to the Ray cluster broke ({error}); start the same again to go on"
            ) from error

    def room(self) -> int:
        """Jobs that fit on the nodes that are there."""
        return sum(self._fit(node["Resources"]) for node in self._ray.nodes() if node["Alive"])

    def stop(self) -> None:
        """End tasks under way as a Ctrl-C would, and those that do not hear by force."""
        for each in self._running:
            self._ray.cancel(each)
        if self._running:
            _, deaf = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=GRACE)
            for each in deaf:
                self._ray.cancel(each, force=True)

    def _look(self) -> None:
        if time.monotonic() - self._looked > LOOK_SECONDS:
            # At least one, which waits for a node where there is none any more.
            self.slots = self._workers or max(1, self.room())
            self._looked = time.monotonic()

    def _fit(self, resources: dict[str, float]) -> int:
        """Jobs that one node can take; a fraction of a GPU is one GPU's."""
        cpus = int(resources.get("CPU", 0) / self._threads)
        if not self.gpus:
            return cpus
        gpus = resources.get("GPU", 0)
        return min(cpus, int(gpus // self.gpus if self.gpus >= 1 else gpus * int(1 / self.gpus + 1e-9)))

    def _result(self, task: Any) -> list[Outcome] | Lost:
        errors = self._ray.exceptions
        try:
            return list(self._ray.get(task))
        except errors.TaskCancelledError:  # before RayTaskError, which it may be as well
            return Lost("its Ray task was cancelled")
        except errors.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            if isinstance(cause, InputError):
                raise cause from None
            raise InputError(
                f"a job cannot run on the Ray cluster, whose nodes need bayes-scaling[ray] as it is here: "
                f"{_gist(cause)}"
            ) from error
        except (errors.RuntimeEnvSetupError, errors.TaskUnschedulableError) as error:
            raise InputError(f"a job cannot run on the Ray cluster: {_gist(error)}") from error
        except errors.RayError as error:
            machine_gone = isinstance(error, errors.NodeDiedError | errors.ObjectLostError)
            return Lost(f"Ray says {type(error).__name__}: {_gist(error)}", blameless=machine_gone)


def _work(job: Job, address: str, folder: str) -> list[Outcome]:
    with contextlib.suppress(OSError):  # so that a plan's relative paths mean what they mean where the sweep is
        os.chdir(folder)
    return train_job(job, address)


@contextmanager
def _connected(address: str | None, cpus: int) -> Iterator[Any]:
    """Ray, connected; what was started or connected here ends with the block."""
    # `uv run` would make Ray build an environment of its own for workers, from a copy of the working folder.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "the executor 'ray' needs its library, which the extra brings: pip install 'bayes-scaling[ray]'"
        ) from error
    if ray.is_initialized():  # by a caller, who may use it for more
        yield ray
        return
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        _connect(ray, None if address is None else str(address), cpus)
        yield ray
    finally:
        ray.shutdown()
        if main:
            signal.signal(signal.SIGTERM, before)  # Ray has one of its own


def _connect(ray: Any, address: str | None, cpus: int) -> None:
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        cores = max(os.cpu_count() or 1, cpus)  # as many as asked for, also where they must share cores
        settings |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": OBJECTS}
    else:
        _check_answer(address)
    try:
        ray.init(address or "local", **settings)
    except (ConnectionError, RuntimeError, ValueError, ImportError, SystemExit, ray.exceptions.RayError) as error:
        where = "on this machine" if address is None else f"at {address}"
        raise InputError(
            f"the Ray cluster {where} cannot be used: {_gist(error)}; one with token authentication needs "
            "RAY_AUTH_MODE=token and its token here too"
        ) from error


def _check_answer(address: str) -> None:
    """Whether something speaks gRPC at an address."""
    if address == "auto" and not os.environ.get("RAY_ADDRESS"):
        return
    where = os.environ["RAY_ADDRESS"] if address == "auto" else address
    host, _, port = where.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"address is {where!r}; 'auto', 'host:port' or 'ray://host:port' is needed")
    try:
        with socket.create_connection((host, int(port)), CONNECT_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") == "0":
                connection.sendall(GREETING)
                if connection.recv(9)[3:4] != b"\x04":
                    raise OSError("what answers there is not Ray")
    except (OSError, OverflowError) as error:
        raise InputError(f"there is no Ray cluster at {where}: {error}") from error


def _gist(error: BaseException) -> str:
    """An error in a line: its first, and its last where the first only announces what follows."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return f"{lines[0]} {lines[-1]}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]
