"""What the laws for sparse runs say of the paper's public runs, one table: python benchmarks/rivals.py

Huber point fits on log loss, as `bs.point_fit` makes them; the root mean square error is of the loss. Where
BAYES_SCALING_DATA names no folder of public data, the runs are fetched.
"""

import numpy as np

import bayes_scaling as bs

LAWS = ("sparse", "levels", "power", "average")
SPARSITIES = (0.5, 0.75, 0.875, 0.9375)


def main() -> None:
    runs = bs.datasets.load("frantar2023")
    print("| runs | law | RMSE | " + " | ".join(f"dense equivalent at {s:g}" for s in SPARSITIES) + " |")
    print("|---" * (3 + len(SPARSITIES)) + "|")
    for name, modality in (("T5", "language"), ("ViT", "vision")):
        mine = runs.isel(run=np.flatnonzero(runs["modality"].to_numpy() == modality))
        trained = mine["sparsity"].to_numpy().max()
        for law in LAWS:
            point = bs.point_fit(mine, law=law)
            at = {str(k): values.item() for k, values in point.coefficients.data_vars.items()}
            times = [float(bs.laws.get(law).dense_equivalent(s, **at)) for s in SPARSITIES if s <= trained]
            cells = [f"{each:.2f}" for each in times] + ["–"] * (len(SPARSITIES) - len(times))
            print(f"| {name} | `{law}` | {point.scores['rmse'].item():.4f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
