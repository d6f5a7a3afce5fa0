"""One job after the other, in the process that asks for them: nothing to start, and simple to debug."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from bayes_scaling.runs import InputError
from runners.executors.base import EXECUTORS, Ended
from runners.job import Job, train_job
from runners.store import Store

__all__ = ["Inline"]


@EXECUTORS.register
@dataclass(frozen=True)
class Inline:
    """The process that asks."""

    name: ClassVar[str] = "inline"

    @contextmanager
    def open(self, store: Store, workers: int | None, threads: int) -> Iterator["InlineCrew"]:  # noqa: ARG002
        """A crew of one."""
        if workers not in (None, 1):
            raise InputError(f"workers is {workers}; the executor 'inline' has 1, 'local' has as many as asked for")
        yield InlineCrew(str(store))


class InlineCrew:
    """Takes a job and does it when it is waited for."""

    slots = 1

    def __init__(self, address: str) -> None:
        self._address = address
        self._job: Job | None = None

    def submit(self, job: Job) -> None:
        """Take a job."""
        self._job = job

    def wait(self, seconds: float) -> list[Ended]:  # noqa: ARG002
        """Do the job."""
        if self._job is None:
            return []
        job, self._job = self._job, None
        return [Ended(job, train_job(job, self._address))]
