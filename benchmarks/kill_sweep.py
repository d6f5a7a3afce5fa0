"""Kills a sweep's processes at random moments, again and again, and looks whether anything was lost.

    python benchmarks/kill_sweep.py --kills 50 --runs 40

A sweep of small runs works on a fresh store with two worker processes. At random moments SIGKILL goes to a worker, or
to the process that coordinates (which is then started again). At the end the sweep must be complete, and every record
whole, there once, and equal to that of a sweep that nobody disturbed.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from runners.claims import holders
from runners.plan import load_plan
from runners.store import Store
from runners.sweep import run_plan

TIMES = ("wall_seconds", "units_per_second", "peak_memory", "ensemble")


def write_plan(folder: Path, runs: int) -> Path:
    """Runs of about a second on a small corpus of this package's own source."""
    source = Path(__file__).resolve().parents[1] / "bayes_scaling"
    defaults = {"corpus": str(source), "nonzero_params": 3072, "context": 16, "batch_size": 4, "prune_every": 3}
    defaults |= {"heldout_items": 64, "device": "cpu", "data_seen": 64 * 300}
    path = folder / "plan.json"
    seeds = list(range((runs + 1) // 2))
    path.write_text(json.dumps({"defaults": defaults, "grid": [{"sparsity": [0.0, 0.5], "seed": seeds}]}))
    return path


def start(plan: Path, store: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bayes_scaling.cli", "sweep", str(plan), "--store", str(store)]
    return subprocess.Popen([*command, "--workers", "2", "--together", "1"], stderr=subprocess.DEVNULL)


def disturb(plan: Path, store: Path, kills: int, pause: float, rng: random.Random) -> Counter[str]:
    """Kill until that many have been, then let the sweep end."""
    killed: Counter[str] = Counter()
    sweep = start(plan, store)
    while True:
        try:
            sweep.wait(timeout=rng.uniform(0.0, 2 * pause) if killed.total() < kills else None)
        except subprocess.TimeoutExpired:
            workers = [claim.pid for claim in holders(Store(store)).values() if claim.pid != sweep.pid]
            if workers and rng.random() < 0.5:
                os.kill(rng.choice(workers), signal.SIGKILL)
                killed["worker"] += 1
            else:
                sweep.kill()
                killed["coordinator"] += 1
        if sweep.poll() is not None:
            if len(Store(store).done()) == len(load_plan(plan).configs):
                return killed
            sweep = start(plan, store)


def faults(plan: Path, store: Path, whole: Path) -> list[str]:
    """What is wrong with a store that was disturbed."""
    planned = {config.run_id for config in load_plan(plan).configs}
    found, undisturbed = Store(store).contents(), Store(whole).contents().records
    said = [f"unreadable: {fault}" for fault in found.unreadable.values()]
    said += [f"lost: {run_id}" for run_id in planned - set(found.records)]
    said += [f"not planned: {run_id}" for run_id in set(found.records) - planned]
    for run_id in planned & set(found.records):
        one, other = (
            {k: v for k, v in r[run_id]["run"].items() if k not in TIMES} for r in (found.records, undisturbed)
        )
        if one != other or found.records[run_id]["curve"] != undisturbed[run_id]["curve"]:
            said.append(f"another result: {run_id}")
    for log in (store / "logs").iterdir():
        if (ends := log.read_text().count(" finished after ")) > 1:
            said.append(f"trained {ends} times: {log.stem}")
    if left := list(store.glob("claims/*")) + list(store.glob("checkpoints/*.pt")):
        said.append(f"left behind: {[path.name for path in left]}")
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--pause", type=float, default=8.0, help="mean seconds between kills")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plan, store, whole = write_plan(Path(folder), args.runs), Path(folder) / "store", Path(folder) / "whole"
        run_plan(load_plan(plan).configs, whole, together=1)
        began = time.monotonic()
        killed = disturb(plan, store, args.kills, args.pause, random.Random(args.seed))
        said = faults(plan, store, whole)
        runs = len(load_plan(plan).configs)
        print(
            f"{runs} runs; killed {killed['worker']} workers and {killed['coordinator']} coordinators in "
            f"{time.monotonic() - began:.0f} s"
        )
        print("\n".join(said) or "no record lost, none twice, none half written, all as in an undisturbed sweep")
        sys.exit(1 if said else 0)


if __name__ == "__main__":
    main()
