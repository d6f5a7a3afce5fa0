"""Published point fits and ours, as Markdown; then how often intervals of the bootstrap contain what they should.

    python benchmarks/point_fits.py --sweeps 40

The second part draws sweeps on the grid of arXiv:2309.08520 from known coefficients (see recovery.py), fits them
without the runs at the largest size, and counts 89 % intervals of the coefficients, of the loss at the largest size
(mean), and of the runs held out there (new-run). Chinchilla's runs are read from the folder that BAYES_SCALING_DATA
names.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from recovery import LAW, NOISE, TRUTH, grid, simulate

import bayes_scaling as bs
from bayes_scaling.intervals import PROB
from bayes_scaling.point_fit import PointFit, point_fit

DRAWS = 200


def fitted(runs: xr.Dataset | pd.DataFrame, **settings: str) -> PointFit:
    """The point fit, with its time on stdout."""
    start = time.perf_counter()
    point = point_fit(runs, **settings)
    convergence = point.convergence.to_dataframe()
    print(f"<!-- {time.perf_counter() - start:.2f} s; " + "; ".join(
        f"{m}: gradient {row.gradient:.1e}, {row.starts_agreeing:.0f} of {point.settings['starts']} starts agree"
        for m, row in convergence.iterrows()
    ) + " -->")  # fmt: skip
    return point


def row(data: str, quantity: str, published: object, ours: float) -> None:
    print(f"| {data} | {quantity} | {published} | {ours:.7g} |")


def reproduction() -> None:
    runs = bs.datasets.load("frantar2023")
    parts = {m: runs.isel(run=np.flatnonzero(runs["modality"].to_numpy() == m)) for m in ("vision", "language")}
    vit, t5 = fitted(parts["vision"], on="loss"), fitted(parts["language"])
    print("\n| runs | quantity | published | ours |\n|---|---|---|---|")
    for name, point, key, values in (
        ("ViT", vit, "vit-jft", ("4.9290879e-4", "4.9291e-4", "0.0796", "0.0352")),
        ("T5", t5, "t5-c4", ("7.6036053e-6", "4.88012e-6", "0.0163", "0.0159")),
    ):
        at = point.evaluate(LAW.published[key].coefficients)
        row(name, "objective at the published coefficients", values[0], at["objective"].item())
        row(name, "lowest objective", values[1], point.objective.item())
        row(name, "its RMSE", values[2], point.scores["rmse"].item())
        row(name, "its largest relative error", values[3], point.scores["max_relative_error"].item())
        best = LAW.published[key].coefficients if name == "ViT" else TRUTH["language"]
        for coefficient, value in best.items():
            row(name, coefficient, f"{value:.4g}", point.coefficients[coefficient].item())
    for name, modality, on, known in (("ViT", "vision", "loss", "0.0775"), ("T5", "language", "log", "0.0184")):
        size = parts[modality]["nonzero_params"].to_numpy()
        largest = size > 0.99 * size.max()
        point = point_fit(parts[modality].isel(run=np.flatnonzero(~largest)), on=on)
        held = parts[modality].isel(run=np.flatnonzero(largest))
        error = point.predict(held).to_numpy() - held["loss"].to_numpy()
        row(name, "RMSE at the largest N, held out", known, float(np.sqrt(np.mean(error**2))))

    path = Path(os.environ.get("BAYES_SCALING_DATA", "")) / "chinchilla2022" / "runs.csv"
    if path.is_file():
        table = pd.read_csv(path)
        point = point_fit(table[~table["excluded"]].drop(columns="excluded"))
        k = {str(name): values.item() for name, values in point.coefficients.data_vars.items()}
        row("Chinchilla", "lowest objective, summed over 240 runs", "1.018274e-3", 240 * point.objective.item())
        for quantity, known, ours in (
            ("E", "1.8172", k["c"]), ("alpha", "0.3473", k["b_N"]), ("beta", "0.3672", k["b_D"]),
            ("A", "477.826", k["a_S"] + k["c_S"]), ("B", "2143.417", k["a_D"] ** k["b_D"]),
        ):  # fmt: skip
            row("Chinchilla", quantity, known, ours)

    both = point_fit(runs)
    for kind in ("residual", "runs"):
        start = time.perf_counter()
        draws = both.bootstrap(DRAWS, kind=kind)
        seconds = time.perf_counter() - start
        print(f"\n{DRAWS} draws of the bootstrap '{kind}', both modalities: {seconds:.1f} s")
        print("\n| | ViT | T5 |\n|---|---|---|")
        for name in LAW.published["t5-c4"].coefficients:
            lower, median, upper = draws[name].quantile([(1 - PROB) / 2, 0.5, (1 + PROB) / 2], "draw")
            cells = [
                "{:.3g} [{:.3g}, {:.3g}]".format(*(float(q.sel(modality=m).squeeze()) for q in (median, lower, upper)))
                for m in ("vision", "language")
            ]
            print(f"| {name} | {' | '.join(cells)} |")


def coverage(sweeps: int) -> None:
    cells = grid()
    largest = cells["nonzero_params"] > 0.99 * cells.groupby("modality")["nonzero_params"].transform("max")
    held = cells[largest].reset_index(drop=True)
    inside: dict[tuple[str, str, str], list[float]] = {}
    for sweep in range(sweeps):
        runs = simulate(cells, TRUTH, NOISE, np.random.default_rng([sweep, 7]))
        new = runs[largest].reset_index(drop=True)
        point = point_fit(runs[~largest], starts=4)
        for kind in ("residual", "runs"):
            draws = point.bootstrap(DRAWS // 2, seed=sweep, kind=kind)
            tail = draws.quantile([(1 - PROB) / 2, (1 + PROB) / 2], "draw")
            for modality, truth in TRUTH.items():
                for name, value in truth.items():
                    lower, upper = tail[name].sel(modality=modality).to_numpy().reshape(2)
                    inside.setdefault((kind, modality, name), []).append(float(lower <= value <= upper))
                mine = (held["modality"] == modality).to_numpy()
                columns = (held.loc[mine, c].to_numpy() for c in ("sparsity", "nonzero_params", "data_seen"))
                for what, target in (
                    ("mean", LAW.loss(*columns, **truth)),
                    ("new-run", new.loc[mine, "loss"].to_numpy()),
                ):
                    found = point.intervals(held[mine], draws, what, seed=sweep)
                    hits = (found["lower"].to_numpy() <= target) & (target <= found["upper"].to_numpy())
                    inside.setdefault((kind, modality, f"{what}, largest N held out"), []).append(float(hits.mean()))
    print(f"\nShare inside the {PROB:.0%} interval, {sweeps} sweeps\n")
    print("| quantity | ViT, residual | ViT, runs | T5, residual | T5, runs |\n|---|---|---|---|---|")
    for quantity in dict.fromkeys(quantity for _, _, quantity in inside):
        shares = [np.mean(inside[k, m, quantity]) for m in ("vision", "language") for k in ("residual", "runs")]
        print(f"| {quantity} | {' | '.join(f'{share:.2f}' for share in shares)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=40)
    args = parser.parse_args()
    reproduction()
    if args.sweeps:
        coverage(args.sweeps)


if __name__ == "__main__":
    main()
