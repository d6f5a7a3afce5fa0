"""Whether the best peak learning rate stays put over widths and densities, by parametrization, from a grid of runs.

    python benchmarks/mup.py --store FOLDER [--base 64] [--data 262144] [--seeds 0,1] [--picture mup.png]

Small decoders on Python's standard library: dense ones of half, once and twice the base's width; and of the base's,
static random masks and gradual magnitude pruning at several sparsities. Each is trained at rates that go up in factors
of two. The best rate is the vertex of the parabola, in the logarithm of the rate, through the best of these rates and
its neighbours, on losses averaged over seeds. "Lost" is what the best rate of the base (dense; the same in all
parametrizations) costs elsewhere: the loss there, by the parabola through the three rates nearest to it, above the
cell's own least. Runs that are in the store are not trained again; Ctrl-C and start again as you like: tables have what
is complete.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from learning_rates import vertex

from runners.config import RunConfig
from runners.store import Store
from runners.sweep import run_plan

RATES = (0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128)
SPARSITIES = (0.5, 0.75, 0.875)
MASKS: dict[str, dict[str, object]] = {
    # What the effective width was derived for: random masks, and none outside the blocks.
    "static random": {"method": "random", "schedule": "constant", "embedding_sparsity": "none"},
    "gradual magnitude": {},
}


@dataclass(frozen=True)
class Cell:
    """What is trained at all rates."""

    masks: str
    width: int
    sparsity: float
    parametrization: str
    base: int

    @property
    def is_base(self) -> bool:
        """Whether parametrizations change nothing in it."""
        return self.width == self.base and not self.sparsity

    def config(self, rate: float, seed: int, data: int) -> RunConfig:
        weights = 24 * self.width**2  # two blocks, each with an MLP four times as wide
        return RunConfig(
            nonzero_params=round(weights * (1 - self.sparsity)),
            data_seen=data,
            sparsity=self.sparsity,
            seed=seed,
            parametrization=self.parametrization,
            base_width=self.base,
            learning_rate=rate,
            batch_size=8,
            heldout_items=1024,
            device="cpu",
            **MASKS.get(self.masks, {}),  # type: ignore[arg-type]
        )


def cells(base: int) -> Iterator[Cell]:
    """Widths of dense models, and densities at the width of the base, where standard and mup are the same."""
    for width in (base // 2, base, 2 * base):
        yield from (Cell("dense", width, 0.0, name, base) for name in ("standard", "mup"))
    for masks in MASKS:
        for sparsity in SPARSITIES:
            yield from (Cell(masks, base, sparsity, name, base) for name in ("standard", "smupar"))


def parabola(rates: np.ndarray, losses: np.ndarray, at: float) -> float:
    """The loss at a rate, by the parabola through the three rates nearest to it."""
    near = np.sort(np.argsort(np.abs(np.log(rates / at)))[:3])
    return float(np.polyval(np.polyfit(np.log(rates[near]), losses[near], 2), np.log(at)))


def families(losses: dict[Cell, np.ndarray]) -> dict[tuple[str, str], list[Cell]]:
    """What should share one best rate, the base included, by what differs in it and by parametrization."""
    found: dict[tuple[str, str], list[Cell]] = {}
    base = next(cell for cell in losses if cell.is_base)
    for cell in losses:
        if not cell.is_base:
            found.setdefault((cell.masks, cell.parametrization), [base]).append(cell)
    return {name: sorted(inside, key=lambda cell: (cell.width, cell.sparsity)) for name, inside in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--base", type=int, default=64, help="width")
    parser.add_argument("--data", type=int, default=2**18, help="bytes of each run")
    parser.add_argument("--seeds", default="0,1", help="by commas")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--picture", type=Path, help="file for the curves of loss over rate")
    arguments = parser.parse_args()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    plan = {
        cell: [[cell.config(rate, seed, arguments.data) for seed in seeds] for rate in RATES]
        for cell in cells(arguments.base)
    }
    configs = [config for by_rate in plan.values() for at_rate in by_rate for config in at_rate]
    run_plan(configs, arguments.store, arguments.workers, lambda where: print(where, flush=True), together=8)

    store = Store(arguments.store)
    done = store.done()
    by_seed = {  # shape (rate, seed)
        cell: np.array([[loss(store, config) for config in at_rate] for at_rate in by_rate])
        for cell, by_rate in plan.items()
        if all(config.run_id in done for at_rate in by_rate for config in at_rate)
    }
    losses = {cell: found.mean(axis=1) for cell, found in by_seed.items()}
    print_tables(np.array(RATES), losses)
    if len(seeds) > 1:
        print_seeds(np.array(RATES), by_seed)
    if arguments.picture:
        draw(np.array(RATES), losses, arguments.picture)


def loss(store: Store, config: RunConfig) -> float:
    found = store.read(config.run_id)["run"]["loss"]
    return float("nan") if found is None else float(found)


def print_tables(rates: np.ndarray, losses: dict[Cell, np.ndarray]) -> None:
    """Every cell, and how far best rates go apart within what should share one."""
    base = next(vertex(rates, found) for cell, found in losses.items() if cell.is_base)
    print("| masks | width | sparsity | parametrization | " + " | ".join(f"{r:g}" for r in rates) + " | best | lost |")
    print("|---" * (len(rates) + 6) + "|")
    best, lost = {}, {}
    for cell, found in losses.items():
        best[cell] = vertex(rates, found)
        least = np.nanmin(found) if np.isnan(best[cell]) else parabola(rates, found, best[cell])
        lost[cell] = parabola(rates, found, base) - least
        shown = " | ".join(f"**{v:.4f}**" if v == np.nanmin(found) else f"{v:.4f}" for v in found)
        name = f"{cell.masks} | {cell.width} | {cell.sparsity:g} | {cell.parametrization}"
        rate = "–" if np.isnan(best[cell]) else f"{best[cell]:.3g}"
        print(f"| {name} | {shown} | {rate} | {lost[cell]:.4f} |")
    print("\n| what differs | parametrization | spread of the best rate, factors of two | lost, mean | lost, most |")
    print("|---|---|---|---|---|")
    for (masks, name), inside in families(losses).items():
        # Where the best rate is at the edge of the grid, it is at least as far away as the edge.
        at = [best[cell] if np.isfinite(best[cell]) else rates[np.nanargmin(losses[cell])] for cell in inside]
        edge = "" if np.isfinite([best[cell] for cell in inside]).all() else "at least "
        elsewhere = [lost[cell] for cell in inside if not cell.is_base]
        row = f"{edge}{np.ptp(np.log2(at)):.2f} | {np.mean(elsewhere):.3f} | {max(elsewhere):.3f}"
        print(f"| {masks}, {'widths' if masks == 'dense' else 'densities'} | {name} | {row} |")


def print_seeds(rates: np.ndarray, losses: dict[Cell, np.ndarray]) -> None:
    """How far noise goes: between seeds, in best rates and in losses."""
    best = [np.ptp(np.log2([vertex(rates, mine) for mine in found.T])) for found in losses.values()]
    apart = np.concatenate([np.ptp(found, axis=1) for found in losses.values()])
    print(
        f"\nBetween seeds: best rates {np.nanmedian(best):.2f} factors of two apart in the median, "
        f"{np.nanmax(best):.2f} at most; losses {np.nanmedian(apart):.3f} nats in the median"
    )


def draw(rates: np.ndarray, losses: dict[Cell, np.ndarray], file: Path) -> None:
    """Loss above a cell's own least, over the rate: above as usual, below scaled."""
    import matplotlib.pyplot as plt

    groups = families(losses)
    columns = [masks for masks, name in groups if name == "standard"]
    figure, axes = plt.subplots(
        2, len(columns), figsize=(3.2 * len(columns), 5), sharex=True, sharey=True, squeeze=False
    )
    for (masks, name), inside in groups.items():
        axis = axes[int(name != "standard")][columns.index(masks)]
        for cell, shade in zip(inside, np.linspace(0.15, 0.85, len(inside)), strict=True):
            label = f"width {cell.width}" if masks == "dense" else f"sparsity {cell.sparsity:g}"
            color = plt.colormaps["viridis"](shade)
            axis.plot(rates, losses[cell] - np.nanmin(losses[cell]), "o-", color=color, label=label, markersize=4)
        axis.set_title(f"{masks}: {name}", fontsize=10)
        axis.legend(fontsize=8, frameon=False)
    axes[0][0].set_xscale("log", base=2)
    axes[0][0].set_xticks(rates[::2], [f"{rate:g}" for rate in rates[::2]])
    for axis in axes[-1]:
        axis.set_xlabel("peak learning rate")
    for row in axes:
        row[0].set_ylabel("loss above the least, nats")
    figure.tight_layout()
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main()
