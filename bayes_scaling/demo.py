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

__all__ = ["question", "run_demo"]

SWEEP = "python-stdlib"
BEYOND = 10.0
"""How much more compute the question has than the largest run; its size is the largest one trained."""


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
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out} cannot be made a folder ({error.strerror})") from error
    runs = bs.datasets.load(SWEEP)
    structures = sorted(set(runs["structure"].to_numpy().tolist()) - {"dense"})
    console.print(
        f"{runs.sizes['run']} training runs of small byte-level transformers: "
        f"{_range(runs['nonzero_params'])} non-zero parameters, {_range(runs['data_seen'])} bytes, dense and "
        f"{', '.join(structures)}. Fitting the law of sparse scaling takes a minute or so the first time."
    )
    posterior = bs.fit(runs, law="sparse", seed=seed)
    kept = [bs.save(posterior, out / "posterior.nc"), *_pictures(posterior, question(runs)[0], out)]
    summary = summarise(posterior)
    exponents = {name: row for name, row in summary.items() if name.startswith(("b_N[", "b_D[", "b_S[", "c["))}
    console.print(fit_view(posterior, exponents, PROB))

    size, budget = question(runs)
    console.print(recommendation_view(bs.recommend(posterior, size, budget)))
    console.print(
        f"Asked at the largest size of the sweep and {BEYOND:g} times the FLOPs of its largest run.\n"
        f"Written: {', '.join(map(str, kept))}",
        f"\nAsk another question: bayes-scaling recommend {kept[0]} "
        f"--nonzero-params {size:.0f} --train-flops {budget:.2g}",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )
    return posterior


def question(runs: xr.Dataset) -> tuple[float, float]:
    """Non-zero parameters and training FLOPs to ask for, given the runs."""
    multiplier = bs.costs.get("gradual").multiplier(runs["sparsity"])
    flops = FLOPS_PER_UNIT * runs["nonzero_params"] * runs["data_seen"] * multiplier
    return float(runs["nonzero_params"].max()), BEYOND * float(flops.max())


def _range(values: xr.DataArray) -> str:
    return f"{count(float(values.min()))} to {count(float(values.max()))}"


def _pictures(posterior: xr.DataTree, size: float, out: Path) -> list[Path]:
    import matplotlib as mpl

    mpl.use("Agg")
    figures = {
        "measured.png": bs.plot_measured(posterior),
        "exponents.png": bs.plot_exponents(posterior).viz["figure"].item(),
        "optimal_sparsity.png": bs.plot_optimal_sparsity(posterior, size),
    }
    for name, figure in figures.items():
        figure.savefig(out / name, dpi=130)
    return [out / name for name in figures]
