"""Commands about runs: data sets, tables, and training."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import bayes_scaling as bs
from bayes_scaling.cli.app import NOT_TRUSTED, Json, Rename, Runs, Seed, command, load_table, print_json, say
from bayes_scaling.errors import InputError
from bayes_scaling.notes import read_notes


@command("bayes-scaling datasets")
def datasets(json_: Json = False) -> int:
    """List the data sets that `fit` and `runs` know by name."""
    from rich.table import Table

    entries = [bs.datasets.describe(name) for name in bs.datasets.names()]
    if json_:
        keys = ("name", "description", "reference", "licence")
        print_json({"datasets": [{key: getattr(entry, key) for key in keys} for entry in entries]})
        return 0
    table = Table("name", "what", "reference", "licence")
    for entry in entries:
        table.add_row(entry.name, entry.description, entry.reference, entry.licence)
    Console().print(table)
    return 0


@command("bayes-scaling runs runs/first --out sweep.csv")
def runs(
    source: Runs,
    out: Annotated[Path, typer.Option(help="Where to: .csv, .parquet, .jsonl, .nc or .zarr.")],
    column: Rename = None,
) -> int:
    """Check a table of runs, or a folder of run records, and write it in another format."""
    table = load_table(source, column)
    bs.save_runs(table, out)
    for note in read_notes(table.attrs):
        say(f"{note.severity}: {note.message}")
    say(f"{table.sizes['run']} runs written to {out}")
    return 0


@command("bayes-scaling train --nonzero-params 6144 --data-seen 1e6 --sparsity 0.75 --store runs/mine")
def train(
    nonzero_params: Annotated[float, typer.Option(help="Non-zero block weights wanted at the end.")],
    data_seen: Annotated[float, typer.Option(help="Bytes to train on, repeats counted.")],
    store: Annotated[Path, typer.Option(help="Folder of run records; the record of this run is added.")],
    sparsity: Annotated[float, typer.Option(help="Final fraction of zeros.")] = 0.0,
    structure: Annotated[str, typer.Option(help="unstructured, or a pattern such as 2:4.")] = "unstructured",
    corpus: Annotated[
        str, typer.Option(help="stdlib (Python's own source), or folders separated by commas.")
    ] = "stdlib",
    suffix: Annotated[str, typer.Option(help="Ending of the files read from folders.")] = ".py",
    learning_rate: Annotated[float | None, typer.Option(help="Peak; tuned per width unless said.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    seed: Seed = 0,
    json_: Json = False,
) -> int:
    """Train one sparse or dense transformer on the bytes of real text, and leave its record."""
    training = _runners("train")
    config = training.RunConfig(
        nonzero_params=_whole("--nonzero-params", nonzero_params),
        data_seen=_whole("--data-seen", data_seen),
        sparsity=sparsity,
        structure=structure,
        corpus=corpus,
        suffix=suffix,
        learning_rate=learning_rate,
        device=device,
        seed=seed,
    )
    record = training.run(config, store, _say_step)
    if json_:
        print_json(record)
    else:
        run = record["run"]
        loss = (
            "no finite loss" if run["loss"] is None or math.isnan(run["loss"]) else f"{run['loss']:.4f} nats per byte"
        )
        print(
            f"{record['status']}: run {run['run_id']}, held-out loss: {loss}, "
            f"{run['nonzero_params']} non-zero parameters; record in {store}"
        )
    return 0


@command("bayes-scaling sweep first_sweep --store runs/first --workers 2")
def sweep(
    plan: Annotated[str, typer.Argument(help="A plan file (TOML or JSON), or the name of a plan that ships.")],
    store: Annotated[Path, typer.Option(help="Folder of run records; finished runs are skipped.")],
    workers: Annotated[int, typer.Option(min=1, help="Runs trained at a time.")] = 1,
) -> int:
    """Train every run of a plan; start it again to go on where it stopped."""
    sweeping = _runners("sweep")
    summary = sweeping.run_plan(sweeping.load_plan(plan), store, workers, say)
    for run_id, error in summary.failed.items():
        say(f"failed: {run_id}: {error}")
    say(
        f"{len(summary.finished)} trained, {len(summary.skipped)} were there, {len(summary.diverged)} diverged, "
        f"{len(summary.failed)} failed; records in {store}"
    )
    return NOT_TRUSTED if summary.failed or summary.interrupted else 0


def _runners(module: str) -> Any:
    """A module of the runners, which need the extra of that name."""
    import importlib

    try:
        importlib.import_module("torch")
    except ImportError as error:
        raise InputError(
            "training needs torch, which the extra brings: pip install 'bayes-scaling[runners]'"
        ) from error
    return importlib.import_module(f"runners.{module}")


def _whole(option: str, value: float) -> int:
    if not math.isfinite(value) or value != int(value):
        raise InputError(f"{option} is {value}; it is a whole number such as 6144 or 4e6")
    return int(value)


def _say_step(step: int, steps: int, loss: float) -> None:
    say(f"step {step} of {steps}, training loss {loss:.4f}")
