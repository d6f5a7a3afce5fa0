"""Many runs: a plan's configurations go out as jobs, and each leaves one record in the store.

Whatever has a record is skipped, so a sweep that was stopped goes on where it stood when it is started again; any
number of sweeps may share a store.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayes_scaling.runs import InputError
from runners import executors
from runners.accounting import failed_record
from runners.claims import holders
from runners.config import RunConfig
from runners.cost import planned_flops, work
from runners.ensemble import AT_ONCE, group
from runners.executors import Crew, Lost
from runners.fingerprint import fingerprint
from runners.job import Job, Outcome, outcome_of
from runners.parallel import alone
from runners.pretrained import model_of
from runners.records import SETTLED, records_to_rows
from runners.states import changed
from runners.store import Contents, Store, StoreFullError

__all__ = ["RETRY", "Progress", "Summary", "run_plan", "table"]

RETRY = ("diverged", "changed")
"""What is trained again on request only; failed and interrupted runs are tried again always."""

DEATHS = 5
"""Times that a run's process may die before the run counts as failed."""

MACHINES = 50
"""Times that it may lose its machine: clusters lose machines, but a run that always loses its own is to blame."""

ALIKE = 3
"""A sweep whose first so many runs fail alike has a trouble that is not theirs."""

ENSEMBLE_WEIGHTS = 50_000
"""On a CPU, larger models gain nothing from company (docs/benchmarks.md)."""

ELSEWHERE_SECONDS = 3.0
"""Between looks at runs that other processes hold."""


@dataclass(frozen=True)
class Progress:
    """Where a sweep stands; `str` of it is a line for people.

    Attributes
    ----------
    done, running, remaining, failed : int
        Runs with a record, being trained (by this sweep or another), waiting, and ended by an error.
    flops, all_flops : float
        Training FLOPs of the runs that are done, and of the whole plan.
    seconds_left : float or None
        Estimate from the pace so far; None before the first run has ended.
    run_id : str or None
        The run that just ended; None where this is only a sign of life.
    loss : float or None
        Its held-out loss; None if it diverged or failed.
    """

    done: int
    running: int
    remaining: int
    failed: int
    flops: float
    all_flops: float
    seconds_left: float | None
    run_id: str | None = None
    loss: float | None = None

    def __str__(self) -> str:
        left = "?" if self.seconds_left is None else f"{self.seconds_left / 60:.0f} min"
        failed = f", {self.failed} failed" if self.failed else ""
        share = self.flops / self.all_flops if self.all_flops else 1.0
        line = f"{self.done} done, {self.running} running, {self.remaining} to go{failed}"
        line += f", {share:.0%} of {self.all_flops:.2g} FLOPs, {left} left"
        if self.run_id is None:
            return line
        return f"{line} | {self.run_id}: {'no loss' if self.loss is None else f'{self.loss:.4f}'}"


@dataclass
class Summary:
    """What a sweep did.

    Attributes
    ----------
    finished, diverged, skipped : list of str
        Run ids: trained now, trained now but diverged, already in the store.
    elsewhere : list of str
        Trained by another process in the meantime.
    failed : dict of str to str
        Run id and error of runs without a result.
    unreadable : dict of str to str
        File and fault of records that cannot be read; where their runs are planned they are trained again.
    interrupted : bool
        Whether it was stopped before its end; starting it again goes on.
    seconds, busy : float
        Wall-clock time, and what of it the sweep itself took.
    """

    finished: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False
    seconds: float = 0.0
    busy: float = 0.0


