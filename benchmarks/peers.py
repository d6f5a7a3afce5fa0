"""Beside what people use today: seconds, convergence, and predictions of the largest models, held out.

    python benchmarks/peers.py --store FOLDER [--data FOLDER] [--seeds 3] [--contestants a,b] [--data-sets a,b]

Contestants and their settings are described in contestants.py. Data are the 160 T5 and ViT runs of arXiv:2309.08520 and
dense public sweeps, read from ``--data`` (``BAYES_SCALING_DATA`` unless said). ``paper`` knows sparse sweeps with its
own units only, ``simple`` and ``simple-joint`` dense ones only. Needs the packages of the dependency group ``bench``.

Every fit runs in a process of its own with a time limit: on all runs, which is what seconds and convergence are taken
from, and without those with the largest non-zero parameters, which are predicted and scored. The first fit of all runs
by a contestant is made twice, and the second counts: caches are warm then. Contestants take turns. The store keeps one
JSON file per contestant, data set and seed, so that an interrupted run goes on where it stopped.
"""

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from contestants import CONTESTANTS
from held_out_scales import COLUMNS, families, splits
from peers_tables import Found, report

DATA_SETS = ("frantar2023", "chinchilla2022", "gadre2024", "muennighoff2023")
SPARSE_ONLY, DENSE_ONLY = ("paper",), ("simple", "simple-joint")
PACKAGES = ("bayes-scaling", "pymc", "pytensor", "nutpie", "numpyro", "jax", "scipy", "simple-scaling-laws")


def tables(data: Path, wanted: list[str]) -> dict[str, pd.DataFrame]:
    """The sweeps asked for, by name."""
    found: dict[str, pd.DataFrame] = {}
    for name, table in itertools.chain(families(data, unused=False), families(data, unused=True)):
        if name in wanted:
            found[name] = table.reset_index(drop=True)
        if len(found) == len(wanted):
            break
    return found


def written(table: pd.DataFrame, name: str, folder: Path) -> tuple[str, dict[str, list[Path]]]:
    """What is held out, and the CSV files of each part: runs to fit, and those to predict."""
    held_out, held = next(splits(table, folds=0))
    folder.mkdir(parents=True, exist_ok=True)
    rows = {"all": np.ones_like(held), "kept": ~held, "held": held}
    paths = {part: folder / f"{name}_{part}.csv" for part in rows}
    for part, which in rows.items():
        table[COLUMNS][which].to_csv(paths[part], index=False)
    return held_out, {"all": [paths["all"]], "held_out": [paths["kept"], paths["held"]]}


def in_new_process(contestant: str, seed: int, files: list[Path], limit: float, store: Path) -> dict[str, Any]:
    """What a fit found, or that it hit the time limit, or how it failed."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    # NumPyro's compilations are kept as those of the others are by default.
    environment["JAX_COMPILATION_CACHE_DIR"] = str(store / "jax")
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    load = os.getloadavg()[0]
    command = [sys.executable, str(Path(__file__).with_name("contestants.py")), contestant, str(seed)]
    command += [repr(time.time()), *map(str, files)]
    # A session of its own, so that a sampler's workers end with it.
    child = subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        out, err = child.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return {"timed_out": limit, "load": load}
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    if child.returncode:
        return {"failed": (err.strip().splitlines() or [f"exit status {child.returncode}"])[-1]}
    return json.loads(out.splitlines()[-1]) | {"load": load}


@dataclass
class Bench:
    """Where fits are kept, how long they may take, and which contestants' caches this run has warmed."""

    store: Path
    limit: float
    warm: set[tuple[str, str]] = field(default_factory=set)

    def measured(self, contestant: str, sweep: str, seed: int, files: dict[str, list[Path]]) -> dict[str, Any]:
        """What the fit of each part found, from the store, or made now and stored; failures are made again."""
        path = self.store / f"{contestant}_{sweep}_{seed}.json"
        stored = json.loads(path.read_text()) if path.exists() else {}
        record = {part: stored[part] for part in files if part in stored}
        for part, paths in files.items():
            if part in record and record[part].get("timed_out", self.limit) >= self.limit:
                continue
            cold = part == "all" and (contestant, sweep) not in self.warm
            self.warm.add((contestant, sweep))
            began = time.perf_counter()
            for _ in range(2 if cold else 1):
                record[part] = in_new_process(contestant, seed, paths, self.limit, self.store)
                if "seconds" not in record[part]:
                    break
            shown = {k: v for k, v in record[part].items() if k not in ("convergence", "scores")}
            spent = f"{time.perf_counter() - began:.0f} s in all"
            print(f"{path.stem}, {part}: {spent}, {shown}", file=sys.stderr, flush=True)
            about = {"contestant": contestant, "sweep": sweep, "seed": seed, "versions": versions()}
            worked = {part: found for part, found in record.items() if "failed" not in found}
            temporary = path.with_suffix(".part")
            temporary.write_text(json.dumps(about | worked, indent=1))
            temporary.replace(path)
        return record


def versions() -> dict[str, str]:
    installed = {each.metadata["Name"].lower() for each in metadata.distributions()}
    return {name: metadata.version(name) for name in PACKAGES if name in installed}


def plays(contestant: str, table: pd.DataFrame) -> bool:
    """Whether a contestant knows the kind of sweep: sparse or dense."""
    return contestant not in (DENSE_ONLY if table["sparsity"].any() else SPARSE_ONLY)


def chosen(parser: argparse.ArgumentParser, asked: str, known: Iterable[str]) -> list[str]:
    names, allowed = asked.split(","), list(known)
    if unknown := [name for name in names if name not in allowed]:
        parser.error(f"{unknown[0]!r} is not known; there are {', '.join(allowed)}")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("BAYES_SCALING_DATA"))
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--contestants", default=",".join(CONTESTANTS))
    parser.add_argument("--data-sets", default=",".join(DATA_SETS))
    parser.add_argument("--limit", type=float, default=600, help="seconds for one fit")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no fit outlives this process
    if arguments.data is None:
        parser.error("--data is not given, and BAYES_SCALING_DATA is not set")
    contestants = chosen(parser, arguments.contestants, CONTESTANTS)
    sweeps = tables(arguments.data, chosen(parser, arguments.data_sets, DATA_SETS))
    bench = Bench(arguments.store.resolve(), arguments.limit)
    written_to = {name: written(table, name, bench.store / "runs") for name, table in sweeps.items()}
    found: Found = {name: {} for name in sweeps}
    for seed, name, contestant in itertools.product(range(arguments.seeds), sweeps, contestants):
        if plays(contestant, sweeps[name]):
            record = bench.measured(contestant, name, seed, written_to[name][1])
            found[name].setdefault(contestant, []).append(record)
    report(found, {name: held_out for name, (held_out, _) in written_to.items()})


if __name__ == "__main__":
    main()
