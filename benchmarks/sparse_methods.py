"""Methods of sparse training at equal non-zeros, data and shape: the table of docs/sparsity.md.

    bayes-scaling sweep methods --store runs/methods
    python benchmarks/sparse_methods.py --store runs/methods

Differences are seed by seed to static random masks of the same structure and sparsity, the floor, which share the
initial weights and the order of the data. FLOPs are those at the density in force: gradual methods are dense at first,
and pay for it. Runs from a trained dense model have seen its data too.
"""

import argparse
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console

from runners.sweep import table

ORDER = ("random", "snip", "set", "rigl", "srste", "magnitude", "pst")


@dataclass(frozen=True)
class Way:
    """All runs that differ in the seed alone."""

    sparsity: float
    structure: str
    method: str
    schedule: str
    distribution: str
    power: float
    start: str

    @property
    def floor(self) -> "Way":
        """Static random masks of this structure and sparsity."""
        return Way(self.sparsity, self.structure, "random", "constant", "uniform", 1.0, "scratch")

    @property
    def order(self) -> tuple[Any, ...]:
        place = ORDER.index(self.method) if self.method else -1
        structure = (self.structure != "unstructured", self.structure)
        return self.sparsity, structure, self.start == "pretrained", place, self.power, self.distribution != "uniform"

    @property
    def name(self) -> str:
        power = f", power {self.power:g}" if self.power != 1 else ""
        start = ", from a trained model" if self.start == "pretrained" else ""
        return f"{self.method or 'dense'}{power}{start}"


def ways(store: Path) -> dict[Way, dict[int, dict[str, Any]]]:
    """Rows of the store by way and seed; dense runs that others start from are left out."""
    rows = table(store)
    starts = {row["pretrained"] for row in rows if "pretrained" in row}
    found: dict[Way, dict[int, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        if row["run_id"] in starts:
            continue
        way = Way(
            round(row["sparsity"], 3),
            row["structure"],
            row["method"],
            row["schedule"],
            row["distribution"],
            row.get("power", 1.0),
            row["strategy"],
        )
        found[way][row["seed"]] = row
    return dict(sorted(found.items(), key=lambda item: item[0].order))


def lines(found: dict[Way, dict[int, dict[str, Any]]]) -> list[str]:
    """A Markdown table, a way a line."""
    text = [
        "| sparsity | structure | method | schedule | distribution | seeds | held-out loss | against random | FLOPs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for way, rows in found.items():
        losses = [row["loss"] for row in rows.values()]
        floor = found.get(way.floor, {})
        both = sorted(set(rows) & set(floor))
        differences = [rows[seed]["loss"] - floor[seed]["loss"] for seed in both]
        flops = [rows[seed]["train_flops"] / floor[seed]["train_flops"] for seed in both]
        is_floor = way == way.floor
        text.append(
            f"| {way.sparsity:g} | {way.structure} | {way.name} | {way.schedule or '–'} | {way.distribution or '–'} | "
            f"{len(rows)} | {spread(losses)} | {'–' if is_floor or not both else spread(differences, '+')} | "
            f"{f'{mean(flops):.2f}' if both else '–'} |"
        )
    return text


def spread(values: list[float], sign: str = "") -> str:
    """Mean, and standard deviation over seeds."""
    middle = f"{mean(values):{sign}.4f}"
    return f"{middle} ± {stdev(values):.4f}" if len(values) > 1 else middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    args = parser.parse_args()
    for line in lines(ways(args.store)):
        Console(soft_wrap=True).print(line, markup=False, highlight=False)


if __name__ == "__main__":
    main()
