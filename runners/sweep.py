"""Many runs: a plan becomes configurations, and each configuration becomes one record in the store.

Runs whose record is there are skipped, so an interrupted sweep goes on where it stopped when it is started again.
"""

import itertools
import json
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, fields
from importlib import resources
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bayes_scaling.runs import InputError
from runners import records
from runners.train import RunConfig, run

__all__ = ["Progress", "Summary", "expand", "load_plan", "plan_names", "run_plan", "table", "work"]


@dataclass(frozen=True)
class Progress:
    """Where a sweep stands; `str` of it is a line for people.

    Attributes
    ----------
    done, remaining, failed : int
        Runs with a record, without one, and ended by an error.
    seconds_left : float or None
        Estimate from the pace so far; None before the first run has ended.
    run_id : str
        The run that just ended.
    loss : float or None
        Its held-out loss; None if it diverged or failed.
    """

    done: int
    remaining: int
    failed: int
    seconds_left: float | None
    run_id: str
    loss: float | None

    def __str__(self) -> str:
        left = "?" if self.seconds_left is None else f"{self.seconds_left / 60:.0f} min"
        loss = "no loss" if self.loss is None else f"{self.loss:.4f}"
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.done} done, {self.remaining} to go{failed}, {left} left | {self.run_id}: {loss}"


@dataclass
class Summary:
    """What a sweep did.

    Attributes
    ----------
    finished, diverged, skipped : list of str
        Run ids: trained now, trained now but diverged, already in the store.
    failed : dict of str to str
        Run id and error of runs without a result.
    interrupted : bool
        Whether it was stopped before its end; starting it again goes on.
    seconds : float
        Wall-clock time.
    """

    finished: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False
    seconds: float = 0.0


def plan_names() -> list[str]:
    """Names of the plans that ship with the package."""
    folder = resources.files("runners.plans")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_plan(path_or_name: str | Path) -> list[RunConfig]:
    """Read a plan and expand it.

    Parameters
    ----------
    path_or_name : str or Path
        A TOML or JSON file, or the name of a plan that ships with the package.

    Returns
    -------
    list of RunConfig
        One per run, without repeats, in the plan's order.
    """
    name, path = str(path_or_name), Path(path_or_name)
    if name in plan_names():
        return expand(tomllib.loads(resources.files("runners.plans").joinpath(f"{name}.toml").read_text("utf-8")))
    if not path.is_file():
        raise InputError(f"plan {name!r} is neither a file nor one of the shipped plans {plan_names()}")
    try:
        text = path.read_text(encoding="utf-8")
        plan = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"plan {name!r} cannot be read: {error}") from None
    return expand(plan)


def expand(plan: dict[str, Any]) -> list[RunConfig]:
    """All combinations of a plan's grids.

    Parameters
    ----------
    plan : dict
        ``defaults``, settings of every run, and ``grid``, a list of tables of settings. In a grid a list means all of
        its values, crossed with those of the other settings; sparsity and structure may be given together as
        ``kind``, a list of [structure, sparsity] pairs.

    Returns
    -------
    list of RunConfig
        Without repeats.
    """
    if not isinstance(plan, dict) or not isinstance(plan.get("grid"), list) or not plan["grid"]:
        raise InputError("a plan needs at least one [[grid]]")
    if unknown := set(plan) - {"defaults", "grid", "about"}:
        raise InputError(f"a plan has 'about', 'defaults' and 'grid', found also {sorted(unknown)}")
    known = {knob.name for knob in fields(RunConfig)}
    configs: dict[str, RunConfig] = {}
    for grid in plan["grid"]:
        settings = {**plan.get("defaults", {}), **grid}
        if unknown := set(settings) - known - {"kind"}:
            raise InputError(f"a plan sets {sorted(unknown)}; allowed are 'kind' and {sorted(known)}")
        axes = [[(name, value) for value in (v if isinstance(v, list) else [v])] for name, v in settings.items()]
        for point in itertools.product(*axes):
            knobs = dict(point)
            if kind := knobs.pop("kind", None):
                if not isinstance(kind, list) or len(kind) != 2:
                    raise InputError(f"kind is {kind!r}; a list of [structure, sparsity] pairs is needed")
                knobs["structure"], knobs["sparsity"] = kind
            config = RunConfig(**knobs)
            configs[config.run_id] = config
    return list(configs.values())


