"""Published numbers of laws with tables of their own against ours, one table.

python benchmarks/public_laws.py FOLDER

FOLDER holds the public data, as zhang2024_batch/runs.csv and autoscale2024/gpt2large_ppl.csv. A further law is a
function that yields rows, added to LAWS.
"""

import argparse
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

import bayes_scaling as bs
from bayes_scaling.intervals import PROB, interval


@dataclass(frozen=True)
class Row:
    """One published number, our point estimate by the published procedure, and our posterior's interval where asked."""

    law: str
    quantity: str
    published: float
    point: float
    draws: xr.DataArray | None = None

    def cells(self) -> list[str]:
        first = [self.law, self.quantity, f"{self.published:.6g}", f"{self.point:.6g}"]
        if self.draws is None:
            return [*first, "–", "–"]
        told = interval(self.draws, PROB)
        slack = 1e-9 * abs(self.published)
        inside = told["lower"] - slack <= self.published <= told["upper"] + slack
        return [*first, f"{told['median']:.4g} [{told['lower']:.4g}, {told['upper']:.4g}]", "yes" if inside else "no"]


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
        yield Row("batch", f"critical batch, {size}", published, float(point.sel(group=size)), one)
    laws = bs.batch.power_law(point), bs.batch.power_law(draws)
    yield Row("batch", "its exponent in N", 0.46828, float(laws[0]["exponent"]), laws[1]["exponent"])
    yield Row("batch", "its value at N = 1e6", 93.197, float(laws[0]["coefficient"]), laws[1]["coefficient"])


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
        yield Row("mixture", f"optimum, {DOMAINS[i]}", published, float(best[i]), optimum["amount"].isel(domain=i))
    small, large = (optimum_at(folder, total) for total in (0.3, 1.2))
    totals = bs.mixture.extrapolate(small, large, steps=4)["total"]
    # The smaller scale has an optimum but no runs, so its own uncertainty is not in these intervals.
    draws = bs.mixture.extrapolate(small, optimum["amount"] * 1.2 / 7, steps=4)["total"]
    for i, published in enumerate(TOTALS):
        yield Row(
            "mixture", f"total at step {i + 3}, B tokens", published, float(totals.isel(step=i)), draws.isel(step=i)
        )


def optimum_at(folder: Path, total: float) -> xr.DataArray:
    """A published optimum, in billions of tokens."""
    with (folder / "autoscale2024" / "optimal_weights.csv").open(encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if float(row["scale_B_tokens"]) == total)
    return xr.DataArray([float(row[d]) * total / 7 for d in DOMAINS], {"domain": list(DOMAINS)}, ("domain",))


LAWS = (batch, mixture)


def checked(posterior: xr.DataTree) -> xr.DataTree:
    found = json.loads(posterior.attrs["diagnostics"])
    seconds = json.loads(posterior.attrs["seconds"])
    print(
        f"{posterior.attrs['law']}: gate {'passed' if found['ok'] else 'FAILED'}, R-hat {found['max_rhat']:.4f}, "
        f"bulk ESS {found['min_ess_bulk']:.0f}, {found['divergences']} divergences, "
        f"compiling {seconds['compile']:.1f} s, sampling {seconds['sample']:.1f} s"
    )
    return posterior


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    rows = [row.cells() for law in LAWS for row in law(folder)]
    print(f"\n| law | quantity | published | ours, same procedure | posterior, {PROB:.0%} interval | inside |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
