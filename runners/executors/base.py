"""What an executor is."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Protocol

from runners.job import Job, Outcome
from runners.registry import Registry
from runners.store import Store

__all__ = ["EXECUTORS", "Crew", "Ended", "Executor", "Lost"]


@dataclass(frozen=True)
class Lost:
    """A job came to no end: its process or its machine died.

    Attributes
    ----------
    reason : str
        What is known of it.
    blameless : bool
        Whether its machine was lost or taken away, which says little about the job.
    """

    reason: str
    blameless: bool = False


@dataclass(frozen=True)
class Ended:
    """A job that is over.

    Attributes
    ----------
    job : Job
        The job.
    result : list of Outcome or Lost
        One outcome a run, or why there is none.
    """

    job: Job
    result: list[Outcome] | Lost


class Crew(Protocol):
    """Processes at work for one sweep.

    Attributes
    ----------
    slots : int
        Jobs that it takes at a time.
    """

    slots: int

    def submit(self, job: Job) -> None:
        """Start a job; never more than `slots` at a time."""

    def wait(self, seconds: float) -> list[Ended]:
        """The jobs that ended, as soon as there are any; none where nothing ends for that long."""


class Executor(Protocol):
    """A way to run jobs: a frozen dataclass whose fields are what a user may set (``--option NAME=VALUE``)."""

    name: ClassVar[str]

    def open(self, store: Store, workers: int | None, threads: int) -> AbstractContextManager[Crew]:
        """A crew for one sweep.

        Parameters
        ----------
        store : Store
            Where records go; `runners.job.train_job` gets its address.
        workers : int or None
            Most jobs at a time; None leaves it to the executor.
        threads : int
            CPU threads of a job.

        Returns
        -------
        context manager of Crew
            At its end nothing of it runs any more; runs under way have left checkpoints where their processes could.
        """


EXECUTORS: Registry[Executor] = Registry("executor")
