"""What the sweep over structures says: costs of patterns, what pooling buys, and whether a pretrained start pays.

    python benchmarks/structures.py [--runs STORE_OR_NAME] [--out FOLDER]

Prints the tables of docs/structures.md and draws its pictures, or some of it: ``--parts pairs,sizes,pooling,pretrained,
pictures``. Everything is worked out from the run table alone.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from pymc_extras.prior import Prior
from scipy import stats

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.validate.predictions import predictions_of
from bayes_scaling.validate.result import scores_of

SIBLINGS = {"2:4": ("unstructured", 0.5), "1:4": ("unstructured", 0.75), "2:8": ("unstructured", 0.75)}
"""The unstructured runs that a pattern is compared with: as many zeros."""

CELL = ["modality", "strategy", "nonzero_params", "data_seen", "seed"]
PROB = 0.89
FOLDS = 4


def load(source: str) -> xr.Dataset:
    known = source in bs.datasets.names()
    runs = bs.datasets.load(source) if known else bs.load_runs(source)
    return runs.isel(run=np.isfinite(runs["loss"].to_numpy()))


def frame_of(runs: xr.Dataset) -> pd.DataFrame:
    frame = runs.reset_coords().to_dataframe()
    return frame.assign(log_loss=np.log(frame["loss"]), level=frame["sparsity"].round(3))


# --- pairs: runs that differ in one thing alone ----------------------------------------------------------------------


def pairs(one: pd.DataFrame, other: pd.DataFrame, cell: list[str]) -> pd.DataFrame:
    both = one[[*cell, "log_loss"]].merge(other[[*cell, "log_loss"]], on=cell, suffixes=("", "_other"))
    return both.assign(difference=both["log_loss"] - both["log_loss_other"])


def summary(differences: pd.Series) -> str:
    mean, reach = differences.mean(), half_width(differences)
    return f"{mean:+.4f} [{mean - reach:+.4f}, {mean + reach:+.4f}]"


def half_width(differences: pd.Series) -> float:
    """Of the interval of a mean, by Student's t."""
    count = len(differences)
    return float(stats.t.ppf((1 + PROB) / 2, count - 1) * differences.std(ddof=1) / np.sqrt(count))


def of_kind(frame: pd.DataFrame, structure: str, sparsity: float) -> pd.DataFrame:
    return frame[(frame["structure"] == structure) & np.isclose(frame["sparsity"], sparsity, atol=0.01)]


def print_pairs(frame: pd.DataFrame) -> None:
    print("\n| modality | comparison | pairs | difference of log loss | per factor of e in N | in D |")
    print("|---|---|---|---|---|---|")
    scratch = frame[frame["strategy"] == "scratch"]
    comparisons = [(f"{s} against unstructured", s, kind) for s, kind in SIBLINGS.items()]
    comparisons += [("1:4 against 2:8", "1:4", ("2:8", 0.75))]
    for modality, mine in scratch.groupby("modality"):
        for name, structure, (other, sparsity) in comparisons:
            found = pairs(of_kind(mine, structure, sparsity), of_kind(mine, other, sparsity), CELL)
            trends = [trend(found, axis) for axis in ("nonzero_params", "data_seen")]
            print(
                f"| {modality} | {name} | {len(found)} | {summary(found['difference'])} | {trends[0]} | {trends[1]} |"
            )


def trend(found: pd.DataFrame, axis: str) -> str:
    """How a difference changes with the logarithm of an axis, the other one held, with a standard error."""
    x = np.column_stack([np.ones(len(found)), *(np.log(found[a]) for a in ("nonzero_params", "data_seen"))])
    coefficients, residual, *_ = np.linalg.lstsq(x, found["difference"], rcond=None)
    variance = float(residual[0]) / max(len(found) - 3, 1) if len(residual) else np.nan
    errors = np.sqrt(variance * np.diag(np.linalg.pinv(x.T @ x)))
    at = 1 if axis == "nonzero_params" else 2
    return f"{coefficients[at]:+.4f} ± {errors[at]:.4f}"


# --- pooling: what the hierarchy buys --------------------------------------------------------------------------------

VARIANTS: dict[str, tuple[Callable[[xr.Dataset], xr.Dataset], dict[str, Any] | None]] = {
    "hierarchical": (lambda runs: runs, None),
    # As wide as the hierarchy's own, groups and population together, but without sharing anything.
    "unpooled": (
        lambda runs: runs,
        {
            "b_N": Prior("LogNormal", mu=np.log(0.3), sigma=0.72),
            "b_D": Prior("LogNormal", mu=np.log(0.3), sigma=0.72),
            "b_S": Prior("LogNormal", mu=np.log(0.9), sigma=0.64),
            "floor": Prior("LogitNormal", mu=0.41, sigma=1.0),
        },
    ),
    "pooled": (lambda runs: one_structure(runs), None),
}


