"""How well intervals hold at scales that were held out of public sweeps, and how the default was chosen by it.

    python benchmarks/held_out_scales.py --data FOLDER --store FOLDER [--unused]

``--data`` is a folder with one sub-folder per public sweep, each with a ``runs.csv``. Predictions of every refit are
kept in ``--store``, so that an interrupted run goes on and scoring costs seconds. Without ``--unused``, the two sweeps
that had no part in any choice stay unread.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats
from scipy.special import logsumexp

import bayes_scaling as bs
from bayes_scaling.decide import costs
from bayes_scaling.discrepancy import SCALE, add_discrepancy, at_runs
from bayes_scaling.intervals import PROB
from bayes_scaling.laws import get
from bayes_scaling.noise import NOISE_DF
from bayes_scaling.predict import expected_loss, noise_scale
from bayes_scaling.refit import refit

COLUMNS = [
    "run_id", "modality", "structure", "strategy", "sparsity", "nonzero_params", "data_seen", "data_unit", "loss",
]  # fmt: skip
LAWS = ("sparse", "coupled")
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
SCALES = (0.0, 0.003, 0.005, 0.008, 0.012, 0.016)
FEWEST_LEVELS = 3
"""A modality that is left with fewer levels of size or data than this is flagged, and reported apart."""


def families(data: Path, unused: bool) -> Iterator[tuple[str, pd.DataFrame]]:
    """Public sweeps with an axis of size and one of data, losses of one kind within a modality."""

    def read(name: str) -> pd.DataFrame:
        table = pd.read_csv(data / name / "runs.csv")
        return table.astype({"nonzero_params": float, "data_seen": float})

    if unused:
        # One pass over the data; the others repeat it, which no law here describes.
        repeated = read("muennighoff2023")
        yield "muennighoff2023", repeated[repeated.data_seen <= 1.01 * repeated.unique_data]
        tuned = read("lin2024_finetuning")
        series = tuned.family.isin(["Cerebras", "OPT"]) | tuned.model.isin(
            ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"]
        )
        tuned = tuned[series & (tuned.data_seen > 0)]
        yield "lin2024_finetuning", tuned.assign(strategy="scratch", modality=tuned.setting + ", " + tuned.family)
        return
    yield "frantar2023", read("frantar2023")
    digitised = read("chinchilla2022")
    yield "chinchilla2022", digitised[~digitised.excluded]
    corpora = read("gadre2024")
    yield "gadre2024", corpora.assign(modality=corpora.setting, nonzero_params=corpora.total_params.astype(float))


def splits(table: pd.DataFrame, folds: int) -> Iterator[tuple[str, np.ndarray]]:
    """Names of splits and which runs they hold out: the largest scales of each modality, and random fifths."""
    multiplier = costs.get("gradual").multiplier(table.sparsity)
    axes = {
        "N": table.nonzero_params,
        "D": table.data_seen,
        "S": table.sparsity,
        "C": table.nonzero_params * table.data_seen * multiplier,
    }
    for axis, values in axes.items():
        by_modality = values.groupby(table.modality)
        levels = by_modality.nunique()
        if axis == "S" and (levels < FEWEST_LEVELS).any():
            continue
        if axis != "C" and (levels <= 8).all():
            yield f"largest {axis}", (values == by_modality.transform("max")).to_numpy()
        else:
            yield f"top fifth in {axis}", (values > by_modality.transform(lambda v: v.quantile(0.8))).to_numpy()
        if axis == "N" and (levels <= 8).all():
            second = by_modality.transform(lambda v: np.unique(v)[-2])
            yield "two largest N", (values >= second).to_numpy()
    fold = np.random.default_rng(0).permutation(len(table)) % 5
    for i in range(folds):
        yield f"random {i}", fold == i


@dataclass(frozen=True)
class Split:
    """Predictions of the held-out runs of one split: log losses over (draw, run), and nats beyond over (axis, run)."""

    family: str
    name: str
    observed: np.ndarray
    modality: np.ndarray
    beyond: np.ndarray
    flagged: np.ndarray
    mean: dict[str, np.ndarray]
    sigma: dict[str, np.ndarray]
    bootstrap: np.ndarray

    @property
    def inside(self) -> bool:
        """Whether the held-out runs are a random fold, inside the range of the others."""
        return self.name.startswith("random")


def predictions(family: str, table: pd.DataFrame, name: str, held: np.ndarray, store: Path) -> Split:
    """Refit without the held-out runs, and predict them; or read what an earlier run stored."""
    path = store / f"{family} {name}.npz"
    if not path.exists():
        began = time.perf_counter()
        kept, out = (bs.load_runs(table[COLUMNS][rows].reset_index(drop=True)) for rows in (~held, held))
        arrays: dict[str, np.ndarray] = {}
        for law in LAWS:
            posterior = refit(kept, get(law), discrepancy=False)
            mean = np.log(expected_loss(posterior, out)).stack(sample=("chain", "draw")).transpose("sample", "run")
            sigma = noise_scale(posterior, out).stack(sample=("chain", "draw")).transpose("sample", "run")
            arrays |= {f"mean {law}": mean.to_numpy(), f"sigma {law}": sigma.to_numpy()}
            method = posterior.attrs["diagnostics"]
        point = bs.point_fit(kept, law="sparse")
        arrays["bootstrap"] = np.log(
            point.predict(out, point.bootstrap(200), kind="new-run").transpose("draw", "run").to_numpy()
        )
        arrays |= {
            "observed": np.log(out["loss"].to_numpy()),
            "modality": out["modality"].to_numpy().astype(str),
            "beyond": distances(posterior, out),
            "flagged": flagged(kept, out),
        }
        part = path.with_suffix(".part.npz")
        np.savez(part, **arrays)
        part.replace(path)
        print(f"{family}, {name}: {held.sum()} of {len(table)} held out, {time.perf_counter() - began:.0f} s, {method}",
              file=sys.stderr, flush=True)  # fmt: skip
    stored = dict(np.load(path))
    return Split(
        family,
        name,
        *(stored[key] for key in ("observed", "modality", "beyond", "flagged")),
        {law: stored[f"mean {law}"] for law in LAWS},
        {law: stored[f"sigma {law}"] for law in LAWS},
        stored["bootstrap"],
    )


def distances(posterior: xr.DataTree, out: xr.Dataset) -> np.ndarray:
    """Nats beyond the runs that were kept, as the discrepancy counts them, shape (axis and side, run)."""
    posterior = posterior.copy()
    columns = {n: out[n].to_numpy() for n in ("modality", "structure", "nonzero_params", "data_seen", "sparsity")}
    add_discrepancy(posterior, 1.0, np.random.default_rng(0))
    slope = posterior["discrepancy"].to_dataset()["slope"]
    rows = []
    for axis in range(slope.sizes["axis"]):
        for side in range(slope.sizes["side"]):
            only = xr.zeros_like(slope)
            only[{"axis": axis, "side": side}] = 1.0
            posterior["discrepancy"] = xr.DataTree(xr.Dataset({"slope": only}))
            rows.append(np.asarray(at_runs(posterior, columns).isel(chain=0, draw=0)))
    return np.array(rows)


def flagged(kept: xr.Dataset, out: xr.Dataset) -> np.ndarray:
    """Held-out runs of modalities whose remaining runs have too few levels of size or data."""
    frame = kept[["modality", "nonzero_params", "data_seen"]].to_dataframe()
    levels = frame.groupby("modality")[["nonzero_params", "data_seen"]].nunique().min(axis=1)
    return np.array([levels.get(m, 0) < FEWEST_LEVELS for m in out["modality"].to_numpy()])


def parts(split: Split, laws: dict[str, float], scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Draws of mean log loss and of the noise's scale under a mixture of laws, shape (draw, run)."""
    rng = np.random.default_rng(1)
    picked = {law: rng.permutation(len(split.mean[law]))[: round(w * len(split.mean[law]))] for law, w in laws.items()}
    mean = np.vstack([split.mean[law][rows] for law, rows in picked.items()])
    sigma = np.vstack([split.sigma[law][rows] for law, rows in picked.items()])
    missed = np.zeros_like(mean)
    for modality in np.unique(split.modality):
        mine = split.modality == modality
        slope = scale * rng.standard_normal((len(mean), len(split.beyond)))
        missed[:, mine] = slope @ split.beyond[:, mine]
    return mean + missed, sigma


