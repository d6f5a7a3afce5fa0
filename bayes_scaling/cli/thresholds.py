"""The command that turns the question round: from which budget on a sparsity is optimal."""

from typing import Annotated, Any

import numpy as np
import typer
import xarray as xr
from rich.console import Console
from rich.table import Table

import bayes_scaling as bs
from bayes_scaling.cli.app import Json, Posterior, Prob, command, print_json, trust
from bayes_scaling.cli.planning import CostName, FlopsPerUnit, Modalities, Structures
from bayes_scaling.intervals import PROB, check_prob
from bayes_scaling.notes import read_notes
from bayes_scaling.structures import pattern_sparsity


@command("bayes-scaling budget posterior.nc --nonzero-params 1e8 --sparsity 0.5 --sparsity 0.75")
def budget(
    posterior: Posterior,
    nonzero_params: Annotated[float, typer.Option(help="Non-zero parameters at the end of training.")],
    sparsity: Annotated[
        list[float], typer.Option(help="Fraction of zeros; 0 asks from which budget any sparsity pays. Repeatable.")
    ],
    modality: Modalities = None,
    structure: Structures = None,
    cost: CostName = "gradual",
    flops_per_unit: FlopsPerUnit = None,
    prob: Prob = PROB,
    json_: Json = False,
) -> int:
    """Find the training budget from which a sparsity is optimal, in FLOPs and in dense compute-optimal budgets."""
    from bayes_scaling.display import notes_view

    check_prob(prob)
    tree = bs.load(posterior)
    asked: dict[str, Any] = {"cost": cost, "flops_per_unit": flops_per_unit}
    flops, times = (
        bs.budget_for(tree, nonzero_params, sparsity, modality or None, structure or None, relative=relative, **asked)
        for relative in (False, True)
    )
    answers = [
        {"modality": str(m), "structure": str(s), "sparsity": float(level)}
        | {
            name: _interval(values.sel(modality=m, structure=s, sparsity=level), prob)
            for name, values in (("train_flops", flops), ("times_dense_optimal", times))
        }
        | {"probability_never": float(np.isinf(flops.sel(modality=m, structure=s, sparsity=level)).mean())}
        for m in flops["modality"].to_numpy()
        for s in flops["structure"].to_numpy()
        for level in flops["sparsity"].to_numpy()
    ]
    notes = read_notes(flops.attrs)
    if json_:
        about = {"prob": prob, "nonzero_params": nonzero_params, "cost": cost}
        print_json(about | {"answers": answers, "notes": [note.to_dict() for note in notes]})
    else:
        Console().print(_view(answers, nonzero_params, prob), notes_view(notes))
    return trust(tree)


def _interval(draws: xr.DataArray, prob: float) -> dict[str, float | None]:
    """Median and interval; None where the sparsity is optimal at no budget, which no mean of neighbours may hide."""
    tail = (1 - prob) / 2
    found = np.quantile(draws.to_numpy(), [0.5, tail, 1 - tail], method="nearest").tolist()
    return {n: v if np.isfinite(v) else None for n, v in zip(("median", "lower", "upper"), found, strict=True)}


def _view(answers: list[dict[str, Any]], nonzero_params: float, prob: float) -> Table:
    from bayes_scaling.display import count

    title = f"Budgets from which a sparsity is optimal, {count(nonzero_params)} non-zero parameters"
    caption = f"Medians and {prob:.0%} credible intervals."
    if any(pattern_sparsity(each["structure"]) is not None for each in answers):
        caption += " An n:m pattern has one sparsity: up to that, from where the pattern beats dense; beyond it, never."
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    for name in ("modality", "structure", "sparsity", "training FLOPs", "× dense-optimal", "never"):
        table.add_column(name, justify="left" if name in ("modality", "structure") else "right")
    for each in answers:
        table.add_row(
            each["modality"],
            each["structure"],
            f"{each['sparsity']:g}",
            *(_shown(each[name]) for name in ("train_flops", "times_dense_optimal")),
            f"{each['probability_never']:.1%}",
        )
    return table


def _shown(values: dict[str, float | None]) -> str:
    median, lower, upper = ("never" if v is None else f"{v:.3g}" for v in values.values())
    return f"{median} [{lower}, {upper}]"