def one_structure(runs: xr.Dataset) -> xr.Dataset:
    """All sparse runs as if they had one structure."""
    structure = runs["structure"].to_numpy().astype(object)
    structure[structure != "dense"] = "unstructured"
    return runs.assign(structure=("run", structure.astype(str)))


def parts(runs: xr.Dataset, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """What is held out: cells in random folds, then every pattern of every modality."""
    frame = frame_of(runs)
    cells = frame.groupby(["modality", "structure", frame["sparsity"].round(3), "nonzero_params", "data_seen"]).ngroup()
    fold = rng.permutation(np.arange(cells.max() + 1) % FOLDS)[cells.to_numpy()]
    sparse = frame["structure"].to_numpy() != "dense"
    for number in range(FOLDS):
        yield "cells", (fold == number) & sparse
    for modality in sorted(set(frame["modality"])):
        for structure in SIBLINGS:
            mine = (frame["modality"] == modality) & (frame["structure"] == structure)
            yield "a structure of one modality", mine.to_numpy()


def print_pooling(runs: xr.Dataset, law: str) -> None:
    runs = runs.isel(run=runs["strategy"].to_numpy() == "scratch")
    rows = []
    for what, held in parts(runs, np.random.default_rng(0)):
        for name, (change, prior) in VARIANTS.items():
            changed = change(runs)
            kept, out = (bs.load_runs(changed.isel(run=mask)) for mask in (~held, held))
            found, fit, _ = predictions_of(kept, out, laws.get(law), prob=PROB, seed=0, prior=prior)
            rows.append((what, name, found, fit))
            print(what, name, fit, flush=True)
    print("\n| held out | pooling | runs | coverage | width | CRPS | interval score | bias |")
    print("|---|---|---|---|---|---|---|---|")
    for what in dict.fromkeys(row[0] for row in rows):
        for name in VARIANTS:
            mine = xr.concat([found for w, n, found, _ in rows if (w, n) == (what, name)], "run")
            score = scores_of(mine, PROB)[-1]
            print(
                f"| {what} | {name} | {score.runs} | {score.coverage:.2f} | {score.width:.3f} | {score.crps:.4f} | "
                f"{score.interval_score:.3f} | {score.bias:+.4f} |"
            )


# --- pretrained starts -----------------------------------------------------------------------------------------------


def with_costs(frame: pd.DataFrame) -> pd.DataFrame:
    """Pretrained runs against their kind from scratch: with the same sparse phase, and for as many FLOPs in all."""
    scratch, started = (frame[frame["strategy"] == strategy] for strategy in ("scratch", "pretrained"))
    kind = ["modality", "structure", "level", "nonzero_params"]
    curves = {key: curve_in_data(mine) for key, mine in scratch.groupby(kind) if mine["data_seen"].nunique() >= 3}
    most = scratch.groupby("modality")["data_seen"].max()
    rows = []
    for run in started.itertuples():
        key = tuple(getattr(run, name) for name in kind)
        if key not in curves:
            continue
        longer = run.data_seen * (1 + run.pretrain_flops / run.train_flops)
        same, charged = curves[key](run.data_seen), curves[key](longer)
        found = {"sunk": run.log_loss - same, "charged": run.log_loss - charged}
        found |= {"beyond": max(0.0, np.log(longer / most[run.modality]))}
        rows.append({name: getattr(run, name) for name in ("modality", "structure", "level", "data_seen")} | found)
    return pd.DataFrame(rows)


def curve_in_data(runs: pd.DataFrame) -> Callable[[float], float]:
    """Log loss over data for one kind and size: a parabola in log D."""
    parabola = np.polynomial.Polynomial.fit(np.log(runs["data_seen"]), runs["log_loss"], 2)
    return lambda data: float(parabola(np.log(data)))


def print_pretrained(frame: pd.DataFrame) -> None:
    found = with_costs(frame)
    print(
        "\n| modality | structure | sparse phase | runs | dense phase sunk | dense phase charged | nats beyond in D |"
    )
    print("|---|---|---|---|---|---|---|")
    for (modality, data), mine in found.groupby(["modality", "data_seen"]):
        groups = [
            ("all", mine),
            *((f"{s}, {level:g}", each) for (s, level), each in mine.groupby(["structure", "level"])),
        ]
        for name, each in groups:
            print(
                f"| {modality} | {name} | {data:,.0f} | {len(each)} | {summary(each['sunk'])} | "
                f"{summary(each['charged'])} | {each['beyond'].max():.2f} |"
            )


# --- sizes: dense-equivalent multipliers -----------------------------------------------------------------------------


def print_sizes(posterior: xr.DataTree) -> None:
    """Dense parameters that a non-zero one is worth, and a pattern's over unstructured sparsity's on the same draws."""
    print(
        "\n| modality | strategy | structure | dense equivalent | against unstructured | probability that it is less |"
    )
    print("|---|---|---|---|---|---|")
    found = {level: bs.dense_equivalent(posterior, level) for level in (0.5, 0.75, 0.875)}
    for modality in found[0.5]["modality"].to_numpy():
        for strategy in found[0.5]["strategy"].to_numpy():
            here = {level: m.sel(modality=modality, strategy=strategy) for level, m in found.items()}
            for structure, level in KINDS[1:]:
                mine, other = (here[level].sel(structure=name) for name in (structure, "unstructured"))
                less = "–" if structure == "unstructured" else f"{float((mine < other).mean()):.2f}"
                ratio = "–" if structure == "unstructured" else interval(mine / other)
                print(f"| {modality} | {strategy} | {structure}, {level:g} | {interval(mine)} | {ratio} | {less} |")


def interval(draws: xr.DataArray) -> str:
    lower, median, upper = np.quantile(draws, [(1 - PROB) / 2, 0.5, (1 + PROB) / 2])
    return f"{median:.2f} [{lower:.2f}, {upper:.2f}]"


# --- pictures --------------------------------------------------------------------------------------------------------

KINDS = [("dense", 0.0), *[("unstructured", s) for s in (0.5, 0.75, 0.875)], ("2:4", 0.5), ("1:4", 0.75), ("2:8", 0.75)]
UNITS = {"language": "nats per byte", "vision": "nats per example"}
DATA = {"language": "bytes", "vision": "examples"}


def draw_losses(frame: pd.DataFrame, out: Path) -> None:
    """Held-out loss over size, a column for each amount of data and a row for each modality."""
    scratch = frame[frame["strategy"] == "scratch"]
    modalities = sorted(set(scratch["modality"]))
    amounts = {m: sorted(set(scratch.loc[scratch["modality"] == m, "data_seen"])) for m in modalities}
    columns = max(map(len, amounts.values()))
    figure, axes = plt.subplots(
        len(modalities),
        columns,
        figsize=(3.1 * columns, 3.0 * len(modalities)),
        squeeze=False,
        sharey="row",
        sharex=True,
    )
    for row, modality in zip(axes, modalities, strict=True):
        for axis, data in zip(row, amounts[modality], strict=False):
            here = scratch[(scratch["modality"] == modality) & (scratch["data_seen"] == data)]
            for number, (structure, sparsity) in enumerate(KINDS):
                mine = of_kind(here, structure, sparsity).groupby("nonzero_params")["loss"].mean()
                style = {"linestyle": "--", "marker": "s"} if ":" in structure else {"marker": "o"}
                label = structure if structure == "dense" else f"{structure}, {sparsity:g}"
                axis.plot(mine.index, mine, color=f"C{number}", markersize=3.5, linewidth=1, label=label, **style)
            axis.set(xscale="log", title=f"{data:,.0f} {DATA[modality]}", xlabel="non-zero block weights")
            axis.grid(alpha=0.3)
        row[0].set_ylabel(f"{modality}\nheld-out loss, {UNITS[modality]}", fontsize=9)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(KINDS), fontsize=8)
    figure.savefig(out, dpi=120)
    plt.close(figure)


