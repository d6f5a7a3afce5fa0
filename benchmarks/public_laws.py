"""Every published number that public data allow to check, against ours, in one table.

    python benchmarks/public_laws.py FOLDER
    python benchmarks/public_laws.py FOLDER --points          # without posteriors: a minute or two
    python benchmarks/public_laws.py FOLDER --only gadre clark

FOLDER holds the public data, as zhang2024_batch/runs.csv and autoscale2024/gpt2large_ppl.csv. A further data set is a
function that yields rows, in public_points.py or public_posteriors.py, added to POINTS or POSTERIORS. What cannot be
worked out is named below the table, and the exit status is 1 then.
"""

import argparse
import csv
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import public_points
import public_posteriors
import xarray as xr
from public_rows import Row, checked, relative, table

import bayes_scaling as bs

CRITICAL = {"85M": 745.32, "151M": 955.16, "302M": 1393.73, "604M": 1888.52, "1.2B": 2533.41}
THEIRS = {"overhead": 0.2, "reference_batch": 256}
"""Of arXiv:2410.21676: 20 % more examples than at 256 sequences."""


def batch(folder: Path) -> Iterator[Row]:
    table = folder / "zhang2024_batch" / "runs.csv"
    point = bs.batch.point_fit(table)["critical_batch"]
    point = THEIRS["overhead"] * point + (1 + THEIRS["overhead"]) * THEIRS["reference_batch"]
    posterior = checked(bs.batch.fit(table, seed=0, progressbar=False))
    draws = bs.batch.critical_batch(posterior, **THEIRS)
    for size, published in CRITICAL.items():
        one = draws.sel(group=size)
        ours = float(point.sel(group=size))
        yield Row("zhang2024_batch", f"critical batch, {size}", published, ours, 0.01, draws=one)
    laws = bs.batch.power_law(point), bs.batch.power_law(draws)
    for name, what, published in (("exponent", "exponent in N", 0.46828), ("coefficient", "value at N = 1e6", 93.197)):
        ours = float(laws[0][name])
        tolerance = 1e-5 if name == "exponent" else 0.01
        yield Row("zhang2024_batch", f"its {what}", published, ours, tolerance, draws=laws[1][name])


DOMAINS = ("common_crawl", "github", "books", "wiki", "c4", "stackexchange", "arxiv")
OPTIMUM = (1.6248, 0.2, 1.2742, 1.1798, 1.8519, 0.6372, 0.2322)
TOTALS = (5.000487, 21.38933, 93.22815, 412.4400)


def autoscale_rows(folder: Path) -> list[dict[str, float | str]]:
    """The 15 runs as a table of amounts, relative to the uniform mixture."""
    amounts = {"reduced": 0.2, "increased_3x": 3.0}
    rows: list[dict[str, float | str]] = []
    with (folder / "autoscale2024" / "gpt2large_ppl.csv").open(encoding="utf-8") as file:
        for run in csv.DictReader(file):
            name, _, change = run["row"].partition("_")
            changed = {"base": "", "cc": "common_crawl"}.get(name, name)
            each = {f"amount_{domain}": amounts[change] if domain == changed else 1.0 for domain in DOMAINS}
            rows.append({"run_id": run["row"], "loss": float(run["average"]), **each})
    return rows


def mixture(folder: Path) -> Iterator[Row]:
    rows = autoscale_rows(folder)
    point = bs.mixture.point_fit(rows)
    best = bs.mixture.water_filling(point["a"], point["b"], np.ones(7), 7.0, 0.2)
    posterior = checked(bs.mixture.fit(rows, seed=0, progressbar=False))
    optimum = bs.mixture.optimal_weights(posterior, 7.0, floor=0.2)
    for i, published in enumerate(OPTIMUM):
        draws = optimum["amount"].isel(domain=i)
        yield Row("autoscale2024", f"optimum, {DOMAINS[i]}", published, float(best[i]), 0.001, draws=draws)
    small, large = (optimum_at(folder, total) for total in (0.3, 1.2))
    totals = bs.mixture.extrapolate(small, large, steps=4)["total"]
    # The smaller scale has an optimum but no runs, so its own uncertainty is not in these intervals.
    draws = bs.mixture.extrapolate(small, optimum["amount"] * 1.2 / 7, steps=4)["total"]
    for i, published in enumerate(TOTALS):
        point_row = relative("autoscale2024", f"total at step {i + 3}, B tokens", published, float(totals[i]), 1e-5)
        yield replace(point_row, draws=draws.isel(step=i))


def optimum_at(folder: Path, total: float) -> xr.DataArray:
    """A published optimum, in billions of tokens."""
    with (folder / "autoscale2024" / "optimal_weights.csv").open(encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if float(row["scale_B_tokens"]) == total)
    return xr.DataArray([float(row[d]) * total / 7 for d in DOMAINS], {"domain": list(DOMAINS)}, ("domain",))


Rows = Callable[[Path], Iterator[Row]]

POINTS: tuple[Rows, ...] = (
    public_points.frantar,
    public_points.chinchilla,
    public_points.gadre,
    public_points.muennighoff,
    public_points.clark,
    public_points.lin,
    public_points.alabdulmohsin,
    public_points.gale,
    public_points.wu,
)
POSTERIORS: tuple[Rows, ...] = (
    batch,
    mixture,
    public_posteriors.frantar,
    public_posteriors.chinchilla,
    public_posteriors.chinchilla_coupled,
    public_posteriors.chinchilla_kaplan,
    public_posteriors.muennighoff,
    public_posteriors.clark,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--points", action="store_true", help="leave posteriors out")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="data sets, by the names of their functions")
    asked = parser.parse_args()
    os.environ["BAYES_SCALING_DATA"] = str(asked.folder)
    rows: list[Row] = []
    failed: dict[str, Exception] = {}
    for of in POINTS if asked.points else POINTS + POSTERIORS:
        name = of.__name__
        if asked.only and name not in asked.only:
            continue
        began = time.perf_counter()
        try:
            rows += of(asked.folder)
        except Exception as error:  # the others are still of use
            failed[f"{of.__module__}.{name}"] = error
        print(f"{of.__module__}.{name}: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    print("\n" + table(rows))
    for name, error in failed.items():
        print(f"\n**{name} failed**: {type(error).__name__}: {error}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
