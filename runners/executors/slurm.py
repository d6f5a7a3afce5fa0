"""Slurm, through submitit: each job of the sweep is a batch job, which any node may take.

Results come as files, which are looked for every second. Slurm itself is asked for the state of all jobs with one
``squeue`` in `LOOK_SECONDS`, for those that end without a result; accounting (``sacct``) is not needed.

submitit's handlers of signals are replaced: that of SIGTERM ignores it, and that of SIGUSR2 raises an error in the
middle of a step, or has Slurm start the job again. Here both signals end the step and leave a checkpoint, Slurm starts
nothing again (``--no-requeue``), and the sweep submits anew what was stopped.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

from bayes_scaling.runs import InputError
from runners.executors.base import EXECUTORS, Ended, Lost
from runners.executors.reach import address_elsewhere
from runners.interrupts import RunInterrupted, stop_asked
from runners.job import Job, Outcome, train_job
from runners.store import Store

__all__ = ["Slurm"]

JOBS = 64
"""Jobs in Slurm's queue at a time, unless said."""

CLUSTERS = ("slurm", "local")

LOOK_SECONDS = 30.0
"""Between questions to Slurm."""

LATE_SECONDS = 30.0
"""That a result may take through a shared file system after its job has ended."""

GRACE = 60.0
"""Seconds that cancelled jobs have for their last step and a checkpoint; Slurm's KillWait, usually 30, ends them."""

ENDED = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED"}
    | {"TIMEOUT", "FINISHED", "INTERRUPTED"}  # the last two are submitit's, of processes on this machine
)
"""States of jobs that are over."""

TAKEN_AWAY = frozenset({"BOOT_FAIL", "NODE_FAIL", "PREEMPTED", "REVOKED"})
"""States of jobs whose machine was lost to them."""


