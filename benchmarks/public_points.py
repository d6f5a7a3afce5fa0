"""Published numbers that point estimates give back: a generator of rows for each data set."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from public_rows import Row, relative
from scipy.optimize import least_squares, minimize
from scipy.special import huber

import bayes_scaling as bs
from bayes_scaling.point_fit import PointFit

__all__ = ["BEST_T5", "chinchilla_runs", "clark_runs", "repeated_runs"]

BEST_T5 = {"b_S": 1.345, "b_N": 0.2317, "b_D": 0.3846, "c": 0.8304}
"""The lowest minimum known of T5's objective, which the printed coefficients are not."""


def number(values: xr.DataArray) -> float:
    return values.item()


def frantar(folder: Path) -> Iterator[Row]:  # noqa: ARG001 - found by its name
    runs = bs.datasets.load("frantar2023")
    law = bs.laws.get("sparse")

    def fitted(modality: str, key: str, on: str) -> tuple[PointFit, float]:
        mine = np.flatnonzero(runs["modality"].to_numpy() == modality)
        point = bs.point_fit(runs.isel(run=mine), on=on)
        return point, number(point.evaluate(law.published[key].coefficients)["objective"])

    vit, at = fitted("vision", "vit-jft", "loss")
    yield relative("frantar2023 ViT", "objective at the printed coefficients", 4.9290879e-4, at, 1e-5)
    yield relative("frantar2023 ViT", "lowest objective", 4.9291e-4, number(vit.objective), 1e-4)
    t5, at = fitted("language", "t5-c4", "log")
    yield relative("frantar2023 T5", "objective at the printed coefficients", 7.6036053e-6, at, 1e-5)
    yield relative("frantar2023 T5", "lowest objective", 4.88012e-6, number(t5.objective), 1e-4)
    for name, best in BEST_T5.items():
        yield Row("frantar2023 T5", f"{name} there", best, number(t5.coefficients[name]), 0.002)


def chinchilla_runs(folder: Path) -> pd.DataFrame:
    """The 240 runs that the refit of arXiv:2404.10102 uses."""
    runs = pd.read_csv(folder / "chinchilla2022" / "runs.csv")
    return runs[~runs["excluded"]].drop(columns="excluded")


def chinchilla(folder: Path) -> Iterator[Row]:
    point = bs.point_fit(chinchilla_runs(folder), law="dense")
    k = {str(name): number(values) for name, values in point.coefficients.data_vars.items()}
    yield relative("chinchilla2022", "lowest objective, 240 runs", 1.018274e-3, 240 * number(point.objective), 1e-4)
    for name, ours, best in (("E", k["c"], 1.8172), ("alpha", k["b_N"], 0.3473), ("beta", k["b_D"], 0.3672)):
        yield Row("chinchilla2022", f"{name} there", best, ours, 0.001)
    for name, ours, printed, error in (
        ("A", k["A"], 482.0, 124.5), ("B", k["a_D"] ** k["b_D"], 2085.0, 1293.0), ("E", k["c"], 1.817, 0.026),
        ("alpha", k["b_N"], 0.348, 0.015), ("beta", k["b_D"], 0.366, 0.021),
    ):  # fmt: skip
        yield Row("chinchilla2022", f"{name}, refit of 2404.10102", printed, ours, error, f"1 SE, {error:g}")


FIVE_POINTS = {
    "C4": (1.508, 141.3, 189.5, 0.1212),
    "RedPajama": (1.837, 212.2, 366.7, 0.1364),
    "RefinedWeb": (1.735, 157.1, 246.2, 0.1272),
}


