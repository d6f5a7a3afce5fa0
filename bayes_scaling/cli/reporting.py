"""The command that writes the page."""

from pathlib import Path
from typing import Annotated

import typer

import bayes_scaling as bs
from bayes_scaling.cli.app import Margin, Posterior, Prob, command, trust, writable
from bayes_scaling.cli.planning import CostName, FlopsPerUnit
from bayes_scaling.intervals import PROB


@command("bayes-scaling report posterior.nc --out report.html")
def report(
    posterior: Posterior,
    out: Annotated[Path, typer.Option(help="Where to write the page (HTML).")],
    nonzero_params: Annotated[
        float | None, typer.Option(help="Non-zero parameters that it opens with; the largest trained unless said.")
    ] = None,
    train_flops: Annotated[
        float | None, typer.Option(help="Budget that it opens with, in FLOPs; that of the largest run unless said.")
    ] = None,
    modality: Annotated[str | None, typer.Option(help="Which it opens with; the first unless said.")] = None,
    structure: Annotated[str | None, typer.Option(help="Which it opens with; the best one unless said.")] = None,
    cost: CostName = "gradual",
    flops_per_unit: FlopsPerUnit = None,
    margin: Margin = 0.0,
    prob: Prob = PROB,
) -> int:
    """Write one self-contained page: what to train, how sure, why, and what would change the advice."""
    writable(out)
    tree = bs.load(posterior)
    written = bs.report(
        tree,
        out,
        nonzero_params=nonzero_params,
        train_flops=train_flops,
        modality=modality,
        structure=structure,
        cost=cost,
        flops_per_unit=flops_per_unit,
        margin=margin,
        prob=prob,
    )
    print(f"Report written to {written}: open it in a browser, or send it; it needs no network.")
    return trust(tree)