def run_plan(
    configs: Sequence[RunConfig],
    store: "str | Path | Store",
    workers: int | None = 1,
    progress: Callable[[Progress], None] | None = None,
    *,
    executor: str | None = None,
    options: Mapping[str, Any] | None = None,
    together: int | None = None,
    retry: Collection[str] = (),
) -> Summary:
    """Train what is missing, the cheapest first.

    Parameters
    ----------
    configs : sequence of RunConfig
        As `runners.plan.load_plan` gives them.
    store : str, Path or Store
        Where the records go; runs that it holds are skipped.
    workers : int, optional
        Most jobs at a time; None leaves it to the executor. Each run takes `RunConfig.threads` threads of its own.
    progress : callable, optional
        Called after every run, and every few seconds between.
    executor : str, optional
        Where jobs run (`runners.executors.names`); by default ``inline`` for one worker and ``local`` for more.
    options : mapping, optional
        Settings of the executor.
    together : int, optional
        Most runs of one shape that train as one batch; 1 for none. By default ensembles are made of models small enough
        to gain by them.
    retry : collection of str
        What to train again although its record is there: ``diverged``, ``changed`` (other code or data); the records
        are set aside, not lost.

    Returns
    -------
    Summary
        Ctrl-C ends the sweep early and is told here; runs that were under way go on from their checkpoints when the
        sweep is started again.

    Raises
    ------
    InputError
        Options are wrong, all runs fail alike, or the store has no room. What had ended is in the store.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers is {workers}; at least 1 is needed")
    if unknown := set(retry) - set(RETRY):
        raise InputError(f"retry is {sorted(unknown)}; allowed are {', '.join(RETRY)}")
    alone("a sweep")
    chosen = executors.get(executor or ("inline" if workers == 1 else "local"), **(options or {}))
    sweep = _Sweep(configs, Store(store), together, retry, progress)
    try:
        if sweep.pending:
            threads = max(config.threads for config in configs)
            with chosen.open(sweep.store, workers, threads) as crew:
                sweep.work_off(crew)
    except KeyboardInterrupt:
        sweep.summary.interrupted = True
    sweep.summary.seconds = time.perf_counter() - sweep.began
    return sweep.summary


def jobs_of(configs: Sequence[RunConfig], together: int | None, keep: Collection[str], since: float) -> list[Job]:
    """Runs as jobs, the cheapest first: ensembles where they help."""
    if together is not None and together < 1:
        raise InputError(f"together is {together}; at least 1 is needed")
    alone: list[RunConfig] = []
    small: list[RunConfig] = []
    for config in sorted(configs, key=work):
        cpu = config.device == "cpu" or (config.device == "auto" and not _accelerated())
        fits = together is not None or not cpu or config.shape.block_weights <= ENSEMBLE_WEIGHTS
        (small if fits and together != 1 else alone).append(config)
    # A run and the one that it starts from cannot train together: by generations.
    groups = [[config] for config in alone]
    for later in (False, True):
        groups += group([config for config in small if (config.start is not None) == later], together or AT_ONCE)
    jobs = [Job(tuple(each), frozenset(keep) & {config.run_id for config in each}, since) for each in groups]
    return sorted(jobs, key=lambda job: sum(map(work, job.configs)))


def table(store: "str | Path | Store", diverged: bool = False) -> list[dict[str, Any]]:
    """Rows of the run table from all records of a store, by modality, structure, sparsity, N, D and seed."""
    rows = records_to_rows(Store(store).records(), diverged)
    keys = ("modality", "structure", "sparsity", "nonzero_params", "data_seen", "seed")
    return sorted(rows, key=lambda row: tuple(row[key] for key in keys))


def _accelerated() -> bool:
    from runners.devices import pick_device

    return pick_device("auto").type != "cpu"


class _Sweep:
    """One sweep while it goes on."""

    def __init__(
        self,
        configs: Sequence[RunConfig],
        store: Store,
        together: int | None,
        retry: Collection[str],
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.began, self.since = time.perf_counter(), time.time()
        self.store, self.progress = store, progress
        self.configs = {config.run_id: config for config in configs}
        found = store.contents()
        self.summary = Summary(unreadable=found.unreadable)
        self._set_aside(found, retry)
        starts = {config.start for config in configs if config.start is not None}
        self._check_starts(starts)
        self.ended = {run_id for run_id, record in found.records.items() if record["status"] in SETTLED}
        lacking = {run_id for run_id in starts & self.ended if not store.folder.has(model_of(run_id))}
        todo = [config for run_id, config in self.configs.items() if run_id not in self.ended - lacking]
        self.summary.skipped = [run_id for run_id in self.configs if run_id in self.ended - lacking]
        self.ended -= lacking
        self.pending = jobs_of(todo, together, starts, self.since)
        self.running: dict[Job, float] = {}
        self.held_elsewhere: dict[str, Job] = {}
        self._deaths: Counter[tuple[str, bool]] = Counter()
        self._work_all = self._work_left = sum(map(work, todo))
        self._flops = {run_id: planned_flops(config) for run_id, config in self.configs.items()}
        self._looked = 0.0

    def work_off(self, crew: Crew) -> None:
        """Give jobs to the crew until all have ended."""
        while self.pending or self.running or self.held_elsewhere:
            began = time.perf_counter()
            while len(self.running) < crew.slots and (job := self._next()) is not None:
                self.running[job] = time.perf_counter()
                crew.submit(job)
            self._look_elsewhere()
            self.summary.busy += time.perf_counter() - began
            ended = crew.wait(1.0) if self.running else _pause()
            began = time.perf_counter()
            for each in ended:
                del self.running[each.job]
                if isinstance(each.result, Lost):
                    self._lost(each.job, each.result)
                else:
                    for outcome in each.result:
                        self._note(each.job, outcome)
            if not ended:
                self._tell(None, None)
            self.summary.busy += time.perf_counter() - began

    def _set_aside(self, found: Contents, retry: Collection[str]) -> None:
        again = changed(found.records, fingerprint()) if "changed" in retry else set()
        if "diverged" in retry:
            again |= {run_id for run_id, record in found.records.items() if record["status"] == "diverged"}
        for run_id in again & set(self.configs):
            self.store.set_aside(run_id)
            del found.records[run_id]

    def _check_starts(self, starts: Collection[str]) -> None:
        for run_id in starts:
            if run_id not in self.configs and not self.store.folder.has(model_of(run_id)):
                raise InputError(
                    f"runs of the plan start from {run_id}, which is neither in the plan nor in the store {self.store}"
                )

    def _next(self) -> Job | None:
        """The cheapest job whose starts are there; runs whose start failed fail too."""
        for job in list(self.pending):
            needs = job.needs & set(self.configs)
            if failed := needs & set(self.summary.failed):
                self.pending.remove(job)
                for config in job.configs:
                    self._fail(config, f"the run that it starts from has failed: {', '.join(sorted(failed))}")
            elif needs <= self.ended:
                self.pending.remove(job)
                return job
        return None

    def _note(self, job: Job, outcome: Outcome) -> None:
        """One run is over."""
        run_id = outcome.run_id
        if outcome.status == "full":
            raise StoreFullError(outcome.error)
        if outcome.status == "elsewhere":
            self.held_elsewhere[run_id] = Job(
                tuple(config for config in job.configs if config.run_id == run_id), job.keep & {run_id}, self.since
            )
            return
        self._work_left -= work(self.configs[run_id])
        if outcome.status == "failed":
            self.summary.failed[run_id] = outcome.error
        else:
            self.ended.add(run_id)
            kind = "elsewhere" if not outcome.trained else outcome.status
            getattr(self.summary, kind).append(run_id)
        self._tell(run_id, outcome.loss)
        errors = list(self.summary.failed.values())
        if len(errors) >= ALIKE and len(set(errors)) == 1 and not (self.summary.finished or self.summary.diverged):
            raise InputError(f"the first {len(errors)} runs all failed alike, and the sweep ends: {errors[0]}")

    def _lost(self, job: Job, lost: Lost) -> None:
        """A process died: its runs are tried again, those of an ensemble in smaller company."""
        again = []
        for config in job.configs:
            self._deaths[config.run_id, lost.blameless] += 1
            if self._deaths[config.run_id, lost.blameless] < (MACHINES if lost.blameless else DEATHS):
                again.append(config)
            else:
                self._fail(config, f"{lost.reason}, time and again; memory may be short")
        half = (len(again) + 1) // 2
        for part in (again[:half], again[half:]):
            if part:
                self.pending.insert(0, Job(tuple(part), job.keep & {config.run_id for config in part}, self.since))

    def _fail(self, config: RunConfig, error: str) -> None:
        record = failed_record(config, error, time.perf_counter())
        self.store.write(record)
        self._note(Job((config,)), outcome_of(record))

    def _look_elsewhere(self) -> None:
        """What became of runs that other processes held: they have ended, or may be taken over."""
        if not self.held_elsewhere or time.perf_counter() - self._looked < ELSEWHERE_SECONDS:
            return
        held = holders(self.store)
        for run_id, job in list(self.held_elsewhere.items()):
            if run_id not in held:  # whoever had it let go: a job finds its record, or trains it
                del self.held_elsewhere[run_id]
                self.pending.insert(0, job)
        self._looked = time.perf_counter()

    def _tell(self, run_id: str | None, loss: float | None) -> None:
        if self.progress is None:
            return
        done = len(self.ended & set(self.configs))
        running = sum(len(job.configs) for job in self.running) + len(self.held_elsewhere)
        remaining = len(self.configs) - done - len(self.summary.failed) - running
        flops = sum(self._flops[ended] for ended in self.ended & set(self.configs))
        worked = self._work_all - self._work_left
        left = max(0.0, (time.perf_counter() - self.began) / worked * self._work_left) if worked else None
        self.progress(
            Progress(
                done, running, remaining, len(self.summary.failed), flops, sum(self._flops.values()), left, run_id, loss
            )
        )


def _pause() -> list[Any]:
    time.sleep(0.2)
    return []
