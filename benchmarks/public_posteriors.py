"""Published numbers inside our posterior intervals, or not: a generator of rows for each data set.

Each fits its law once, which takes minutes where the law's code is not compiled yet.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from public_points import BEST_T5, chinchilla_runs, clark_runs, repeated_runs
from public_rows import Row, checked
from pymc_extras.prior import Prior

import bayes_scaling as bs
from bayes_scaling.design import design_of

PINNED = 1e-4
"""Standard deviation, in nats, of what a fit is told to take as known."""


def coefficients(runs: pd.DataFrame | xr.Dataset, law: str, prior: dict[str, Prior] | None = None) -> xr.Dataset:
    posterior = checked(bs.fit(runs, law, seed=0, progressbar=False, prior=prior))
    return posterior["posterior"].to_dataset()


def frantar(folder: Path) -> Iterator[Row]:  # noqa: ARG001 - found by its name
    draws = coefficients(bs.datasets.load("frantar2023"), "sparse")
    law = bs.laws.get("sparse")
    printed = {"vision": ("ViT", "vit-jft", "printed"), "language": ("T5", "t5-c4", "printed")}
    for modality, (name, key, what) in printed.items():
        mine = draws.sel(modality=modality).isel(structure=0)
        for coefficient in ("b_S", "b_N", "b_D", "c"):
            value = law.published[key].coefficients[coefficient]
            yield Row(f"frantar2023 {name}", f"{coefficient}, {what}", value, draws=mine[coefficient])
    mine = draws.sel(modality="language").isel(structure=0)
    for coefficient, value in BEST_T5.items():
        yield Row("frantar2023 T5", f"{coefficient}, lowest minimum", value, draws=mine[coefficient])


def chinchilla(folder: Path) -> Iterator[Row]:
    draws = coefficients(chinchilla_runs(folder), "dense").isel(modality=0)
    refit = bs.laws.get("dense").published["chinchilla-refit"].coefficients
    for name in ("A", "b_N", "a_D", "b_D", "c"):
        yield Row("chinchilla2022", f"`dense`: {name}, refit of 2404.10102", refit[name], draws=draws[name])


def chinchilla_coupled(folder: Path) -> Iterator[Row]:
    draws = coefficients(chinchilla_runs(folder), "dense_coupled").isel(modality=0)
    yield Row("chinchilla2022", "`dense_coupled`: k where terms add up", 1.0, draws=draws["k"])


def chinchilla_kaplan(folder: Path) -> Iterator[Row]:
    draws = coefficients(chinchilla_runs(folder), "kaplan").isel(modality=0)
    for name, value in (("alpha_N", 0.076), ("alpha_D", 0.103)):
        yield Row("chinchilla2022", f"`kaplan`: {name}, printed for other runs", value, draws=draws[name])


def muennighoff(folder: Path) -> Iterator[Row]:
    """All coefficients free; then the constants of the base law held where the authors hold them."""
    runs = repeated_runs(folder)
    at = bs.laws.get("data_constrained").published["c4"].coefficients
    for what, prior in (("all free", None), ("base law held", base_law_held(runs))):
        draws = coefficients(runs, "data_constrained", prior).isel(modality=0)
        for name in ("R_D", "R_N"):
            yield Row("muennighoff2023", f"R*{name[1:]}, {what}", at[name], draws=draws[name])


def base_law_held(runs: pd.DataFrame) -> dict[str, Prior]:
    """Priors that leave the published base law where it is, and only the worth of repetitions to the runs."""
    law = bs.laws.get("data_constrained")
    at = law.published["c4"].coefficients
    design = design_of(bs.load_runs(runs), law)
    size = at["A"] * design.nonzero_params.item() ** -at["b_N"]
    data = (at["a_D"] / design.data_seen.item()) ** at["b_D"]
    loss = size + data + at["c"]
    shares = np.array([size, at["c"], data]) / loss
    known = {"reference_loss": loss, "b_N": at["b_N"], "b_D": at["b_D"]}
    pinned = {name: Prior("LogNormal", mu=float(np.log(v)), sigma=PINNED) for name, v in known.items()}
    return pinned | {"share": Prior("Dirichlet", a=shares / PINNED**2)}


def clark(folder: Path) -> Iterator[Row]:
    """All routers at once, on one dense model."""
    draws = coefficients(clark_runs(folder), "routed").isel(modality=0)
    for router in ("S-Base", "RL-R", "Hash"):
        printed = bs.laws.get("routed").published[router.lower()].coefficients
        mine = draws.sel(structure=router)
        for name in ("b_E", "h", "E_s", "E_m"):
            yield Row("clark2022_routing", f"{name}, {router}, printed", printed[name], draws=mine[name])
    yield Row("clark2022_routing", "b_N, slope of the dense models", 0.0785, draws=draws["b_N"])
