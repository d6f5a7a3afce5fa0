"""How the time of a fit grows with the number of runs and of groups.

    python benchmarks/many_runs.py --runs 100,1000,10000,100000 --groups 1,10,100 [--limit 900]

Each sweep is a grid of sizes, data and sparsities with losses from the law `sparse`, whose exponents differ between
groups by some per cent, and Student-t noise; it is fitted once in a process of its own with the law `sparse` and
default settings. Compiling is left out of the time, since it happens once for each number of groups and is kept on
disk; there are eight runs a group at least. Sampling shares the cores with whatever else runs, so give it a quiet
machine.
"""

import argparse
import itertools
import json
import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd

TRUTH = {"a_S": 16.0, "b_S": 0.8, "c_S": 30.0, "b_N": 0.24, "a_D": 6.0e8, "b_D": 0.4, "c": 0.9}
"""Near those of T5 on C4."""

NOISE, BETWEEN = 0.004, 0.05
"""Scale of the noise of log loss, and by how much exponents differ between groups."""

FEWEST = 8
"""Runs of a group."""


def sweep(runs: int, groups: int) -> pd.DataFrame:
    """A table of simulated runs."""
    from bayes_scaling import laws
    from bayes_scaling.noise import draw_noise

    rng = np.random.default_rng([runs, groups])
    each = runs // groups
    levels = max(2, round(each ** (1 / 3)))
    sizes, data = (np.geomspace(1e6, 1e9, levels), np.geomspace(1e9, 1e12, levels))
    sparsities = [0.0, *(1 - np.geomspace(0.5, 0.0625, max(levels - 1, 2)))]
    grid = np.array(list(itertools.product(sizes, data, sparsities)))
    tables = []
    for group in range(groups):
        rows = grid[rng.permutation(np.arange(each) % len(grid))]
        exponents = ("b_N", "b_D", "b_S")
        truth = {n: v * np.exp(BETWEEN * rng.standard_normal() * (n in exponents)) for n, v in TRUTH.items()}
        loss = laws.get("sparse").loss(rows[:, 2], rows[:, 0], rows[:, 1], **truth)
        tables.append(
            pd.DataFrame(rows, columns=["nonzero_params", "data_seen", "sparsity"]).assign(
                modality=f"group {group}", loss=loss * np.exp(NOISE * draw_noise((each,), rng))
            )
        )
    return pd.concat(tables, ignore_index=True)


def fit(runs: int, groups: int) -> dict[str, float]:
    """One fit, and what it took."""
    import bayes_scaling as bs

    table = bs.load_runs(sweep(runs, groups))
    began = time.perf_counter()
    posterior = bs.fit(table, law="sparse", seed=0, progressbar=False)
    seconds, spent = time.perf_counter() - began, json.loads(posterior.attrs["seconds"])
    found = json.loads(posterior.attrs["diagnostics"])
    return {
        "seconds": seconds - spent["compile"],
        "sampling": spent["sample"],
        "compiling": spent["compile"],
        "leapfrogs": float(posterior["sample_stats"]["n_steps"].mean()),
        "ess": min(found["min_ess_bulk"], found["min_ess_tail"]),
        "rhat": found["max_rhat"],
        "divergences": found["divergences"],
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def main() -> None:
    """Fit each sweep in a new process, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default="100,1000,10000,100000")
    parser.add_argument("--groups", default="1,10,100")
    parser.add_argument("--limit", type=float, default=1800, help="seconds after which a fit is given up")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    counts, groups = ([int(n) for n in text.split(",")] for text in (arguments.runs, arguments.groups))
    if arguments.child:
        print(json.dumps(fit(counts[0], groups[0])))
        return
    print("| runs | groups | seconds | of them sampling | leapfrogs a draw | ESS | R-hat | divergences | GB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for count, group in itertools.product(counts, groups):
        if count < FEWEST * group:
            continue
        command = [sys.executable, __file__, "--child", "--runs", str(count), "--groups", str(group)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=arguments.limit)
        except subprocess.TimeoutExpired:
            print(f"| {count:,} | {group} | more than {arguments.limit:g} | | | | | | |", flush=True)
            continue
        f = json.loads(done.stdout.splitlines()[-1])
        times = f"{f['seconds']:.1f} | {f['sampling']:.1f} | {f['leapfrogs']:.1f}"
        checks = f"{f['ess']:.0f} | {f['rhat']:.4f} | {f['divergences']}"
        print(f"| {count:,} | {group} | {times} | {checks} | {f['gigabytes']:.1f} |", flush=True)


if __name__ == "__main__":
    main()