def gadre(folder: Path) -> Iterator[Row]:
    """L = E + (a M^η + b M^-η) C^-η with C = 6 N D and M = D / N is the law `dense` with one exponent, 2η: then A is
    a 6^-η, and a_D^b_D is b 6^-η.
    """
    law = bs.laws.get("dense")
    runs = pd.read_csv(folder / "gadre2024" / "runs.csv")
    for corpus, printed in FIVE_POINTS.items():
        mine = runs[runs["setting"] == corpus]
        many = (mine["token_multiplier"] == 320) & (mine["total_params"] == mine["total_params"].min())
        five = mine[(mine["token_multiplier"] == 20) | many]
        size, data, loss = (five[name].to_numpy(float) for name in ("total_params", "data_seen", "loss"))

        def coefficients(z: np.ndarray) -> dict[str, float]:
            E, a, b, eta = np.exp(z)
            B = b * 6**-eta
            return {"A": a * 6**-eta, "b_N": 2 * eta, "a_D": B ** (1 / (2 * eta)), "b_D": 2 * eta, "c": E}

        def off(z: np.ndarray, size: np.ndarray = size, data: np.ndarray = data, loss: np.ndarray = loss) -> np.ndarray:
            return law.loss(0.0, size, data, **coefficients(z)) - loss

        starts = [np.log([1.5, 100.0, 100.0, eta]) for eta in (0.08, 0.12, 0.18)]
        best = min((least_squares(off, z, x_scale="jac", xtol=1e-14, ftol=1e-14) for z in starts), key=lambda f: f.cost)
        for name, value, ours in zip(("E", "a", "b", "eta"), printed, np.exp(best.x), strict=True):
            yield relative(f"gadre2024 {corpus}", f"{name}, five points", value, float(ours), 0.01, "1 %")


def repeated_runs(folder: Path) -> pd.DataFrame:
    """The 182 runs on repeated data."""
    return pd.read_csv(folder / "muennighoff2023" / "runs.csv")


def muennighoff(folder: Path) -> Iterator[Row]:
    """The authors hold the constants of a base law, fitted to other runs, and fit how much repetitions are worth."""
    law, runs = bs.laws.get("data_constrained"), repeated_runs(folder)
    at = dict(law.published["c4"].coefficients)
    N, D, U, loss = (runs[name].to_numpy(float) for name in ("nonzero_params", "data_seen", "unique_data", "loss"))

    def predicted(log_worth: np.ndarray) -> np.ndarray:
        R_D, R_N = np.exp(log_worth)
        return law.loss(0.0, N, D, unique_data=U, **at | {"R_D": R_D, "R_N": R_N})

    def objective(log_worth: np.ndarray) -> float:
        return float(huber(1e-3, np.log(predicted(log_worth) / loss)).sum())

    there = np.log([at["R_D"], at["R_N"]])
    r2 = 1 - ((loss - predicted(there)) ** 2).sum() / ((loss - loss.mean()) ** 2).sum()
    yield relative("muennighoff2023", "objective at the printed R*", 0.01582593526, objective(there), 1e-6)
    yield relative("muennighoff2023", "R² there", 0.7722046, float(r2), 1e-6)
    starts = [np.log([a, b]) for a in (3.0, 15.0, 60.0) for b in (2.0, 10.0, 50.0)]
    options = {"xatol": 1e-8, "fatol": 1e-14, "maxiter": 2000}
    best = min((minimize(objective, z, method="Nelder-Mead", options=options) for z in starts), key=lambda f: f.fun)
    yield relative("muennighoff2023", "objective, R* fitted", 0.01582593526, best.fun, 1e-6)
    for name, printed, ours in zip(("R*_D", "R*_N"), np.exp(there), np.exp(best.x), strict=True):
        yield relative("muennighoff2023", f"{name}, base law held", float(printed), float(ours), 0.01, "1 %")


ROUTERS = {"S-Base": 0.00323, "RL-R": 0.00323, "Hash": 0.00298}


def clark_runs(folder: Path) -> pd.DataFrame:
    """The runs of Eq. 1 of arXiv:2202.01169, as the law `routed` takes them, a structure for each router."""
    runs = pd.read_csv(folder / "clark2022_routing" / "final_step_eq1_subset.csv")
    routed = runs["experts"] > 1
    # Parameters that a token meets, of all models.
    return runs.assign(
        sparsity=1 - 1 / runs["experts"],
        structure=runs["router_type"].where(routed, "dense"),
        param_kind="non_embedding",
    )