def work(config: RunConfig) -> float:
    """Relative cost of a run as it is trained: masks on dense matrices, so by total and not by non-zero weights."""
    # Matrices, what grows with the width (activations, embeddings, attention), and the rest; weighed as measured on
    # one CPU core.
    per_position = config.shape.block_weights + 2400 * config.shape.width + 50_000
    language = config.modality == "language"
    positions = 1 if language else (config.image_size // config.patch_size) ** 2
    heldout = config.heldout_items * (config.context if language else 1)
    return (config.data_seen + heldout / 3) * positions * per_position


def run_plan(
    configs: Sequence[RunConfig],
    store: Path,
    workers: int = 1,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Train what is missing, the cheapest first.

    Parameters
    ----------
    configs : sequence of RunConfig
        As `load_plan` returns them.
    store : Path
        Where the records go; runs that it holds are skipped.
    workers : int
        Processes on this machine. Each run takes `RunConfig.threads` threads of its own.
    progress : callable, optional
        Called after every run.

    Returns
    -------
    Summary
        Ctrl-C ends the sweep early and is told here; a run that was under way goes on from its last checkpoint when
        the sweep is started again.
    """
    if workers < 1:
        raise InputError(f"workers is {workers}; at least 1 is needed")
    began = time.perf_counter()
    store = Path(store)
    finished_before = records.done(store)
    summary = Summary(skipped=[config.run_id for config in configs if config.run_id in finished_before])
    todo = sorted((config for config in configs if config.run_id not in finished_before), key=work)
    work_left = work_all = sum(map(work, todo))
    try:
        for config, outcome in _outcomes(todo, store, workers):
            work_left -= work(config)
            loss = None
            if isinstance(outcome, Exception):
                summary.failed[config.run_id] = f"{type(outcome).__name__}: {outcome}"
            elif outcome["status"] == "failed":
                summary.failed[config.run_id] = outcome["error"]
            elif outcome["status"] == "diverged":
                summary.diverged.append(config.run_id)
            else:
                summary.finished.append(config.run_id)
                loss = outcome["run"]["loss"]
            if progress is not None:
                done = len(summary.skipped) + len(summary.finished) + len(summary.diverged)
                pace = (time.perf_counter() - began) / (work_all - work_left)
                remaining = len(configs) - done - len(summary.failed)
                progress(Progress(done, remaining, len(summary.failed), pace * work_left, config.run_id, loss))
    except KeyboardInterrupt:
        summary.interrupted = True
    summary.seconds = time.perf_counter() - began
    return summary


def _outcomes(
    todo: list[RunConfig], store: Path, workers: int
) -> Iterator[tuple[RunConfig, dict[str, Any] | Exception]]:
    """Every run with its record or the error that ended it, as they end."""
    if workers == 1:
        for config in todo:
            try:
                yield config, _train(config, store)
            except InputError:
                raise  # the user's mistake concerns all runs: a missing corpus or device
            except Exception as error:  # one run's trouble is not the others'
                yield config, error
        return
    # Started fresh instead of forked: torch's threads and CUDA do not survive a fork.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        queue = iter(todo)
        running: dict[Future[dict[str, Any]], RunConfig] = {}
        while True:
            for config in itertools.islice(queue, workers - len(running)):
                running[pool.submit(_train, config, store)] = config
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                config = running.pop(future)
                trouble = future.exception()
                if isinstance(trouble, Exception) and not isinstance(trouble, InputError | BrokenProcessPool):
                    yield config, trouble
                else:
                    yield config, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _train(config: RunConfig, store: Path) -> dict[str, Any]:
    """Train, unless another sweep on the same store has done so in the meantime."""
    if records.is_done(store, config.run_id):
        return records.read(store, config.run_id)
    return run(config, store)


def table(store: Path, diverged: bool = False) -> list[dict[str, Any]]:
    """Rows of the run table from all records of a store, by modality, structure, sparsity, N, D and seed."""
    rows = records.records_to_rows(records.read_all(store), diverged)
    keys = ("modality", "structure", "sparsity", "nonzero_params", "data_seen", "seed")
    return sorted(rows, key=lambda row: tuple(row[key] for key in keys))
