"""Fine-tuning curves of Lin et al. (arXiv:2402.02314): the rectified law's misfit against theirs, and forecasts.

python benchmarks/finetuning.py FOLDER [--forecast SETTING]

FOLDER holds the public data, as lin2024_finetuning/runs.csv and published_rmsd.csv. With --forecast, the hierarchical
model sees the ten smallest amounts of data of one corpus (up to 102,400 examples) and predicts the four beyond.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import bayes_scaling as bs
from bayes_scaling.intervals import PROB
from bayes_scaling.noise import draw_noise

REFIT = {"flan": 0.00640, "gigaword": 0.00508, "wmt19": 0.01159}
"""Mean log-RMSD of least squares on log loss, the number to reproduce."""
SEEN = 102_400


def curves(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "lin2024_finetuning" / "runs.csv")


def misfits(folder: Path) -> Iterator[tuple[str, float, float, int, int]]:
    """Of each corpus: its name, mean log-RMSD as published and ours, curves we fit no worse, and curves."""
    published = pd.read_csv(folder / "lin2024_finetuning" / "published_rmsd.csv")
    for setting, runs in curves(folder).groupby("setting"):
        theirs = published[published["setting"] == setting].set_index("model")["rmsd_log_rectified"]
        ours = bs.rectified.point_fit(runs)["rmsd"].to_series()
        no_worse = int((ours <= theirs.reindex(ours.index) * (1 + 1e-6)).sum())
        yield str(setting), float(theirs.mean()), float(ours.mean()), no_worse, len(ours)


def forecast(folder: Path, setting: str) -> None:
    runs = curves(folder).query("setting == @setting and data_seen > 0")
    near, far = runs[runs["data_seen"] <= SEEN], runs[runs["data_seen"] > SEEN]
    posterior = bs.rectified.fit(near, seed=0, draws=500, progressbar=False)
    found = json.loads(posterior.attrs["diagnostics"])
    amounts = np.unique(far["data_seen"])
    log = np.log(bs.rectified.predict(posterior, amounts))
    noise = (
        draw_noise(log.shape, np.random.default_rng(0)) * posterior["posterior"]["sigma"].to_numpy()[..., None, None]
    )
    tail = (1 - PROB) / 2
    low, middle, high = (log + noise).quantile([tail, 0.5, 1 - tail], ("chain", "draw")).to_numpy()
    seen = far.pivot(index="model", columns="data_seen", values="loss").loc[log["group"].to_numpy(), amounts]
    truth = np.log(seen.to_numpy())
    point = bs.rectified.point_fit(near).sel(group=seen.index.to_numpy())
    each = {name: point[name].to_numpy()[:, None] for name in ("start", "floor", "half_data", "beta")}
    theirs = np.log(bs.rectified.loss(amounts, **each))
    print(f"{setting}: gate {'passed' if found['ok'] else 'FAILED'}, R-hat {found['max_rhat']:.4f}")
    print("| amount | inside | rms of the median's log loss | of the point fit's |\n|---|---|---|---|")
    for i, amount in enumerate(amounts):
        inside = (low[:, i] <= truth[:, i]) & (truth[:, i] <= high[:, i])
        errors = [np.sqrt(np.mean((each[:, i] - truth[:, i]) ** 2)) for each in (middle, theirs)]
        print(f"| {amount:,} | {inside.mean():.2f} | {errors[0]:.4f} | {errors[1]:.4f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--forecast", choices=tuple(REFIT))
    asked = parser.parse_args()
    if asked.forecast:
        forecast(asked.folder, asked.forecast)
        return
    print("| corpus | published | ours, same procedure | of the published refit | no worse than published |")
    print("|---|---|---|---|---|")
    for setting, theirs, ours, no_worse, count in misfits(asked.folder):
        print(f"| {setting} | {theirs:.5f} | {ours:.5f} | {REFIT[setting]:.5f} | {no_worse} of {count} |")


if __name__ == "__main__":
    main()
