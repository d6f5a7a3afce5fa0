"""What every executor calls, wherever it runs: some runs of one kind in, one outcome each out, records in the store."""

import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from bayes_scaling.runs import InputError
from runners.accounting import failed_record
from runners.claims import Claims, held
from runners.config import RunConfig
from runners.ensemble import run_ensemble
from runners.log import RunLog
from runners.records import SETTLED
from runners.store import Store, StoreFullError
from runners.train import run

__all__ = ["Job", "Outcome", "train_job"]


@dataclass(frozen=True)
class Job:
    """Runs that one process trains together.

    Attributes
    ----------
    configs : tuple of RunConfig
        One run, or the members of an ensemble.
    keep : frozenset of str
        Ids of runs whose trained model is kept in the store, for others to start from.
    since : float
        When the sweep began, in seconds since 1970: a failure before that is tried again, a later one is not.
    """

    configs: tuple[RunConfig, ...]
    keep: frozenset[str] = frozenset()
    since: float = 0.0

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Ids of its runs."""
        return tuple(config.run_id for config in self.configs)

    @property
    def needs(self) -> frozenset[str]:
        """Ids of the runs that must have ended before."""
        return frozenset(config.start for config in self.configs if config.start is not None)


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes
    ----------
    run_id : str
        The run.
    status : str
        As in a record; or ``elsewhere``, where another process holds the run; or ``full``, where the store has no room.
    loss : float or None
        Held-out loss of its record.
    error : str
        Why it failed.
    trained : bool
        Whether this job trained it; False where its record was there.
    """

    run_id: str
    status: str
    loss: float | None = None
    error: str = field(default="", compare=False)
    trained: bool = True


def train_job(job: Job, address: str, device_index: int | None = None) -> list[Outcome]:
    """Train what nobody else has trained or is training.

    Parameters
    ----------
    job : Job
        The runs.
    address : str
        Of the store.
    device_index : int, optional
        Which of several GPUs to use.

    Returns
    -------
    list of Outcome
        One a run, in their order. Trouble becomes a record with the status ``failed``, and its traceback is in the
        run's log.

    Raises
    ------
    KeyboardInterrupt
        Somebody asked to stop; checkpoints are written.
    """
    if device_index is not None:
        torch.cuda.set_device(device_index)
    store = Store(address)
    found: dict[str, Outcome] = {}
    with held(store, job.run_ids) as claims:
        mine = []
        for config in job.configs:
            if config.run_id not in claims.run_ids:
                found[config.run_id] = Outcome(config.run_id, "elsewhere", trained=False)
            elif record := _settled(store, config.run_id, job):
                found[config.run_id] = outcome_of(record, trained=False)
            else:
                mine.append(config)
        if mine:
            found |= _train(mine, store, job, claims)
    return [found[run_id] for run_id in job.run_ids]


def outcome_of(record: dict[str, Any], trained: bool = True) -> Outcome:
    """What a record says in short."""
    row = record["run"]
    loss = row["loss"] if record["status"] == "finished" else None
    return Outcome(row["run_id"], record["status"], loss, record.get("error", ""), trained)


def _settled(store: Store, run_id: str, job: Job) -> dict[str, Any] | None:
    """The record of a run that needs no training here; one that cannot be read is set aside."""
    name = f"{run_id}.json"
    if not store.folder.has(name):
        return None
    try:
        record = store.read(run_id)
    except InputError:
        store.set_aside(run_id)
        return None
    if record["status"] not in SETTLED and record.get("ended", 0) < job.since:
        return None
    lacks_model = run_id in job.keep and record["status"] == "finished" and not store.folder.has(f"models/{run_id}.pt")
    return None if lacks_model else record


def _train(configs: Sequence[RunConfig], store: Store, job: Job, claims: Claims) -> dict[str, Outcome]:
    """Train them; whatever goes wrong becomes an outcome."""
    began = time.perf_counter()
    logs = [RunLog(store, config, len(configs)) for config in configs]

    def progress(step: int, steps: int, loss: float) -> None:
        for config, log in zip(configs, logs, strict=True):
            claims.at(config.run_id, step, steps)
            log.step(step, steps, loss)

    try:
        for log in logs:
            log.say("starts" if len(configs) == 1 else f"starts, one of {len(configs)} that train together")
        if len(configs) == 1:
            found = [run(configs[0], store, progress, keep_model=configs[0].run_id in job.keep)]
        else:
            found = run_ensemble(configs, store, progress, keep_models=job.keep)
    except StoreFullError as error:
        return {config.run_id: Outcome(config.run_id, "full", error=str(error)) for config in configs}
    except KeyboardInterrupt:
        for log in logs:
            log.say("interrupted; it goes on from here when it is started again")
        raise
    except Exception as error:  # one run's trouble is not the others'
        found = []
        for config, log in zip(configs, logs, strict=True):
            if store.is_done(config.run_id):  # an ensemble's member that had ended before
                found.append(store.read(config.run_id))
                continue
            message = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            log.say(traceback.format_exc().rstrip())
            found.append(failed_record(config, message, began))
            try:
                store.write(found[-1])
            except StoreFullError as full:
                return {config.run_id: Outcome(config.run_id, "full", error=str(full)) for config in configs}
    outcomes = {record["run"]["run_id"]: outcome_of(record) for record in found}
    for log, config in zip(logs, configs, strict=True):
        log.end(outcomes[config.run_id])
    return outcomes
