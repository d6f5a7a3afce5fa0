"""Worker processes on this machine: one for each GPU, or as many as its cores allow."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import ClassVar

import torch
from pebble import ProcessExpired, ProcessFuture, ProcessPool

from runners.executors.base import EXECUTORS, Ended, Lost
from runners.executors.reach import address_elsewhere
from runners.interrupts import RunInterrupted
from runners.job import Job, Outcome, train_job
from runners.store import Store

__all__ = ["Local"]

GRACE = 10.0
"""Seconds that a worker has for its last step and a checkpoint."""


@EXECUTORS.register
@dataclass(frozen=True)
class Local:
    """Processes of their own, which may die without taking others along."""

    name: ClassVar[str] = "local"

    @contextmanager
    def open(self, store: Store, workers: int | None, threads: int) -> Iterator["LocalCrew"]:
        """A crew of `workers` processes."""
        address = address_elsewhere(store)
        gpus = torch.cuda.device_count()
        count = workers or gpus or max(1, (os.cpu_count() or 1) // threads)
        # Started fresh instead of forked: torch's threads and CUDA do not survive a fork.
        pool = ProcessPool(count, initializer=_end_with_parent, initargs=(os.getpid(),), context=get_context("spawn"))
        try:
            yield LocalCrew(pool, address, count, gpus)
        finally:
            pool.stop()
            pool.join()


class LocalCrew:
    """A pool of worker processes; slot i works on GPU i, and on those again where there are more slots than GPUs."""

    def __init__(self, pool: ProcessPool, address: str, slots: int, gpus: int) -> None:
        self.slots = slots
        self._pool, self._address, self._gpus = pool, address, gpus
        self._running: dict[ProcessFuture[list[Outcome]], tuple[int, Job]] = {}

    def submit(self, job: Job) -> None:
        """Give a job to a process."""
        slot = min(set(range(self.slots)) - {taken for taken, _ in self._running.values()})
        gpu = slot % self._gpus if self._gpus else None
        future = self._pool.schedule(_work, args=(job, self._address, gpu))
        self._running[future] = slot, job

    def wait(self, seconds: float) -> list[Ended]:
        """Jobs that ended."""
        ended = []
        wait(self._running, timeout=seconds, return_when=FIRST_COMPLETED)
        for future in [each for each in self._running if each.done()]:
            _, job = self._running.pop(future)
            trouble = future.exception()
            if isinstance(trouble, ProcessExpired):
                ended.append(Ended(job, Lost(f"its worker process ended with exit code {trouble.exitcode}")))
            elif isinstance(trouble, Exception):
                raise trouble
            else:
                ended.append(Ended(job, future.result()))
        return ended


def _work(job: Job, address: str, gpu: int | None) -> list[Outcome]:
    try:
        return train_job(job, address, gpu)
    except RunInterrupted:  # by the pool, which wants the process gone
        signal.raise_signal(signal.SIGTERM)
        raise


def _end_with_parent(parent: int) -> None:
    """A worker whose sweep was killed ends too; the next sweep goes on from its checkpoint."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)  # a run under way leaves a checkpoint
        time.sleep(GRACE)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
