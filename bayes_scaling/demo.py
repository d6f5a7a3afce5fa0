"""The shipped sweep, all the way from runs to a recommendation."""

from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

import bayes_scaling as bs
from bayes_scaling.decide.question import FLOPS_PER_UNIT
from bayes_scaling.display import count, fit_view, recommendation_view
from bayes_scaling.errors import InputError
from bayes_scaling.intervals import PROB
from bayes_scaling.summary import summarise

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["run_demo"]

SWEEP = "python-stdlib"
BEYOND = 10.0
"""How much larger than the largest run the question is, in size and in training FLOPs."""


def run_demo(out: Path, *, seed: int, console: "Console") -> xr.DataTree:
    """Fit the shipped sweep, draw three pictures, and print a recommendation.

    Parameters
    ----------
    out : Path
        Folder for ``posterior.nc`` and the pictures; made if it does not exist.
    seed : int
        Seed of all random numbers.
    console : rich.console.Console
        Where the text goes.

    Returns
    -------
    DataTree
        The posterior.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; it names a folder for the posterior and the pictures")
    runs = bs.datasets.load(SWEEP)
    structures = sorted(set(runs["structure"].to_numpy().tolist()) - {"dense"})
    console.print(
        f"{runs.sizes['run']} training runs of small byte-level transformers: "
        f"{_range(runs['nonzero_params'])} non-zero parameters, {_range(runs['data_seen'])} bytes, dense and "
        f"{', '.join(structures)}. Fitting the law of sparse scaling takes a minute or so the first time."
    )
    posterior = bs.fit(runs, law="sparse", seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    kept = [bs.save(posterior, out / "posterior.nc"), *_pictures(posterior, out)]
    summary = summarise(posterior)
    exponents = {name: row for name, row in summary.items() if name.startswith(("b_N[", "b_D[", "b_S[", "c["))}
    console.print(fit_view(posterior, exponents, PROB))

    size = BEYOND * float(runs["nonzero_params"].max())
    budget = BEYOND * float(_flops(runs).max())
    console.print(recommendation_view(bs.recommend(posterior, size, budget)))
    console.print(
        f"Asked {BEYOND:g} times beyond the largest run in size and in FLOPs. Written: {', '.join(map(str, kept))}",
        f"\nAsk another question: bayes-scaling recommend {kept[0]} "
        f"--nonzero-params {size:.0f} --train-flops {budget:.2g}",
        soft_wrap=True,
    )
    return posterior


def _range(values: xr.DataArray) -> str:
    return f"{count(float(values.min()))} to {count(float(values.max()))}"


def _flops(runs: xr.Dataset) -> xr.DataArray:
    multiplier = bs.costs.get("gradual").multiplier(runs["sparsity"])
    return FLOPS_PER_UNIT * runs["nonzero_params"] * runs["data_seen"] * multiplier


def _pictures(posterior: xr.DataTree, out: Path) -> list[Path]:
    import matplotlib as mpl

    mpl.use("Agg")
    figures = {
        "measured.png": bs.plot_measured(posterior),
        "exponents.png": bs.plot_exponents(posterior).viz["figure"].item(),
        "optimal_sparsity.png": bs.plot_optimal_sparsity(
            posterior, BEYOND * float(posterior["constant_data"]["nonzero_params"].max())
        ),
    }
    for name, figure in figures.items():
        figure.savefig(out / name, dpi=130)
    return [out / name for name in figures]