def clark(folder: Path) -> Iterator[Row]:
    runs = clark_runs(folder)
    for router, rms in ROUTERS.items():
        mine = runs[runs["structure"].isin([router, "dense"])]
        point = bs.point_fit(mine, law="routed", objective="squared")
        ours = (2 * number(point.objective)) ** 0.5 / np.log(10)
        yield relative("clark2022_routing", f"rms of log10 loss, {router}", rms, ours, 0.02, "2 %")
        printed = point.evaluate(bs.laws.get("routed").published[router.lower()].coefficients)
        known = {"S-Base": 0.00369, "RL-R": 0.00774, "Hash": 0.00525}[router]
        ours = (2 * number(printed["objective"])) ** 0.5 / np.log(10)
        yield relative("clark2022_routing", f"rms at the printed coefficients, {router}", known, ours, 0.02, "2 %")
    dense = runs[runs["structure"] == "dense"]
    slope, _ = np.polyfit(np.log(dense["nonzero_params"]), np.log(dense["loss"]), 1)
    yield Row("clark2022_routing", "slope of the dense models", 0.0785, float(-slope), 0.0005)


RECTIFIED = {"flan": (0.00648, 0.00640), "gigaword": (0.00515, 0.00508), "wmt19": (0.01228, 0.01159)}


def lin(folder: Path) -> Iterator[Row]:
    runs = pd.read_csv(folder / "lin2024_finetuning" / "runs.csv")
    runs = runs[runs["data_seen"] > 0].rename(columns={"data_seen": "finetune_data", "model": "group"})
    given = pd.read_csv(folder / "lin2024_finetuning" / "published_rmsd.csv")
    for corpus, (printed, refit) in RECTIFIED.items():
        mine = runs.loc[runs["setting"] == corpus, ["group", "finetune_data", "loss"]]
        ours = bs.rectified.point_fit(mine)["rmsd"]
        mean = given.loc[given["setting"] == corpus, "rmsd_log_rectified"].mean()
        yield relative(
            "lin2024_finetuning", f"mean RMSD as published, {corpus}", printed, float(mean), 0.001, "rounding"
        )
        yield relative("lin2024_finetuning", f"mean RMSD refitted, {corpus}", refit, float(ours.mean()), 0.02, "2 %")


FORECASTS = {"M1": 0.10459, "M2": 0.08226, "M3": 0.06151, "M4": 0.04152}


def alabdulmohsin(folder: Path) -> Iterator[Row]:  # noqa: ARG001 - found by its name
    from learning_curves import curves, point_scores
    from published_curves import ESTIMATES

    training, later = curves()
    for name, published in FORECASTS.items():
        ours = point_scores(ESTIMATES[name], training, later)["log_rmse"].mean()
        yield Row("alabdulmohsin2022_vision", f"mean held-out log-RMSE, {name}", published, float(ours), 1e-4)


def gale(folder: Path) -> Iterator[Row]:
    runs = pd.read_csv(folder / "gale2019_sparsity" / "tidy.csv", low_memory=False)
    resnet = runs[runs["model"] == "resnet50_imagenet"]
    dense = resnet.loc[resnet["method"] == "dense", "value"].mean()
    yield Row("gale2019_sparsity", "mean top-1 of dense ResNet-50", 0.76687, float(dense), 1e-5)
    again = resnet[resnet["method"] == "scratch_fixed_mask"]
    same = [name for name in again.columns if name not in ("run_id", "replicate", "value")]
    cells = again.groupby(same, dropna=False)["value"]
    pooled = (((cells.count() - 1) * cells.var()).sum() / (cells.count() - 1).sum()) ** 0.5
    yield Row("gale2019_sparsity", f"sd of replicates, pooled over {cells.ngroups} cells", 0.00164, float(pooled), 1e-5)


REPEATED = {0.5: 1.62, 0.75: 1.98, 0.875: 2.17, 0.9375: 2.24}


def wu(folder: Path) -> Iterator[Row]:  # noqa: ARG001 - numbers that the printed coefficients imply
    law = bs.laws.get("sparse_repeated")
    at = law.published["c4"].coefficients
    for sparsity, times in REPEATED.items():
        ours = float(law.dense_equivalent(sparsity, **at))
        yield Row("2606.01155", f"dense equivalent at sparsity {sparsity:g}", times, ours, 0.005, "rounding")
    density = np.geomspace(1e-3, 0.5, 100_000)
    best = density[np.argmax(law.dense_equivalent(1 - density, **at))]
    yield Row("2606.01155", "density at which it is largest", 0.043, float(best), 0.0005, "rounding")
