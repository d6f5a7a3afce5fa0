"""What the engine of sweeps costs and yields.

    python benchmarks/sweep_engine.py --parts coordinator [--runs 10000]
    python benchmarks/sweep_engine.py --parts rate [--seeds 8] [--steps 400]

``coordinator``: a plan of many runs whose training is left out, on a store in a folder: records are written, but
nothing is trained. Timed are reading the plan, the sweep itself less the writing of records, and a second sweep that
finds all of them done, each as seconds a run and as a share of a run of one minute.

``rate``: the same plan of small runs by one process after the other, by worker processes, as ensembles in one process
and in two, and by Ray on a local cluster, each on a fresh store; runs per hour, with what it takes to start processes.
Give it an idle machine.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from runners import executors
from runners.executors import Ended
from runners.job import Job, outcome_of
from runners.plan import expand
from runners.store import Store
from runners.sweep import run_plan


@executors.register
@dataclass(frozen=True)
class Dry:
    """Writes records and trains nothing."""

    name: ClassVar[str] = "dry"

    @contextmanager
    def open(self, store: Store, workers: int | None, threads: int) -> Iterator["DryCrew"]:  # noqa: ARG002
        yield DryCrew(store)


class DryCrew:
    slots = 2

    def __init__(self, store: Store) -> None:
        self.store: Store = store
        self.jobs: list[Job] = []

    def submit(self, job: Job) -> None:
        self.jobs.append(job)

    def wait(self, seconds: float) -> list[Ended]:  # noqa: ARG002
        ended = []
        for job in self.jobs:
            outcomes = []
            for config in job.configs:
                curve = [{"step": i, "data_seen": i, "train_loss": 1.0, "sparsity": 0.0} for i in range(20)]
                row = {"run_id": config.run_id, "loss": 1.0, "train_flops": 1e12, "wall_seconds": 60.0}
                record = {"schema": 1, "run": row, "status": "finished", "curve": curve, "config": {}, "ended": 0.0}
                self.store.write(record)
                outcomes.append(outcome_of(record))
            ended.append(Ended(job, outcomes))
        self.jobs = []
        return ended


def coordinator(runs: int) -> None:
    grid: dict[str, Any] = {
        "nonzero_params": [6144 * 2**i for i in range(5)],
        "data_seen": [2**i for i in range(19, 24)],
        "sparsity": [0.0, 0.5, 0.75, 0.875],
        "seed": list(range(runs // 100)),
    }
    began = time.perf_counter()
    configs = expand({"defaults": {"device": "cpu"}, "grid": [grid]}, max_runs=runs).configs
    took = {"plan": time.perf_counter() - began}
    with tempfile.TemporaryDirectory() as folder:
        first = run_plan(configs, folder, progress=lambda _: None, executor="dry")
        took["sweep"] = first.busy
        began = time.perf_counter()
        again = run_plan(configs, folder, executor="dry")
        took["finding all of them done"] = time.perf_counter() - began
        assert len(first.finished) == len(again.skipped) == len(configs)
    print(f"{len(configs)} planned runs")
    for what, seconds in took.items():
        print(
            f"{what}: {seconds:.1f} s, {1e3 * seconds / len(configs):.2f} ms a run, {seconds / len(configs) / 60:.4%}"
        )
    total = sum(took.values()) / len(configs)
    print(f"together {1e3 * total:.2f} ms a run: {total / 60:.4%} of a run of one minute")


def rate(seeds: int, steps: int) -> None:
    defaults = {"nonzero_params": 6144, "data_seen": steps * 1024, "device": "cpu", "heldout_items": 512}
    plan = {"defaults": defaults, "grid": [{"sparsity": [0.0, 0.5], "seed": list(range(seeds))}]}
    configs = expand(plan).configs
    contestants: dict[str, dict[str, Any]] = {
        "one after the other": {"workers": 1, "executor": "inline", "together": 1},
        "ensembles, one process": {"workers": 1, "executor": "inline"},
        "2 local workers": {"workers": 2, "executor": "local", "together": 1},
        "2 local workers, ensembles": {"workers": 2, "executor": "local", "together": max(1, seeds // 2)},
        "Ray, 2 at a time": {"workers": 2, "executor": "ray", "together": 1},
    }
    run_plan(configs[:1], tempfile.mkdtemp())  # data prepared, torch warm
    print("| how | runs an hour | of the plain loop |")
    print("|---|---|---|")
    plain = None
    for name, settings in contestants.items():
        with tempfile.TemporaryDirectory() as folder:
            summary = run_plan(configs, folder, **settings)
        assert len(summary.finished) == len(configs), summary
        pace = len(configs) / summary.seconds * 3600
        plain = plain or pace
        print(f"| {name} | {pace:.0f} | {pace / plain:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="coordinator,rate")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=400)
    args = parser.parse_args()
    if "coordinator" in args.parts:
        coordinator(args.runs)
    if "rate" in args.parts:
        rate(args.seeds, args.steps)


if __name__ == "__main__":
    main()
