"""Forecasts of the 72 learning curves of arXiv:2209.06640: the authors' four point estimates and ours, as Markdown.

    python benchmarks/learning_curves.py choices     # inside the training parts; what the method was chosen by
    python benchmarks/learning_curves.py forecasts   # the fixed held-out parts
    python benchmarks/learning_curves.py nuts        # against PyMC's sampler

The curves, `alabdulmohsin2022_vision/curves.csv` with `reference_rmse.csv`, lie in the folder that BAYES_SCALING_DATA
names. Point estimates forecast with a normal distribution whose standard deviation is that of their own residuals.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import published_curves
from scipy.stats import norm

import bayes_scaling as bs
from bayes_scaling.intervals import PROB

SHARE = 0.53
"""The held-out parts begin beyond about half of the largest x, and so do those inside the training parts."""


def curves() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The training parts and the held-out parts."""
    folder = Path(os.environ["BAYES_SCALING_DATA"]) / "alabdulmohsin2022_vision"
    table = pd.read_csv(folder / "curves.csv")
    table = table.rename(columns={"curve_id": "curve", "data_seen": "x"}).sort_values(["curve", "x"])
    columns = ["curve", "x", "loss", "task"]
    return table.loc[table["training"] == 1, columns], table.loc[table["training"] == 0, columns]


def data_set(table: pd.DataFrame) -> pd.Series:
    """Birds, CIFAR-100, Caltech-101 or ImageNet, whatever the number of shots."""
    return table["task"].str.partition("_")[0]


def point_scores(estimate: published_curves.Estimate, training: pd.DataFrame, later: pd.DataFrame) -> pd.DataFrame:
    """Scores of one of the authors' estimates, by curve."""
    rows = {}
    for name, part in training.groupby("curve"):
        x, loss = part["x"].to_numpy(float), part["loss"].to_numpy()
        forecast = estimate(x, loss)
        sd = np.sqrt(np.mean((np.log(forecast(x)) - np.log(loss)) ** 2))
        rest = later[later["curve"] == name]
        observed = np.log(rest["loss"].to_numpy())
        off = observed - np.log(forecast(rest["x"].to_numpy(float)))
        z, log_score = off / sd, norm.logpdf(off, scale=sd)
        rows[name] = {
            "log_rmse": np.sqrt(np.mean(off**2)),
            "log_score": log_score.mean(),
            "log_score_of_loss": (log_score - observed).mean(),
            "coverage": np.mean(np.abs(z) <= norm.ppf((1 + PROB) / 2)),
            # Gneiting and Raftery (2007), Eq. 21 for a normal distribution.
            "crps": np.mean(sd * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def row(name: str, scores: pd.DataFrame, seconds: float) -> None:
    mean = scores.mean()
    print(
        f"| {name} | {mean['log_rmse']:.5f} | {mean['log_score']:.3f} | {mean['log_score_of_loss']:.3f} | "
        f"{mean['coverage']:.3f} | {mean['crps']:.5f} | {seconds / len(scores):.2f} |",
        flush=True,
    )


def head() -> None:
    print(
        "| method | log-RMSE | log density of log loss | of the loss | coverage of 89 % | CRPS | CPU seconds a curve |"
    )
    print("|---|---|---|---|---|---|---|")


def choices(every: int) -> None:
    """Variants on the last stretch of the training parts."""
    training, _ = curves()
    some = training[training["curve"].isin(training["curve"].unique()[::every])]
    head()
    variants = {
        "M4 alone": {"forms": ("M4",), "isotonic": True},
        "M2, M3, M4": {"isotonic": True},
        "M2, M3, M4, not told that they are isotonic": {},
        "M2, M3, M4, BNSL": {"forms": ("M2", "M3", "M4", "BNSL"), "isotonic": True},
    }
    for name, settings in variants.items():
        start = time.process_time()
        scores = bs.curve.holdout(some, share=SHARE, **settings).to_dataframe()
        row(name, scores, time.process_time() - start)
    start = time.process_time()
    alone = [bs.curve.holdout(part, share=SHARE, isotonic=True).to_dataframe() for _, part in some.groupby("curve")]
    row("M2, M3, M4, each curve on its own", pd.concat(alone), time.process_time() - start)


def forecasts() -> None:
    """The authors' estimates and ours on the held-out parts."""
    training, later = curves()
    bs.curve.fit(training[training["curve"] == training["curve"].iloc[0]])  # imports
    head()
    for name, estimate in published_curves.ESTIMATES.items():
        start = time.process_time()
        scores = point_scores(estimate, training, later)
        row(f"{name}, as published", scores, time.process_time() - start)
    start = time.process_time()
    together = bs.curve.fit(training, isotonic=True)
    seconds = time.process_time() - start
    row("`bs.curve`, all curves together", bs.curve.score(together, later).to_dataframe(), seconds)
    print(f"<!-- failed the gate: {together.attrs['diagnostics']} -->")
    start, parts, by_set = time.process_time(), [], {}
    for name in data_set(training).unique():
        mine = data_set(training) == name
        others = bs.curve.fit(training[~mine], isotonic=True)
        own = bs.curve.fit(training[mine], isotonic=True, population=others)
        parts.append(bs.curve.score(own, later[data_set(later) == name]).to_dataframe())
        by_set[name] = parts[-1].mean()
    row("`bs.curve`, population from the other three data sets", pd.concat(parts), time.process_time() - start)
    print("\nBy data set:\n\n", pd.DataFrame(by_set).T.round(4).to_string())


def nuts(count: int) -> None:
    """Posteriors of a few curves under M4 by importance sampling and by NUTS."""
    from curve_nuts import by_nuts

    training, _ = curves()
    print("| curve | quantity | importance sampling | NUTS |\n|---|---|---|---|")
    for name in training["curve"].unique()[:: max(72 // count, 1)][:count]:
        part = training[training["curve"] == name]
        ours = bs.curve.fit(part, forms=("M4",), draws=4000)["posterior"].to_dataset().squeeze("curve")
        theirs = by_nuts(part)
        for quantity in ("level", "slope", "floor", "noise", "drift"):
            shown = [
                "{:.4f} [{:.4f}, {:.4f}]".format(*np.quantile(draws[quantity], [0.5, 0.055, 0.945]))
                for draws in (ours, theirs)
            ]
            print(f"| {name} | {quantity} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["choices", "forecasts", "nuts"])
    parser.add_argument("--every", type=int, default=1, help="every how many curves choices are made on")
    parser.add_argument("--count", type=int, default=3, help="curves that NUTS is run on")
    asked = parser.parse_args()
    if asked.part == "choices":
        choices(asked.every)
    elif asked.part == "forecasts":
        forecasts()
    else:
        nuts(asked.count)
