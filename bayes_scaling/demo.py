"""The shipped sweep, all the way from runs to a recommendation."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

import bayes_scaling as bs
from bayes_scaling.decide.question import FLOPS_PER_UNIT, recorded_per_unit
from bayes_scaling.decide.recommend import Recommendation
from bayes_scaling.display import chance, count, fit_view, recommendation_view
from bayes_scaling.errors import InputError
from bayes_scaling.summary import summary

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Asked", "questions", "run_demo"]

SWEEP = "structures"
BEYOND = 10.0
"""How much more compute the question has than the largest run; its size is the largest one trained."""


@dataclass(frozen=True)
class Asked:
    """What the demo asks of one modality.

    Attributes
    ----------
    modality : str
    nonzero_params : float
        The largest size of its runs.
    train_flops : float
        `BEYOND` times the FLOPs of its largest run.
    flops_per_unit : float
        FLOPs per non-zero parameter and token or example, as the runs counted them.
    """

    modality: str
    nonzero_params: float
    train_flops: float
    flops_per_unit: float


def run_demo(out: Path, *, seed: int, console: "Console") -> xr.DataTree:
    """Fit the shipped sweep, draw its pictures, and print a recommendation for each modality.

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
    sweep = bs.datasets.load(SWEEP)
    runs = sweep.isel(run=sweep["strategy"].to_numpy() == "scratch")
    structures = sorted(set(runs["structure"].to_numpy().tolist()) - {"dense"})
    asked = questions(runs)
    console.print(
        f"{runs.sizes['run']} training runs of small transformers ({', '.join(each.modality for each in asked)}): "
        f"{_range(runs['nonzero_params'])} non-zero parameters, from scratch, dense and {', '.join(structures)}. "
        "Fitting the law of sparse scaling takes a minute or so the first time."
    )
    posterior = bs.fit(runs, law="sparse", seed=seed)
    kept = [bs.save(posterior, out / "posterior.nc"), *_pictures(posterior, asked, out)]
    found = summary(posterior)
    some = {name: row for name, row in found.quantities.items() if name.startswith(("b_N[", "b_D[", "c["))}
    console.print(fit_view(replace(found, quantities=some)))

    for each in asked:
        answer = bs.recommend(
            posterior, each.nonzero_params, each.train_flops, each.modality, flops_per_unit=each.flops_per_unit
        )
        console.print(recommendation_view(answer))
        console.print(_in_short(answer), style="bold", markup=False, highlight=False)
    last = asked[-1]
    console.print(
        f"\nAsked at the largest size of the sweep and {BEYOND:g} times the FLOPs of its largest run.\n"
        f"Written: {', '.join(map(str, kept))}",
        f"\nAsk another question: bayes-scaling recommend {kept[0]} --nonzero-params {last.nonzero_params:.0f} "
        f"--train-flops {last.train_flops:.2g} --modality {last.modality} --flops-per-unit {last.flops_per_unit:g}",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )
    return posterior


def questions(runs: xr.Dataset) -> list[Asked]:
    """What to ask, given the runs: one question a modality, those counted in tokens last."""
    table = runs.reset_coords().to_dataframe()
    counted = FLOPS_PER_UNIT * table["nonzero_params"] * table["data_seen"]
    flops = (
        table["train_flops"]
        if "train_flops" in table
        else counted * bs.costs.get("gradual").multiplier(table["sparsity"])
    )
    asked = []
    for modality, mine in table.groupby("modality"):
        per_unit = recorded_per_unit(runs, str(modality)) or FLOPS_PER_UNIT
        largest = float(mine["nonzero_params"].max())
        asked.append(Asked(str(modality), largest, BEYOND * float(flops[mine.index].max()), per_unit))
    return sorted(asked, key=lambda each: each.flops_per_unit, reverse=True)


def _in_short(answer: Recommendation) -> str:
    """The recommendation in a sentence."""
    modality = answer.answers[0].modality
    best = answer.comparisons[0]["best"] if answer.comparisons else answer.answers[0].structure
    chosen = next((each for each in answer.answers if each.structure == best), None)
    if chosen is None or not chosen.recommended["sparsity"]:
        return f"{modality}: train dense."
    sparsity, beats = chosen.recommended["sparsity"], chance(chosen.probability_sparse_beats_dense)
    return f"{modality}: train {best} at sparsity {sparsity:.2f}; the chance that it beats dense is {beats}."


def _range(values: xr.DataArray) -> str:
    return f"{count(float(values.min()))} to {count(float(values.max()))}"


def _pictures(posterior: xr.DataTree, asked: list[Asked], out: Path) -> list[Path]:
    import matplotlib as mpl

    mpl.use("Agg")
    figures = {
        "measured.png": bs.plot_measured(posterior),
        "exponents.png": bs.plot_exponents(posterior).viz["figure"].item(),
    }
    for each in asked:
        figures[f"optimal_sparsity_{each.modality}.png"] = bs.plot_optimal_sparsity(
            posterior, each.nonzero_params, modality=each.modality, flops_per_unit=each.flops_per_unit
        )
    for name, figure in figures.items():
        figure.savefig(out / name, dpi=130)
    return [out / name for name in figures]
