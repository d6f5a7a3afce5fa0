"""How often a fit passes the diagnostics gate: real sweeps, several seeds, the law `sparse` and the default.

    python benchmarks/gate.py --data FOLDER [--seeds 5] [--paper-seeds 20]

Sweeps: `frantar2023` (with ``--paper-seeds``), the sweep that ships, and the dense public sweeps of
``held_out_scales.py``, those unused in any choice included. Counted is whether the gate passed at the first try or the
second, stricter one, with not a single divergence among the draws that are kept.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr
from held_out_scales import COLUMNS, families

import bayes_scaling as bs

LAWS = ("sparse", None)


def sweeps(data: Path) -> Iterator[tuple[str, xr.Dataset]]:
    for unused in (False, True):
        for name, table in families(data, unused):
            yield name, bs.load_runs(table[COLUMNS].reset_index(drop=True))
    for name in ("structures", "python-stdlib"):
        yield name, bs.datasets.load(name)


def fit(runs: xr.Dataset, law: str | None, seed: int) -> dict[str, float]:
    """One fit, and what its diagnostics found."""
    began = time.perf_counter()
    posterior = bs.fit(runs, law=law, seed=seed, progressbar=False)
    seconds, found = time.perf_counter() - began, json.loads(posterior.attrs["diagnostics"])
    stats = posterior["sample_stats"]
    parts = found.get("laws", {"": found}).values()
    return {
        "ok": found["ok"] and not any(part["divergences"] for part in parts),
        "second try": stats.sizes["draw"] > json.loads(posterior.attrs["settings"])["draws"],
        "rhat": found["max_rhat"],
        "ess": min(found["min_ess_bulk"], found["min_ess_tail"]),
        "leapfrogs": float(stats["n_steps"].mean()),
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one sub-folder per public sweep")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--paper-seeds", type=int, default=20, help="for frantar2023")
    parser.add_argument("--store", type=Path, help="file of finished fits, JSON lines, which a later run goes on from")
    arguments = parser.parse_args()
    done: dict[tuple[str, str, int], dict[str, float]] = {}
    if arguments.store and arguments.store.is_file():
        for line in arguments.store.read_text().splitlines():
            key, found = json.loads(line)
            done[tuple(key)] = found
    print(
        "| sweep | runs | law | passed | second try | largest R-hat | least ESS | leapfrogs a draw | seconds, median |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, runs in sweeps(arguments.data):
        seeds = arguments.paper_seeds if name == "frantar2023" else arguments.seeds
        for law in LAWS:
            each = []
            for seed in range(seeds):
                key = (name, law or "default", seed)
                if key not in done:
                    done[key] = fit(runs, law, seed)
                    print(*key, done[key], file=sys.stderr, flush=True)
                    if arguments.store:
                        with arguments.store.open("a") as file:
                            file.write(json.dumps([key, done[key]]) + "\n")
                each.append(done[key])
            if each:
                passed = f"{sum(f['ok'] for f in each)} of {len(each)}"
                worst = f"{max(f['rhat'] for f in each):.4f} | {min(f['ess'] for f in each):.0f}"
                typical = " | ".join(f"{np.median([f[key] for f in each]):.3g}" for key in ("leapfrogs", "seconds"))
                retried = sum(f["second try"] for f in each)
                about = f"{name} | {runs.sizes['run']} | {law or 'default'}"
                print(f"| {about} | {passed} | {retried} | {worst} | {typical} |", flush=True)


if __name__ == "__main__":
    main()
