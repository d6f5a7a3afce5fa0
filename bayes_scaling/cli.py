"""The command line, thin over the public names."""

import functools
import json
import math
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import xarray as xr
from rich.console import Console

import bayes_scaling as bs
from bayes_scaling.diagnostics import gate_notes
from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation import extrapolation
from bayes_scaling.intervals import PROB, check_prob, interval
from bayes_scaling.notes import read_notes
from bayes_scaling.predict import runs_to_predict
from bayes_scaling.summary import summarise

__all__ = ["app", "main"]

_IMPORTED = time.perf_counter()

NOT_TRUSTED = 1
WRONG_INPUT = 2

app = typer.Typer(
    name="bayes-scaling",
    epilog="Start with: bayes-scaling demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

Runs = Annotated[
    str,
    typer.Argument(
        metavar="RUNS",
        help="A table (CSV, Parquet, JSON lines, NetCDF, Zarr), a folder of run records, or a data set's name.",
    ),
]
Posterior = Annotated[Path, typer.Argument(metavar="POSTERIOR", help="A posterior that `fit --out` wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
Prob = Annotated[float, typer.Option(help="Probability of every interval.")]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers.")]
Rename = Annotated[
    list[str] | None, typer.Option("--column", metavar="THEIRS=OURS", help="Rename a column; may be repeated.")
]


def _show_version(wanted: bool) -> None:
    if wanted:
        print(metadata.version("bayes-scaling"))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Bayesian scaling laws of sparse neural networks: runs in, a posterior and a recommendation out."""


def main() -> None:
    """Run the command line; the exit status is 0 done, 1 done but not to be trusted, 2 wrong input."""
    try:
        app()
    except InputError as error:
        _say(f"bayes-scaling: {error}")
        sys.exit(WRONG_INPUT)


def _command(example: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Register a command that returns its exit status, with an example under its help."""

    def register(run: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(run)
        def call(*args: Any, **kwargs: Any) -> None:
            raise typer.Exit(run(*args, **kwargs))

        app.command(epilog=f"Example: {example}")(call)
        return run

    return register


@_command("bayes-scaling demo --out demo")
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the posterior and the pictures.")] = Path("demo"),
    seed: Seed = 0,
) -> int:
    """Fit the sweep that ships with the package and recommend a sparsity, all the way in one command."""
    from bayes_scaling.demo import run_demo

    return _trust(run_demo(out, seed=seed, console=Console()))


@_command("bayes-scaling fit sweep.csv --law sparse --out posterior.nc")
def fit(
    runs: Runs,
    out: Annotated[Path | None, typer.Option(help="Where to write the posterior (NetCDF).")] = None,
    law: Annotated[str | None, typer.Option(help=f"One of: {', '.join(bs.laws.names())}.")] = None,
    seed: Seed = 0,
    draws: Annotated[int, typer.Option(help="Draws kept per chain.")] = 1000,
    chains: Annotated[int, typer.Option(help="Number of chains.")] = 4,
    group: Annotated[str, typer.Option(help="Column whose values are the groups of comparable losses.")] = "modality",
    prob: Prob = PROB,
    column: Rename = None,
    json_: Json = False,
) -> int:
    """Fit the hierarchical model of a law to training runs."""
    check_prob(prob)
    table = _load_runs(runs, column)
    if out is not None:
        _writable(out)
    posterior = bs.fit(table, law, seed=seed, draws=draws, chains=chains, group=group)
    return _report_fit(posterior, out, prob, json_)


@_command("bayes-scaling update posterior.nc new_runs.csv --out posterior.nc")
def update(
    posterior: Posterior,
    runs: Runs,
    out: Annotated[Path | None, typer.Option(help="Where to write the new posterior.")] = None,
    prob: Prob = PROB,
    column: Rename = None,
    json_: Json = False,
) -> int:
    """Refit a posterior with runs that came later, under the same law and settings."""
    check_prob(prob)
    if out is not None:
        _writable(out)
    return _report_fit(bs.update(bs.load(posterior), _load_runs(runs, column)), out, prob, json_)


@_command("bayes-scaling predict posterior.nc planned.csv --kind new-run")
def predict(
    posterior: Posterior,
    new_runs: Annotated[str, typer.Argument(metavar="NEW_RUNS", help="A table of runs; it needs no loss.")],
    prob: Prob = PROB,
    kind: Annotated[str, typer.Option(help="mean (the law) or new-run (with the noise of a run).")] = "new-run",
    seed: Annotated[int | None, typer.Option(help="Seed of the noise; the posterior's unless said.")] = None,
    column: Rename = None,
    json_: Json = False,
) -> int:
    """Predict the loss of runs that nobody has trained."""
    from bayes_scaling.display import notes_view, prediction_view

    check_prob(prob)
    tree = bs.load(posterior)
    runs = runs_to_predict(tree, bs.load_runs(new_runs, _columns(column), need_loss=False))
    losses = bs.predict(tree, runs, kind, seed=seed)
    rows = [
        {"run_id": str(runs["run_id"].to_numpy()[i])}
        | interval(losses.isel(run=i), prob)
        | {
            "extrapolation": extrapolation(
                tree,
                str(runs["modality"].to_numpy()[i]),
                str(runs["structure"].to_numpy()[i]),
                nonzero_params=float(runs["nonzero_params"].to_numpy()[i]),
                data_seen=float(runs["data_seen"].to_numpy()[i]),
                sparsity=float(runs["sparsity"].to_numpy()[i]),
            )
        }
        for i in range(runs.sizes["run"])
    ]
    notes = [*read_notes(tree.attrs), *read_notes(losses.attrs)]
    if json_:
        _print_json({"prob": prob, "kind": kind, "runs": rows, "notes": [n.to_dict() for n in notes]})
    else:
        Console().print(prediction_view(rows, kind, prob), notes_view(notes))
    return _trust(tree)


@_command("bayes-scaling recommend posterior.nc --nonzero-params 1e9 --train-flops 1e21")
def recommend(
    posterior: Posterior,
    nonzero_params: Annotated[float, typer.Option(help="Non-zero parameters at the end of training.")],
    train_flops: Annotated[float, typer.Option(help="Training budget in FLOPs.")],
    modality: Annotated[list[str] | None, typer.Option(help="Which; all unless said. May be repeated.")] = None,
    structure: Annotated[
        list[str] | None, typer.Option(help="unstructured, 2:4, …; all unless said. May be repeated.")
    ] = None,
    strategy: Annotated[str, typer.Option(help="scratch or pretrained.")] = "scratch",
    cost: Annotated[
        str, typer.Option(help="gradual (the cubic 25-75 % schedule) or dense (sparsity saves nothing).")
    ] = "gradual",
    flops_per_unit: Annotated[
        float | None, typer.Option(help="FLOPs per non-zero parameter and token or example; 6 unless said.")
    ] = None,
    pretrain_data: Annotated[float, typer.Option(help="For pretrained: data of the dense phase.")] = 0.0,
    max_sparsity: Annotated[
        float | None, typer.Option(help="Largest sparsity allowed; the largest one trained unless said.")
    ] = None,
    prob: Prob = PROB,
    json_: Json = False,
) -> int:
    """Recommend a sparsity for a model size and a training budget."""
    from bayes_scaling.display import recommendation_view

    tree = bs.load(posterior)
    recommendation = bs.recommend(
        tree,
        nonzero_params,
        train_flops,
        modality,
        structure,
        strategy,
        cost=cost,
        flops_per_unit=flops_per_unit,
        pretrain_data=pretrain_data,
        max_sparsity=max_sparsity,
        prob=prob,
    )
    if json_:
        _print_json(recommendation.to_dict())
    else:
        Console().print(recommendation_view(recommendation))
    return _trust(tree)


@_command("bayes-scaling datasets")
def datasets(json_: Json = False) -> int:
    """List the data sets that `fit` and `runs` know by name."""
    from rich.table import Table

    entries = [bs.datasets.describe(name) for name in bs.datasets.names()]
    if json_:
        keys = ("name", "description", "reference", "licence")
        _print_json({"datasets": [{key: getattr(entry, key) for key in keys} for entry in entries]})
        return 0
    table = Table("name", "what", "reference", "licence")
    for entry in entries:
        table.add_row(entry.name, entry.description, entry.reference, entry.licence)
    Console().print(table)
    return 0


@_command("bayes-scaling runs runs/first --out sweep.csv")
def runs(
    source: Runs,
    out: Annotated[Path, typer.Option(help="Where to: .csv, .parquet, .jsonl, .nc or .zarr.")],
    column: Rename = None,
) -> int:
    """Check a table of runs, or a folder of run records, and write it in another format."""
    table = _load_runs(source, column)
    bs.save_runs(table, out)
    for note in read_notes(table.attrs):
        _say(f"{note.severity}: {note.message}")
    _say(f"{table.sizes['run']} runs written to {out}")
    return 0


@_command("bayes-scaling train --nonzero-params 6144 --data-seen 1e6 --sparsity 0.75 --store runs/mine")
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
        _print_json(record)
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


@_command("bayes-scaling sweep first_sweep --store runs/first --workers 2")
def sweep(
    plan: Annotated[str, typer.Argument(help="A plan file (TOML or JSON), or the name of a plan that ships.")],
    store: Annotated[Path, typer.Option(help="Folder of run records; finished runs are skipped.")],
    workers: Annotated[int, typer.Option(min=1, help="Runs trained at a time.")] = 1,
) -> int:
    """Train every run of a plan; start it again to go on where it stopped."""
    sweeping = _runners("sweep")
    summary = sweeping.run_plan(sweeping.load_plan(plan), store, workers, _say)
    for run_id, error in summary.failed.items():
        _say(f"failed: {run_id}: {error}")
    _say(
        f"{len(summary.finished)} trained, {len(summary.skipped)} were there, {len(summary.diverged)} diverged, "
        f"{len(summary.failed)} failed; records in {store}"
    )
    return NOT_TRUSTED if summary.failed or summary.interrupted else 0


def _report_fit(posterior: xr.DataTree, out: Path | None, prob: float, as_json: bool) -> int:
    from bayes_scaling.display import fit_view

    if out is not None:
        bs.save(posterior, out)
    summary = summarise(posterior, prob)
    if as_json:
        found = json.loads(posterior.attrs["diagnostics"])
        _print_json(
            {
                "law": posterior.attrs["law"],
                "n_runs": posterior["constant_data"].sizes["run"],
                "prob": prob,
                "summary": summary,
                "diagnostics": found,
                "notes": [note.to_dict() for note in read_notes(posterior.attrs)],
                "seconds": _seconds(posterior),
            }
        )
    else:
        Console().print(fit_view(posterior, summary, prob))
        print(f"Posterior written to {out}" if out else "Not saved; --out posterior.nc keeps the posterior.")
    return _trust(posterior)


def _seconds(posterior: xr.DataTree) -> dict[str, float]:
    """Where the time of this process went."""
    spent = json.loads(posterior.attrs["seconds"])
    return spent | {"import": spent["import"] + _IMPORTED - bs.STARTED, "total": time.perf_counter() - bs.STARTED}


def _load_runs(source: str, column: list[str] | None) -> xr.Dataset:
    if Path(source).exists():
        return bs.load_runs(source, _columns(column))
    if source in bs.datasets.names():
        return bs.datasets.load(source)
    raise InputError(
        f"{source} is neither a file, a folder of run records nor a data set; the data sets are "
        f"{', '.join(bs.datasets.names())}"
    )


def _columns(renames: list[str] | None) -> dict[str, str]:
    pairs = [rename.partition("=") for rename in renames or []]
    for theirs, equals, ours in pairs:
        if not (theirs and equals and ours):
            raise InputError(f"--column {theirs}{equals}{ours} is no renaming; it takes THEIRS=OURS")
    return {theirs: ours for theirs, _, ours in pairs}


def _writable(out: Path) -> None:
    """Say so before a fit, rather than after it, when its result has nowhere to go."""
    if not out.parent.is_dir() or out.is_dir():
        raise InputError(f"--out {out} cannot be written: {out.parent} must be a folder and {out} not be one")


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
    _say(f"step {step} of {steps}, training loss {loss:.4f}")


def _trust(posterior: xr.DataTree) -> int:
    """Exit status by the gate, said again on stderr where it failed."""
    failures = gate_notes(json.loads(posterior.attrs["diagnostics"]))
    for note in failures:
        _say(f"{note.severity}: {note.message}")
    return NOT_TRUSTED if failures else 0


def _say(message: Any) -> None:
    print(message, file=sys.stderr, flush=True)


def _print_json(content: dict[str, Any]) -> None:
    print(json.dumps(_jsonable(content), allow_nan=False))


def _jsonable(value: Any) -> Any:
    """Plain JSON, in which a number that is not finite is null."""
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()
