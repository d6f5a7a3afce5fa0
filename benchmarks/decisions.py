"""Optimal sparsity of 4,000 draws at 1,000 budgets, against one scipy call per draw and budget, as Markdown.

    python benchmarks/decisions.py [--pairs 300] [--repeats 5]

The posteriors are fits of the sweep that ships. `bs.optimal_sparsity` is timed as it stands, notes and all; scipy on
``--pairs`` random pairs of draw and budget with the law in plain floats, ``brentq`` on the stationarity condition and
bounded ``minimize_scalar`` on the loss to a tolerance of 1e-9, its CPU time extrapolated to all pairs. Ratios are of
CPU times, which other work on the machine changes least. Errors are the largest difference in sparsity: from ``brentq``
on these pairs, and under dense cost from the closed form on all.
"""

import argparse
import os
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import xarray as xr
from scipy.optimize import brentq, minimize_scalar

import bayes_scaling as bs
from bayes_scaling.decide.optimum import LARGEST
from bayes_scaling.decide.search import END

SIZE = 1e6
AT = {"modality": "language", "structure": "unstructured"}
NAMES = ("a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c", "k")
SHARE = {"gradual": 0.375, "dense": 1.0}
"""w in the multiplier w / (1 - S) + 1 - w: three eighths for the cubic ramp from 25 % to 75 % of training."""


def draws_of(posterior: xr.DataTree) -> dict[str, np.ndarray]:
    """Coefficients of all draws in one row each; the power is 1 where the law has none."""
    draws = posterior["posterior"].to_dataset().sel(AT)
    one = xr.ones_like(draws["c"])
    return {name: draws.get(name, one).transpose("chain", "draw").to_numpy().ravel() for name in NAMES}


def by_brentq(c: dict[str, float], budget: float, w: float) -> float:
    """The root of the stationarity condition in t = -log(1 - S)."""
    size = c["b_S"] * c["a_S"] * SIZE ** -c["b_N"]
    data = c["b_D"] * w * (6 * SIZE * c["a_D"] / budget) ** c["b_D"]

    def condition(t: float) -> float:
        times = w * np.exp(t) + 1 - w
        return size * np.exp(-c["b_S"] * t) - data * times ** (c["b_D"] - 1) * np.exp(t)

    if condition(0.0) <= 0:
        return 0.0
    return LARGEST if condition(END) >= 0 else -np.expm1(-brentq(condition, 0.0, END, xtol=1e-13))


def by_minimize(c: dict[str, float], budget: float, w: float) -> float:
    """The least loss."""

    def loss(t: float) -> float:
        size = (c["a_S"] * np.exp(-c["b_S"] * t) + c["c_S"]) * SIZE ** -c["b_N"]
        data = (c["a_D"] * 6 * SIZE * (w * np.exp(t) + 1 - w) / budget) ** c["b_D"]
        return (size + data) ** c["k"] + c["c"]

    return -np.expm1(-minimize_scalar(loss, bounds=(0.0, END), method="bounded", options={"xatol": 1e-9}).x)


def closed_form(c: dict[str, np.ndarray], budgets: np.ndarray) -> np.ndarray:
    """Optimal sparsity of all pairs under dense cost (arXiv:2309.08520)."""
    c = {name: values[:, None] for name, values in c.items()}
    exponent = (np.log(c["b_D"] / (c["a_S"] * c["b_S"])) + c["b_N"] * np.log(SIZE)) / (c["b_D"] + c["b_S"])
    density = np.exp(exponent) * (6 * c["a_D"] * SIZE / budgets) ** (c["b_D"] / (c["b_D"] + c["b_S"]))
    return np.clip(1 - density, 0.0, LARGEST)


def timed(solve: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median wall and CPU seconds."""
    spent = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        solve()
        spent.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = np.median(spent, axis=0)
    return float(wall), float(cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    runs = bs.datasets.load("python-stdlib")
    rng = np.random.default_rng(0)
    print("| law | cost | s | CPU s | brentq, CPU s | minimize_scalar, CPU s | times less CPU | error | peak MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for law in ("sparse", "coupled", None):
        posterior = bs.fit(runs, law, seed=0, progressbar=False)
        c = draws_of(posterior)
        middle = float(bs.dense_optimal_flops(posterior, SIZE, "language").median())
        budgets = middle * np.geomspace(1e-2, 1e4, 1000)
        rows, columns = rng.integers(c["c"].size, size=arguments.pairs), rng.integers(1000, size=arguments.pairs)
        pairs = [
            ({name: float(v[i]) for name, v in c.items()}, float(budgets[j]))
            for i, j in zip(rows, columns, strict=True)
        ]
        for cost, w in SHARE.items():
            best = bs.optimal_sparsity(posterior, SIZE, budgets, **AT, cost=cost)  # the first call also imports
            found = best.transpose("chain", "draw", "train_flops").to_numpy().reshape(-1, 1000)
            wall, cpu = timed(
                lambda p=posterior, b=budgets, k=cost: bs.optimal_sparsity(p, SIZE, b, **AT, cost=k), arguments.repeats
            )
            roots, seconds = [], []
            for solve in (by_brentq, by_minimize):
                start = time.process_time()
                roots.append([solve(one, budget, w) for one, budget in pairs])
                seconds.append((time.process_time() - start) / arguments.pairs * found.size)
            error = np.abs(found[rows, columns] - roots[0]).max()
            if cost == "dense":
                error = max(error, np.abs(found - closed_form(c, budgets)).max())
            tracemalloc.start()
            bs.optimal_sparsity(posterior, SIZE, budgets, **AT, cost=cost)
            peak = tracemalloc.get_traced_memory()[1] / 1e6
            tracemalloc.stop()
            name = posterior.attrs["law"]
            print(
                f"| `{name}` | {cost} | {wall:.2f} | {cpu:.2f} | {seconds[0]:.0f} | {seconds[1]:.0f} | "
                f"{seconds[0] / cpu:.0f}, {seconds[1] / cpu:.0f} | {error:.1e} | {peak:.0f} |",
                flush=True,
            )
    print(f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