@EXECUTORS.register
@dataclass(frozen=True)
class Slurm:
    """Batch jobs of a Slurm cluster.

    Attributes
    ----------
    partition, account, qos : str, optional
        As ``sbatch`` has them; by default the cluster's.
    time : int
        Minutes that a job may take; what needs longer goes on from its checkpoint in a further job.
    gpus : int
        GPUs of a job.
    memory : float, optional
        GB of a job's main memory; by default the cluster's.
    setup : str
        A shell line before a job's Python starts: ``module load cuda``.
    more : str
        Further options in the words of ``sbatch``: ``--constraint=a100 --exclude=node[1-3]``.
    folder : str, optional
        For submitit's files, seen by all nodes; by default ``slurm`` in the store's folder.
    cluster : str
        submitit's: ``slurm``, or ``local`` to try the same in processes on this machine.
    """

    name: ClassVar[str] = "slurm"

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: int = 60
    gpus: int = 0
    memory: float | None = None
    setup: str = ""
    more: str = ""
    folder: str | None = None
    cluster: str = "slurm"

    def __post_init__(self) -> None:
        for name, least in (("time", 1), ("gpus", 0)):
            if not isinstance(value := getattr(self, name), int) or value < least:
                raise InputError(f"{name} is {value!r}; a whole number of at least {least} is needed")
        if self.memory is not None and not (isinstance(self.memory, int | float) and self.memory > 0):
            raise InputError(f"memory is {self.memory!r}; a positive number of GB is needed")
        if self.cluster not in CLUSTERS:
            raise InputError(f"cluster is {self.cluster!r}; allowed are {', '.join(CLUSTERS)}")

    @contextmanager
    def open(self, store: Store, workers: int | None, threads: int) -> Iterator["SlurmCrew"]:
        """A crew of `workers` jobs, queued ones among them."""
        address = address_elsewhere(store)
        if self.folder is None and store.folder.path is None:
            raise InputError(
                f"the store {store} is no folder; set folder to one that all nodes see, for submitit's files"
            )
        folder = Path(self.folder or f"{address}/slurm").expanduser().absolute()
        local = self.cluster == "local"
        slots = workers or (max(1, (os.cpu_count() or 1) // threads) if local else JOBS)
        crew = SlurmCrew(self._submitter(folder, threads), address, slots, LocalQueue() if local else SlurmQueue())
        try:
            yield crew
        finally:
            crew.stop()

    def _submitter(self, folder: Path, threads: int) -> Any:
        """What submits a function with these settings."""
        try:
            import submitit
        except ImportError as error:
            raise InputError(
                "the executor 'slurm' needs its library, which the extra brings: pip install 'bayes-scaling[slurm]'"
            ) from error
        more: dict[str, Any] = {"no-requeue": True}
        for word in shlex.split(str(self.more)):
            option, given, value = word.partition("=")
            if not option.startswith("--"):
                raise InputError(f"more is {self.more!r}; options like --constraint=a100 or --exclusive are needed")
            more[option[2:]] = value if given else True
        try:
            submitter = submitit.AutoExecutor(folder, cluster=self.cluster)
        except RuntimeError as error:
            raise InputError(
                f"there is no Slurm on this machine ({error}); start the sweep where sbatch and srun are"
            ) from error
        submitter.update_parameters(
            name="bayes-scaling",
            nodes=1,
            tasks_per_node=1,
            cpus_per_task=threads,
            gpus_per_node=self.gpus,
            timeout_min=self.time,
            mem_gb=self.memory,
            stderr_to_stdout=True,
            slurm_signal_delay_s=min(90, 15 * self.time),
            slurm_partition=self.partition,
            slurm_account=self.account,
            slurm_qos=self.qos,
            slurm_setup=[str(self.setup)] if self.setup else None,
            slurm_srun_args=[f"--cpus-per-task={threads}"],  # since Slurm 22.05 srun does not take over sbatch's
            slurm_additional_parameters=more,
        )
        return submitter


class SlurmCrew:
    """Batch jobs, queued or running."""

    def __init__(self, submitter: Any, address: str, slots: int, queue: "SlurmQueue | LocalQueue") -> None:
        self.slots = slots
        self._submitter, self._address, self._queue = submitter, address, queue
        self._running: dict[Any, Job] = {}
        self._refused: list[Job] = []
        self._over: dict[str, float] = {}

    def submit(self, job: Job) -> None:
        """Hand a job to Slurm."""
        try:
            with _own_variables():
                self._running[self._submitter.submit(_work, job, self._address)] = job
        except RuntimeError as error:  # what submitit makes of sbatch's complaints
            if not self._running:
                raise InputError(f"Slurm does not take a job: {_last_line(str(error))}") from error
            self._refused.append(job)  # no more jobs of this user in the queue, for example: when one has ended

    def wait(self, seconds: float) -> list[Ended]:
        """Jobs that ended."""
        deadline = time.monotonic() + seconds
        while not (ended := self._look()) and time.monotonic() < deadline:
            time.sleep(min(1.0, seconds))
        return ended

    def stop(self) -> None:
        """Cancel what is left, and wait until it is gone."""
        if self._running:
            self._queue.cancel(self._running)
            deadline = time.monotonic() + GRACE
            while time.monotonic() < deadline and not all(
                state in ENDED for state in self._queue.ask(self._running).values()
            ):
                time.sleep(1.0)
        for task in self._running:
            if task.paths.result_pickle.exists() or not task.paths.stdout.exists():
                _clear(task)
        with contextlib.suppress(OSError):  # what is left are files of jobs that came to no end
            self._submitter.folder.rmdir()

    def _look(self) -> list[Ended]:
        """Jobs that ended since the last look."""
        ended = []
        states = self._queue.states(self._running)
        for task, job in list(self._running.items()):
            result = self._result(task, states.get(task.job_id, ""))
            if result is None:
                continue
            del self._running[task]
            if result == STOPPED:
                self.submit(job)
            else:
                ended.append(Ended(job, result))
        for _ in ended:
            if self._refused:
                self.submit(self._refused.pop(0))
        return ended

    def _result(self, task: Any, state: str) -> list[Outcome] | Lost | None:
        """What came of a job; None while it is under way."""
        if task.paths.result_pickle.exists():
            if (trouble := task.exception()) is not None:
                raise InputError(
                    f"a job cannot run on the cluster: {_last_line(_trace(str(trouble)))} (log: {task.paths.stdout})"
                )
            result: list[Outcome] | Lost = task.result()
            _clear(task)
            return result
        if state not in ENDED:
            return None
        over = self._over.setdefault(task.job_id, time.monotonic())
        if time.monotonic() - over < self._queue.late:
            return None
        text = task.stdout() or ""
        said = f", its output ends with {_last_line(text)!r}" if text.strip() else ""
        reason = f"its Slurm job ended as {state}{said} (logs: {self._submitter.folder})"
        return Lost(reason, blameless=state in TAKEN_AWAY)


class SlurmQueue:
    """What Slurm says about jobs."""

    late = LATE_SECONDS

    def __init__(self) -> None:
        self._asked, self._states = time.monotonic(), dict[str, str]()

    def states(self, tasks: Iterable[Any]) -> dict[str, str]:
        """States as of less than `LOOK_SECONDS` ago."""
        if time.monotonic() - self._asked > LOOK_SECONDS:
            self.ask(tasks)
        return self._states

    def ask(self, tasks: Iterable[Any]) -> dict[str, str]:
        """States by job id, as of now; as before where Slurm does not answer."""
        self._asked = time.monotonic()
        ids = [task.job_id for task in tasks]
        lines = _said("squeue", "--noheader", "--states=all", "--format=%i|%T", f"--jobs={','.join(ids)}")
        if lines is not None:
            told = dict(line.split("|") for line in lines)
            self._states = {job_id: told.get(job_id) or self._forgotten(job_id) for job_id in ids}
        return {job_id: self._states.get(job_id, "") for job_id in ids}

    def cancel(self, tasks: Iterable[Any]) -> None:
        """Have them all end."""
        _said("scancel", *(task.job_id for task in tasks))

    def _forgotten(self, job_id: str) -> str:
        """The state of a job that ended so long ago that only accounting, where there is any, may know it."""
        if self._states.get(job_id) in ENDED:
            return self._states[job_id]
        lines = _said("sacct", "--noheader", "--allocations", "--parsable2", "--format=State", f"--jobs={job_id}")
        return lines[0].split()[0] if lines else "COMPLETED"


class LocalQueue:
    """submitit's processes on this machine."""

    late = 0.0

    def states(self, tasks: Iterable[Any]) -> dict[str, str]:
        """States by job id."""
        return {task.job_id: task.state for task in tasks}

    ask = states

    def cancel(self, tasks: Iterable[Any]) -> None:
        """Have them all end, as Slurm would; submitit's own way leaves them a second."""
        for task in tasks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(task.job_id), signal.SIGTERM)


STOPPED = Lost("it was stopped, and left a checkpoint")
"""Of a job that Slurm wanted to end. It went a step further at least, so it may go on as often as it takes."""


def _work(job: Job, address: str) -> list[Outcome] | Lost:
    """Train, and end where Slurm asks: before the time limit (SIGUSR2), at preemption and ``scancel`` (SIGTERM)."""
    heard: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if not heard and not stop_asked():  # Slurm says it twice at preemption; the second must not spoil a checkpoint
            heard.append(number)
            raise KeyboardInterrupt

    def warned(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        signal.raise_signal(signal.SIGTERM)  # to whoever minds it at the moment

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGUSR2, warned)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the sweep's, which then cancels
    try:
        return train_job(job, address)
    except RunInterrupted:
        return STOPPED
    except KeyboardInterrupt:
        return Lost("its Slurm job was stopped before it trained")


@contextmanager
def _own_variables() -> Iterator[None]:
    """Without those of the batch job that the sweep itself may be, which Slurm would take for wishes."""
    inside = "SLURM_JOB_ID" in os.environ
    names = [name for name in os.environ if name.startswith(("SLURM_", "SUBMITIT_")) and name != "SLURM_CONF"]
    kept = {name: os.environ.pop(name) for name in names} if inside else {}
    try:
        yield
    finally:
        os.environ.update(kept)


def _said(*command: str) -> list[str] | None:
    """Lines that one of Slurm's commands prints; None where it does not work."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode and "Invalid job id" in done.stderr:  # of jobs that are all forgotten
        return []
    return None if done.returncode else done.stdout.splitlines()


def _clear(task: Any) -> None:
    """Remove submitit's files of a job whose result is there."""
    folder = task.paths.folder
    for path in folder.glob(f"{task.job_id}_*"):
        path.unlink(missing_ok=True)
    for link in folder.glob(".submission_file_*"):  # to submitit's script of a job, also when that is gone
        if not link.exists():
            link.unlink(missing_ok=True)


def _trace(text: str) -> str:
    """The traceback in what submitit says of an error."""
    return text.split("-" * 22)[1] if text.count("-" * 22) > 1 else text


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason is given"