def draw_pairs(frame: pd.DataFrame, out: Path) -> None:
    """What a pattern costs: paired differences of log loss, their mean and its 89 % interval."""
    scratch = frame[frame["strategy"] == "scratch"]
    modalities = sorted(set(scratch["modality"]))
    figure, axes = plt.subplots(1, len(modalities), figsize=(4.2 * len(modalities), 2.6), sharey=True, squeeze=False)
    for axis, modality in zip(axes[0], modalities, strict=True):
        mine = scratch[scratch["modality"] == modality]
        for place, (structure, (other, sparsity)) in enumerate(SIBLINGS.items()):
            found = pairs(of_kind(mine, structure, sparsity), of_kind(mine, other, sparsity), CELL)["difference"]
            if found.empty:
                continue
            axis.plot(found, place + 0.18 * np.linspace(-1, 1, len(found)), "o", color="0.7", markersize=3)
            axis.errorbar(found.mean(), place, xerr=half_width(found), fmt="o", color=f"C{place}", capsize=4)
        axis.axvline(0, color="0.4", linewidth=0.8)
        axis.set(title=modality, xlabel="log loss less that of unstructured")
        axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
        axis.grid(axis="x", alpha=0.3)
    axes[0][0].set_yticks(range(len(SIBLINGS)), [f"{s} (sparsity {k[1]:g})" for s, k in SIBLINGS.items()])
    figure.savefig(out, dpi=120)
    plt.close(figure)