def mixture(split: Split, laws: dict[str, float], scale: float) -> np.ndarray:
    """Draws of the held-out runs under a mixture of laws and a discrepancy of a scale, shape (draw, run)."""
    mean, sigma = parts(split, laws, scale)
    return mean + sigma * np.random.default_rng(2).standard_t(NOISE_DF, mean.shape)


def scores(split: Split, draws: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Per held-out run: inside the interval or not, CRPS, interval score, width."""
    observed, draws = split.observed[rows], np.sort(draws[:, rows], axis=0)
    lower, upper = np.quantile(draws, [(1 - PROB) / 2, (1 + PROB) / 2], axis=0)
    count = len(draws)
    rank = np.arange(1, count + 1)[:, None]
    spread = ((2 * rank - count - 1) * draws).sum(axis=0) / (count * (count - 1))
    missed = np.maximum(lower - observed, 0) + np.maximum(observed - upper, 0)
    return {
        "hit": (observed >= lower) & (observed <= upper),
        "crps": np.abs(draws - observed).mean(axis=0) - spread,
        "score": upper - lower + 2 / (1 - PROB) * missed,
        "width": upper - lower,
    }


def compared(all_splits: list[Split], draw: "dict[str, object]") -> pd.DataFrame:
    """One row a model: pooled coverage with a bootstrap over families, and scores relative to the plain posterior."""
    plain = {id(s): scores(s, mixture(s, {"sparse": 1.0}, 0.0), ~s.flagged) for s in all_splits}
    table = []
    for name, of in draw.items():
        each = {id(s): scores(s, of(s), ~s.flagged) for s in all_splits}  # type: ignore[operator]
        row: dict[str, object] = {"model": name}
        for where, chosen in (
            ("held-out scales", [s for s in all_splits if not s.inside and (~s.flagged).any()]),
            ("random folds", [s for s in all_splits if s.inside]),
        ):
            hits = np.concatenate([each[id(s)]["hit"] for s in chosen])
            row[f"coverage, {where}"] = hits.mean()
            if where == "held-out scales":
                names = sorted({s.family for s in chosen})
                by_family = [np.concatenate([each[id(s)]["hit"] for s in chosen if s.family == n]) for n in names]
                rng = np.random.default_rng(3)
                again = [np.concatenate([by_family[i] for i in rng.integers(len(names), size=len(names))]).mean()
                         for _ in range(2000)]  # fmt: skip
                row["over families"] = "{:.2f} to {:.2f}".format(*np.quantile(again, [0.055, 0.945]))
            for score in ("crps", "score", "width"):
                ratio = [np.log(each[id(s)][score].mean() / plain[id(s)][score].mean()) for s in chosen]
                row[f"{score}, {where}"] = np.exp(np.mean(ratio))
        table.append(row)
    return pd.DataFrame(table)


def log_score(split: Split, laws: dict[str, float], scale: float) -> float:
    """Mean log density of the held-out runs under a mixture."""
    mean, sigma = parts(split, laws, scale)
    density = stats.t.logpdf(split.observed, NOISE_DF, mean, sigma)
    return float((logsumexp(density, axis=0) - np.log(len(mean)))[~split.flagged].mean())


def choices(others: list[Split]) -> dict[str, tuple[float, float]]:
    """The weight of ``coupled`` and the discrepancy's scale that a rule picks by log score, each family counting alike.

    ``best`` has the highest. ``cautious`` is the largest scale within one standard error of it, with splits as what
    varies: a scale that nobody's runs speak against costs a little width, one that is too small costs trust.
    """
    candidates = [(w, scale) for w in WEIGHTS for scale in SCALES]
    useful = [s for s in others if not s.inside and (~s.flagged).any()]
    families = sorted({s.family for s in useful})
    each = np.array([[log_score(s, weights(w), scale) for s in useful] for w, scale in candidates])
    members = [np.array([s.family == family for s in useful]) for family in families]
    mean = np.mean([each[:, mine].mean(axis=1) for mine in members], axis=0)
    behind = each[mean.argmax()] - each
    spread = [behind[:, mine].var(axis=1, ddof=1) / mine.sum() for mine in members]
    near = mean.max() - mean <= np.sqrt(np.sum(spread, axis=0)) / len(families)
    cautious = max(np.flatnonzero(near), key=lambda i: (candidates[i][1], mean[i]))
    return {"best": candidates[mean.argmax()], "cautious": candidates[cautious]}


def weights(coupled: float) -> dict[str, float]:
    return {"sparse": 1 - coupled, "coupled": coupled}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--unused", action="store_true", help="read the sweeps that no choice was made on")
    arguments = parser.parse_args()
    arguments.store.mkdir(parents=True, exist_ok=True)
    every = [
        predictions(family, table, name, held, arguments.store)
        for family, table in families(arguments.data, arguments.unused)
        # A refit of the nine groups of fine-tuning runs takes minutes.
        for name, held in splits(table, folds=0 if family == "lin2024_finetuning" else 5)
    ]
    default = dict(get("sparse+coupled").parts)
    models = {"bootstrap of the point fit": lambda s: s.bootstrap}
    for coupled in WEIGHTS:
        for scale in SCALES:
            name = f"{coupled:.0%} coupled, discrepancy {scale:g}"
            models[name] = lambda s, w=coupled, scale=scale: mixture(s, weights(w), scale)
    if not arguments.unused:
        without = {f: choices([s for s in every if s.family != f]) for f in sorted({s.family for s in every})}
        print(f"Share of coupled and scale chosen without each family: {without}; with all: {choices(every)}")
        for rule in ("best", "cautious"):
            models[f"{rule}, chosen without the family"] = lambda s, rule=rule: mixture(
                s, weights(without[s.family][rule][0]), without[s.family][rule][1]
            )
    pd.set_option("display.width", 250, "display.max_columns", 20, "display.max_colwidth", 60)
    print(compared(every, models).round(3).to_string(index=False))
    print("\nBy split: coverage of the plain posterior, and of the default")
    for s in every:
        for rows, note in ((~s.flagged, ""), (s.flagged, " (flagged)")):
            if rows.any() and not s.inside:
                plain = scores(s, mixture(s, {"sparse": 1.0}, 0.0), rows)
                best = scores(s, mixture(s, default, SCALE), rows)
                print(
                    f"{s.family:20s} {s.name:20s} {rows.sum():4d} runs  plain {plain['hit'].mean():.2f}  default "
                    f"{best['hit'].mean():.2f}  width x{best['width'].mean() / plain['width'].mean():.2f}{note}"
                )


if __name__ == "__main__":
    main()
