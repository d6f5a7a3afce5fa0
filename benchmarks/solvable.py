"""The solvable model's exact loss against direct simulation, and what a law fitted to its runs makes of larger ones.

python benchmarks/solvable.py            # the grid, half a minute
python benchmarks/solvable.py --held-out # and four fits of the law dense
"""

import argparse
import itertools

import numpy as np

import bayes_scaling as bs
from bayes_scaling.intervals import PROB
from bayes_scaling.studies.solvable import Ridge, train_averaged

MODEL = bs.solvable.Model(latent=300, alpha=0.5, noise_variance=0.05)
SIZES = (60, 120, 240, 480)
RIDGES: tuple[Ridge, ...] = (0.0, 1.0, "optimal")
REPEATS = 20

SMALL = (16, 32, 64, 128)
LARGE = (512, 2048)
AXES = ("nonzero_params", "data_seen")
WORLDS = (0.3, 0.6)


def grid() -> None:
    print("| N | T | ridge | exact | simulated | difference | its standard error |\n|---|---|---|---|---|---|---|")
    off, errors = [], []
    for n, t, ridge in itertools.product(SIZES, SIZES, RIDGES):
        if ridge == 0 and n == t < MODEL.latent:
            continue  # infinite
        strength = float(bs.solvable.optimal_ridge(MODEL, n, t)) if ridge == "optimal" else float(ridge)
        exact = float(bs.solvable.expected_loss(MODEL, n, t, strength))
        rngs = (np.random.default_rng([9, i]) for i in range(REPEATS))
        losses = np.array([train_averaged(MODEL, n, t, strength, rng) for rng in rngs])
        off.append(losses.mean() / exact - 1)
        errors.append(losses.std(ddof=1) / REPEATS**0.5 / exact)
        print(f"| {n} | {t} | {ridge} | {exact:.4f} | {losses.mean():.4f} | {off[-1]:+.2%} | {errors[-1]:.2%} |")
    within = np.abs(off) <= 0.02
    print(
        f"\n{len(off)} cells: {within.sum()} within 2 %; largest difference {np.abs(off).max():.2%}, "
        f"median {np.median(np.abs(off)):.2%}; largest standard error {max(errors):.2%}"
    )


def held_out() -> None:
    """Whether the intervals of the law `dense`, fitted to small runs, contain the exact loss of a larger one."""
    print(f"\n| alpha | ridge | exact loss, N, T = {LARGE} | predicted, {PROB:.0%} interval | inside |")
    print("|---|---|---|---|---|")
    for alpha, ridge in itertools.product(WORLDS, ("optimal", 0.05)):
        model = bs.solvable.Model(latent=3000, alpha=alpha, noise_variance=0.01)
        runs = bs.solvable.simulate(model, SMALL, [4 * n for n in SMALL], ridge=ridge, seeds=2, seed=0)
        posterior = bs.fit(runs, law="dense", seed=0, progressbar=False)
        new = runs.isel(run=[0]).assign({name: ("run", [n]) for name, n in zip(AXES, map(float, LARGE), strict=True)})
        draws = bs.predict(posterior, new, kind="mean").to_numpy()
        tail = (1 - PROB) / 2
        lower, median, upper = np.quantile(draws, [tail, 0.5, 1 - tail])
        exact = float(bs.solvable.expected_loss(model, *LARGE, ridge))
        inside = "yes" if lower <= exact <= upper else "no"
        print(f"| {alpha} | {ridge} | {exact:.4f} | {median:.4f} [{lower:.4f}, {upper:.4f}] | {inside} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held-out", action="store_true")
    asked = parser.parse_args()
    grid()
    if asked.held_out:
        held_out()