def draw_sizes(posterior: xr.DataTree, out: Path) -> None:
    """Dense parameters that a non-zero one is worth, by structure: median and 89 % interval."""
    modalities, strategies = (sorted(posterior["posterior"][dim].to_numpy()) for dim in ("modality", "strategy"))
    figure, axes = plt.subplots(1, len(modalities), figsize=(4.4 * len(modalities), 3.6), sharey=True, squeeze=False)
    for axis, modality in zip(axes[0], modalities, strict=True):
        for number, strategy in enumerate(strategies):
            for place, (structure, level) in enumerate(KINDS[1:]):
                found = bs.dense_equivalent(posterior, level, modality, structure, strategy)
                lower, median, upper = np.quantile(found, [(1 - PROB) / 2, 0.5, (1 + PROB) / 2])
                axis.plot([lower, upper], [place + 0.2 * number] * 2, color=f"C{number}", linewidth=2)
                axis.plot(median, place + 0.2 * number, "os"[number], color=f"C{number}", markersize=5,
                          label=strategy if place == 0 else None)  # fmt: skip
        axis.set(title=modality, xscale="log", xlabel="dense parameters per non-zero one")
        axis.xaxis.set_major_locator(mpl.ticker.FixedLocator([1, 1.5, 2, 3, 4, 6, 10]))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_locator(mpl.ticker.NullLocator())
        axis.axvline(1, color="0.4", linewidth=0.8)
        axis.grid(axis="x", alpha=0.3)
    axes[0][0].set_yticks(np.arange(len(KINDS) - 1) + 0.1, [f"{s}, {level:g}" for s, level in KINDS[1:]])
    handles, labels = axes[0][0].get_legend_handles_labels()
    title = f"start; median and {PROB:.0%} interval"
    figure.legend(handles, labels, title=title, fontsize=8, title_fontsize=8, loc="outside lower center", ncols=2)
    figure.savefig(out, dpi=120)
    plt.close(figure)


def draw_pretrained(frame: pd.DataFrame, out: Path) -> None:
    """Pretrained runs less their kind from scratch, the dense phase sunk and charged."""
    found = with_costs(frame)
    modalities = sorted(set(found["modality"]))
    figure, axes = plt.subplots(1, len(modalities), figsize=(4.4 * len(modalities), 3.2), squeeze=False, sharey=True)
    names = {"sunk": "dense phase sunk:\nsame sparse phase", "charged": "dense phase charged:\nas many FLOPs in all"}
    for axis, modality in zip(axes[0], modalities, strict=True):
        mine = found[found["modality"] == modality]
        amounts = sorted(set(mine["data_seen"]))
        for number, (name, label) in enumerate(names.items()):
            for place, data in enumerate(amounts):
                each = mine[mine["data_seen"] == data]
                spread = 0.06 * np.linspace(-1, 1, len(each))
                axis.plot(place + 0.25 * number + spread, each[name], "os"[number], color=f"C{number}", markersize=4,
                          alpha=0.7, label=label if place == 0 else None)  # fmt: skip
        axis.axhline(0, color="0.4", linewidth=0.8)
        axis.set_xticks(np.arange(len(amounts)) + 0.12, [f"{data:,.0f}" for data in amounts])
        axis.set(title=modality, xlabel=f"{DATA[modality]} of the sparse phase", xlim=(-0.3, len(amounts) - 0.4))
        axis.grid(axis="y", alpha=0.3)
    axes[0][0].set_ylabel("log loss less that from scratch\n(below 0: the start pays)", fontsize=9)
    axes[0][-1].legend(fontsize=8)
    figure.savefig(out, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default="structures")
    parser.add_argument("--law", default="sparse")
    parser.add_argument("--out", type=Path, default=Path("structures"))
    parser.add_argument("--parts", default="pairs,sizes,pooling,pretrained,pictures")
    args = parser.parse_args()
    runs = load(args.runs)
    frame = frame_of(runs)
    posterior = bs.fit(runs, law=args.law, seed=0) if {"sizes", "pictures"} & set(args.parts.split(",")) else None
    if posterior is not None:
        print(posterior.attrs["diagnostics"], [note["code"] for note in json.loads(posterior.attrs["notes"])])
    if "pairs" in args.parts:
        print_pairs(frame)
    if "sizes" in args.parts:
        print_sizes(posterior)
    if "pooling" in args.parts:
        print_pooling(runs, args.law)
    if "pretrained" in args.parts:
        print_pretrained(frame)
    if "pictures" in args.parts:
        args.out.mkdir(parents=True, exist_ok=True)
        plt.rcParams["figure.constrained_layout.use"] = True
        draw_losses(frame, args.out / "losses.png")
        draw_pairs(frame, args.out / "patterns.png")
        draw_sizes(posterior, args.out / "sizes.png")
        draw_pretrained(frame, args.out / "pretrained.png")


if __name__ == "__main__":
    main()
