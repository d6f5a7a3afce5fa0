"""The command that reads runs from experiment trackers."""

from pathlib import Path
from typing import Annotated

import typer

import bayes_scaling as bs
from bayes_scaling.cli.app import Json, Rename, command, print_json, renames, say, suggest, writable
from bayes_scaling.errors import InputError
from bayes_scaling.notes import read_notes
from bayes_scaling.tables import ENDINGS


@command(
    "bayes-scaling import wandb team/project --column model.params=nonzero_params --column tokens=data_seen "
    "--metric eval/loss --loss-rule best --out sweep.csv",
    "import",
)
def import_runs(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="wandb, mlflow, tensorboard or table.")],
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="W&B: entity/project, a folder of runs or an exported CSV. MLflow: an address, a folder mlruns or a "
            "SQLite file. TensorBoard: a folder of event files. table: a file with a row per run or step.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where to: .csv, .parquet, .jsonl, .nc or .zarr.")],
    column: Rename = None,
    constant: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=VALUE", help="A column that is the same for every run; may be repeated."),
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Name of the held-out loss there.")] = None,
    loss_rule: Annotated[
        str, typer.Option(help="Which of its points: last, best, or mean:K, the mean of the last K.")
    ] = "last",
    filter_: Annotated[
        str | None, typer.Option("--filter", help="Which runs: W&B's filters as JSON, or MLflow's filter string.")
    ] = None,
    experiment: Annotated[
        list[str] | None, typer.Option(help="An experiment of MLflow; may be repeated. All unless said.")
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Take runs that crashed, were stopped or still run as well.")
    ] = False,
    json_: Json = False,
) -> int:
    """Make a table of runs from what an experiment tracker recorded, and say which runs were left out and why."""
    writable(out)
    if (ending := out.suffix.lower()) not in ENDINGS or ending == ".json":
        raise InputError(f"--out {out} has no ending that a run table can be written to (.csv, .parquet, .jsonl, …)")
    runs = bs.import_runs(
        source,
        kind,
        renames(column),
        loss_rule,
        metric=metric,
        constants=_constants(constant or []),
        filter=filter_,
        experiments=experiment or None,
        unfinished=unfinished,
    )
    bs.save_runs(runs, out)
    notes = read_notes(runs.attrs)
    for note in notes:
        say(f"{note.severity}: {note.message}")
    say(f"{runs.sizes['run']} runs written to {out}")
    suggest("Fit them", "fit", out, "--out", "posterior.nc")
    if json_:
        about = {"kind": kind, "source": source, "loss_rule": loss_rule, "out": str(out), "runs": runs.sizes["run"]}
        print_json(about | {"notes": [note.to_dict() for note in notes]})
    return 0


def _constants(given: list[str]) -> dict[str, str]:
    pairs = [constant.partition("=") for constant in given]
    for ours, equals, value in pairs:
        if not (ours and equals and value):
            raise InputError(f"--constant {ours}{equals}{value} is no constant; it takes OURS=VALUE")
    return {ours: value for ours, _, value in pairs}
