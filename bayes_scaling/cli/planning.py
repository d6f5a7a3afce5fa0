"""Commands that plan: how to spend a budget, what reaches a loss, where which sparsity is best, what to run next."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import bayes_scaling as bs
from bayes_scaling.cli.app import (
    Json,
    Margin,
    Posterior,
    Prob,
    Rename,
    command,
    print_json,
    renames,
    say,
    suggest,
    trust,
    writable,
)
from bayes_scaling.errors import InputError
from bayes_scaling.intervals import PROB
from bayes_scaling.notes import read_notes

Budget = Annotated[float, typer.Option("--train-flops", help="Training budget in FLOPs.")]
Modality = Annotated[str | None, typer.Option(help="Which; the only one unless said.")]
Modalities = Annotated[list[str] | None, typer.Option("--modality", help="Which; all unless said. May be repeated.")]
Structures = Annotated[
    list[str] | None, typer.Option("--structure", help="unstructured, 2:4, …; all unless said. May be repeated.")
]
CostName = Annotated[str, typer.Option("--cost", help=f"One of: {', '.join(bs.costs.names())}.")]
FlopsPerUnit = Annotated[
    float | None, typer.Option(help="FLOPs per non-zero parameter and token or example; 6 unless said.")
]
ServeTokens = Annotated[float, typer.Option(help="Tokens or examples served over the model's life, paid for as well.")]
MaxSparsity = Annotated[
    float | None, typer.Option(help="Largest sparsity allowed; the largest one trained unless said.")
]
Sizes = Annotated[
    tuple[float, float] | None,
    typer.Option(metavar="LOW HIGH", help="Fewest and most non-zero parameters to look at."),
]

STORE = "runs/next"
"""Where suggestions put runs that are to be trained."""

PICTURES = (".png", ".pdf", ".svg")

TARGETS: dict[str, tuple[type[bs.targets.Target], tuple[str, ...]]] = {
    target.kind: (target, needed)
    for target, needed in (
        (bs.targets.OptimalSparsity, ("nonzero_params", "train_flops")),
        (bs.targets.Loss, ("nonzero_params", "data_seen")),
        (bs.targets.Coefficient, ("name",)),
        (bs.targets.Regret, ("nonzero_params", "train_flops")),
    )
}
"""Targets by name, and the options that they cannot do without."""


@command("bayes-scaling next posterior.nc candidates.csv --budget-flops 1e18 --out next.csv")
def next(  # noqa: A001 - the command's name
    posterior: Posterior,
    candidates: Annotated[
        str, typer.Argument(metavar="CANDIDATES", help="A table of runs that could be trained; it needs no loss.")
    ],
    budget_flops: Annotated[float, typer.Option(help="What all runs together may cost, in FLOPs.")],
    target: Annotated[
        str | None,
        typer.Option(
            help=f"What they are to tell: {', '.join(TARGETS)}. Unless said, optimal sparsity at the largest size "
            "trained and ten times the compute of the largest run."
        ),
    ] = None,
    nonzero_params: Annotated[float | None, typer.Option(help="Size that the target is about.")] = None,
    train_flops: Annotated[float | None, typer.Option(help="Budget that optimal sparsity or regret is about.")] = None,
    data_seen: Annotated[float | None, typer.Option(help="Data of the run whose loss is the target.")] = None,
    sparsity: Annotated[float | None, typer.Option(help="Sparsity of that run; dense unless said.")] = None,
    name: Annotated[str | None, typer.Option(help="Coefficient that is the target, as b_S.")] = None,
    modality: Annotated[str | None, typer.Option(help="Of the target; the only one unless said.")] = None,
    structure: Annotated[str | None, typer.Option(help="Of the target; the only one unless said.")] = None,
    count: Annotated[int | None, typer.Option(help="Most runs to pick.")] = None,
    replicates: Annotated[int, typer.Option(help="Runs of one design in all, those trained counted.")] = 1,
    cost: Annotated[str, typer.Option(help=f"One of: {', '.join(bs.costs.names())}.")] = "gradual",
    flops_per_unit: Annotated[
        float | None, typer.Option(help="FLOPs per non-zero parameter and token or example; 6 unless said.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the runs go as a table: .csv, .parquet, .jsonl, .nc or .zarr.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of simulated losses; the posterior's unless said.")] = None,
    prob: Prob = PROB,
    column: Rename = None,
    json_: Json = False,
) -> int:
    """Pick runs to train next: those expected to tell most of what a decision hangs on, per FLOP."""
    from bayes_scaling.decide.next.view import next_runs_view

    about = {
        "nonzero_params": nonzero_params,
        "train_flops": train_flops,
        "data_seen": data_seen,
        "sparsity": sparsity,
        "name": name,
        "modality": modality,
        "structure": structure,
    }
    asked = _target(target, {key: value for key, value in about.items() if value is not None})
    if out is not None:
        writable(out)
    tree = bs.load(posterior)
    found = bs.next_runs(
        tree,
        bs.load_runs(candidates, renames(column), need_loss=False),
        budget_flops,
        target=asked,
        count=count,
        replicates=replicates,
        cost=cost,
        flops_per_unit=flops_per_unit,
        prob=prob,
        seed=seed,
    )
    if json_:
        print_json(found.to_dict())
    else:
        Console().print(next_runs_view(found))
    if out is not None and found.runs.sizes["run"]:
        say(f"{found.runs.sizes['run']} runs written to {bs.save_runs(found.runs, out)}")
        suggest("Train them", "sweep", out, "--store", STORE)
        suggest("Then fit again", "update", posterior, STORE, "--out", posterior)
    elif out is not None:
        say(f"nothing written to {out}: there are no runs to train")
    return trust(tree)


@command("bayes-scaling allocate posterior.nc --train-flops 1e21 --serve-tokens 1e12")
def allocate(
    posterior: Posterior,
    train_flops: Budget,
    modality: Modalities = None,
    structure: Structures = None,
    cost: CostName = "gradual",
    flops_per_unit: FlopsPerUnit = None,
    serve_tokens: ServeTokens = 0.0,
    max_sparsity: MaxSparsity = None,
    sizes: Sizes = None,
    margin: Margin = 0.0,
    prob: Prob = PROB,
    json_: Json = False,
) -> int:
    """Split a training budget between parameters, zeros and data."""
    from bayes_scaling.decide.planning_view import allocation_view

    tree = bs.load(posterior)
    found = bs.allocate(
        tree,
        train_flops,
        modality,
        structure,
        cost=cost,
        flops_per_unit=flops_per_unit,
        serve_tokens=serve_tokens,
        max_sparsity=max_sparsity,
        sizes=sizes,
        margin=margin,
        prob=prob,
    )
    if json_:
        print_json(found.to_dict())
    else:
        Console().print(allocation_view(found))
    return trust(tree)


@command("bayes-scaling reach posterior.nc --loss 2.5 --probability 0.9 --train-flops 1e21")
def reach(
    posterior: Posterior,
    loss: Annotated[float, typer.Option(help="Held-out loss to reach, in the unit of the runs.")],
    probability: Annotated[float, typer.Option(help="How sure it is to be.")] = PROB,
    modality: Modality = None,
    structure: Structures = None,
    cost: CostName = "gradual",
    flops_per_unit: FlopsPerUnit = None,
    serve_tokens: ServeTokens = 0.0,
    train_flops: Annotated[
        float | None, typer.Option(help="Budget within which the smallest model is looked for.")
    ] = None,
    max_sparsity: MaxSparsity = None,
    sizes: Sizes = None,
    prob: Prob = PROB,
    json_: Json = False,
) -> int:
    """Find the cheapest run that reaches a loss, and the smallest model that does."""
    from bayes_scaling.decide.planning_view import reach_view

    tree = bs.load(posterior)
    found = bs.reach(
        tree,
        loss,
        probability,
        modality,
        structure,
        cost=cost,
        flops_per_unit=flops_per_unit,
        serve_tokens=serve_tokens,
        train_flops=train_flops,
        max_sparsity=max_sparsity,
        sizes=sizes,
        prob=prob,
    )
    if json_:
        print_json(found.to_dict())
    else:
        Console().print(reach_view(found))
    return trust(tree)


@command("bayes-scaling map posterior.nc --out map.png")
def map(  # noqa: A001 - the command's name
    posterior: Posterior,
    out: Annotated[Path | None, typer.Option(help="Where the picture goes: .png, .pdf or .svg.")] = None,
    modality: Modality = None,
    structure: Annotated[str | None, typer.Option(help="Which; the only one unless said.")] = None,
    cost: CostName = "gradual",
    flops_per_unit: FlopsPerUnit = None,
    serve_tokens: ServeTokens = 0.0,
    prob: Prob = PROB,
    json_: Json = False,
) -> int:
    """Map optimal sparsity over sizes and budgets."""
    from bayes_scaling.decide.sparsity_map import map_dict
    from bayes_scaling.display import notes_view

    if out is None and not json_:
        raise InputError("map draws a picture or prints numbers; say --out or --json")
    if out is not None:
        writable(out)
        if out.suffix not in PICTURES:
            raise InputError(f"--out {out} is no picture; it ends in {', '.join(PICTURES)}")
    tree = bs.load(posterior)
    found = bs.optimal_map(
        tree,
        modality=modality,
        structure=structure,
        cost=cost,
        flops_per_unit=flops_per_unit,
        serve_tokens=serve_tokens,
        prob=prob,
    )
    if out is not None:
        import matplotlib as mpl

        mpl.use("Agg")
        bs.plot_optimal_map(found).savefig(out, dpi=130)
        say(f"map written to {out}")
    if json_:
        print_json(map_dict(found))
    else:
        Console().print(notes_view(read_notes(found.attrs)))
    return trust(tree)


def _target(kind: str | None, about: dict[str, Any]) -> bs.targets.Target | None:
    """The target that the options spell."""
    if kind is None:
        if about:
            options = ", ".join(f"--{option.replace('_', '-')}" for option in about)
            raise InputError(f"{options} without --target; that is one of {', '.join(TARGETS)}")
        return None
    if kind not in TARGETS:
        raise InputError(f"--target is {kind!r}; it is one of {', '.join(TARGETS)}")
    target, needed = TARGETS[kind]
    fields = target.__dataclass_fields__
    for option in (*needed, *about):
        if option not in about:
            raise InputError(f"--target {kind} needs --{option.replace('_', '-')}")
        if option not in fields:
            raise InputError(f"--target {kind} takes no --{option.replace('_', '-')}")
    return target(**about)
