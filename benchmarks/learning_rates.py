"""The best peak learning rate over model widths and densities, from a grid of runs.

    python benchmarks/learning_rates.py --store FOLDER [--modality language] [--sizes 6144,24576] [--data 1048576]

For every number of non-zero parameters and every sparsity the rates go up in factors of two; the "vertex" is that of
the parabola, in the logarithm of the rate, through the best rate and its neighbours. Then a rule
c · (width / 32)^a · density^b is fitted to the vertices by least squares on logarithms. Runs that are in the store are
not trained again; Ctrl-C and start again as you like.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from runners.config import RunConfig
from runners.store import Store
from runners.sweep import run_plan

SPARSITIES = (0.0, 0.5, 0.75, 0.875)
RATES = {"language": (0.004, 0.008, 0.016, 0.032, 0.064), "vision": (0.002, 0.004, 0.008, 0.016, 0.032)}


def grid(modality: str, sizes: list[int], rates: list[float], data: int, knobs: dict[str, object]) -> list[RunConfig]:
    return [
        RunConfig(
            modality=modality, nonzero_params=n, data_seen=data, sparsity=s, learning_rate=rate, device="cpu", **knobs
        )
        for n in sizes
        for s in SPARSITIES
        for rate in rates
    ]


def vertex(rates: np.ndarray, losses: np.ndarray) -> float:
    """Where the parabola through the best rate and its neighbours is least; NaN at the edge of the grid."""
    best = int(np.nanargmin(losses))
    if not 0 < best < len(rates) - 1:
        return float("nan")
    near = slice(best - 1, best + 2)
    a, b, _ = np.polyfit(np.log(rates[near]), losses[near], 2)
    return float(np.exp(-b / (2 * a)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--modality", default="language", choices=sorted(RATES))
    parser.add_argument("--sizes", default="6144,24576")
    parser.add_argument("--data", type=int, default=2**20, help="bytes or examples of each run")
    parser.add_argument("--rates", help="by commas, unless those of the modality")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    knobs = {"image_size": 16, "batch_size": 64} if arguments.modality == "vision" else {}
    asked = [float(rate) for rate in (arguments.rates or "").split(",") if rate] or [*RATES[arguments.modality]]
    sizes = [int(n) for n in arguments.sizes.split(",")]
    configs = grid(arguments.modality, sizes, asked, arguments.data, knobs)
    run_plan(configs, arguments.store, arguments.workers, lambda where: print(where, flush=True))

    losses: defaultdict[tuple[int, float, int], dict[float, float]] = defaultdict(dict)
    for config in configs:
        row = Store(arguments.store).read(config.run_id)["run"]
        found = float("nan") if row["loss"] is None else row["loss"]
        losses[config.nonzero_params, config.sparsity, row["width"]][config.learning_rate or 0.0] = found
    rates = np.array(asked)
    print("| N | sparsity | width | " + " | ".join(f"{rate:g}" for rate in rates) + " | vertex |")
    print("|---" * (len(rates) + 4) + "|")
    vertices = []
    for (n, sparsity, width), by_rate in losses.items():
        values = np.array([by_rate[rate] for rate in rates])
        best = vertex(rates, values)
        vertices.append((width, 1 - sparsity, best))
        cells = [f"**{v:.4f}**" if v == np.nanmin(values) else f"{v:.4f}" for v in values]
        print(f"| {n:,} | {sparsity:g} | {width} | " + " | ".join(cells) + f" | {best:.2g} |")
    width, density, best = np.array([row for row in vertices if np.isfinite(row[2])]).T
    design = np.column_stack([np.ones(len(width)), np.log(width / 32), np.log(density)])
    for name, columns in (("width", [0, 1]), ("width and density", [0, 1, 2])):
        power, *_ = np.linalg.lstsq(design[:, columns], np.log(best), rcond=None)
        off = np.log(best) - design[:, columns] @ power
        text = " ".join(f"{p:+.2f}" for p in power[1:])
        print(f"{name}: {np.exp(power[0]):.4f}, powers {text}, residual {off.std():.3f} of the log")


if __name__ == "__main__":
    main()
