"""What came of the two findings that docs/findings.md tests, by the rules that it states.

bayes-scaling sweep findings_text --store FOLDER/text
bayes-scaling sweep findings_images --store FOLDER/images
python benchmarks/findings.py FOLDER/text FOLDER/images
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import bayes_scaling as bs

PROB = 0.89
RIVALS = (0.5, 0.75)


def interval(differences: np.ndarray) -> tuple[float, float]:
    """Of the mean over seeds, by a t distribution."""
    error = stats.sem(differences)
    lower, upper = stats.t.interval(PROB, len(differences) - 1, differences.mean(), error)
    return float(lower), float(upper)


def verdict(intervals: list[tuple[float, float]]) -> str:
    if any(lower > 0 for lower, _ in intervals):
        return "confirmed"
    return "contradicted" if all(upper < 0 for _, upper in intervals) else "open"


def told(differences: np.ndarray) -> str:
    lower, upper = interval(differences)
    return f"{differences.mean():+.4f} ({lower:+.4f} to {upper:+.4f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="+", type=Path)
    for store in parser.parse_args().stores:
        runs = bs.load_runs(store).to_dataframe()
        runs["sparsity"] = runs["sparsity"].round(3)
        losses = runs.pivot_table(index=["data_seen", "seed"], columns="sparsity", values="loss")
        print(f"\n{runs['modality'].iloc[0]}: {len(runs)} runs of N = {runs['nonzero_params'].unique()}\n")
        print(table(losses))
        most, least = losses.loc[losses.index[-1][0]], losses.loc[losses.index[0][0]]
        gains = {s: (most[0.0] - most[s]).to_numpy() for s in RIVALS}
        for s, gain in gains.items():
            print(f"dense - {s:g} at {losses.index[-1][0]:,.0f}: {told(gain)}")
        print(f"finding 1: {verdict([interval(g) for g in gains.values()])}")
        rise = ((most[0.5] - most[0.75]) - (least[0.5] - least[0.75])).to_numpy()
        print(f"gain of 0.75 over 0.5, most data less least: {told(rise)}")
        print(f"finding 2: {verdict([interval(rise)])}")


def table(losses: pd.DataFrame) -> str:
    """Mean loss over seeds, and the standard deviation between them."""
    means, between = losses.groupby("data_seen").mean(), losses.groupby("data_seen").std()
    lines = ["| data seen | " + " | ".join(f"{s:g}" for s in losses) + " |", "|---" * (losses.shape[1] + 1) + "|"]
    for data, row in means.iterrows():
        cells = [f"{value:.4f} ± {between.loc[data, s]:.4f}" for s, value in row.items()]
        best = int(np.argmin(row.to_numpy()))
        cells[best] = f"**{cells[best]}**"
        lines.append(f"| {data:,.0f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
