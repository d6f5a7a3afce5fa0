"""Commands about many runs: plans, stores, and what is in them."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import bayes_scaling as bs
from bayes_scaling.cli.app import (
    NOT_TRUSTED,
    Json,
    Rename,
    Runs,
    command,
    load_table,
    print_json,
    say,
    suggest,
    writable,
)
from bayes_scaling.cli.sweep_teller import SweepTeller
from bayes_scaling.cli.training import knobs_of, runners_module
from bayes_scaling.errors import InputError
from bayes_scaling.notes import read_notes
from bayes_scaling.record_files import is_address
from bayes_scaling.runs import diverged
from bayes_scaling.tables import ENDINGS


@command("bayes-scaling sweep first_sweep --store runs/first --workers 2")
def sweep(
    plan: Annotated[
        str,
        typer.Argument(
            metavar="PLAN",
            help="A plan file (TOML or JSON), a table of runs such as `next --out` writes, or the name of a plan that "
            "ships.",
        ),
    ],
    store: Annotated[str, typer.Option(help="Store of run records: a folder, or an address such as s3://bucket/runs.")],
    workers: Annotated[
        int | None, typer.Option(min=1, help="Jobs at a time; one a GPU, or as many as the cores allow, unless said.")
    ] = None,
    executor: Annotated[
        str, typer.Option(help="Where jobs run: local (worker processes), inline (this process), ray or slurm.")
    ] = "local",
    option: Annotated[
        list[str] | None,
        typer.Option(help="Setting of the executor, NAME=VALUE: address=auto, gpus=0.5, partition=long, …"),
    ] = None,
    together: Annotated[
        int | None,
        typer.Option(
            min=1, help="Most runs of one shape trained as one batch; 1 for none; where it helps unless said."
        ),
    ] = None,
    retry: Annotated[
        list[str] | None,
        typer.Option(help="Train again although there is a record: diverged, or changed (other code or data)."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and what they will take; train none.")] = (
        False
    ),
    timing: Annotated[bool, typer.Option(help="Whether a dry run times some steps to estimate the time.")] = True,
    max_runs: Annotated[float, typer.Option(help="Most combinations that a plan may have.")] = 10_000,
    knob: Annotated[
        list[str] | None, typer.Option("--set", help="A knob of all runs, as NAME=VALUE, whatever the plan says.")
    ] = None,
    json_: Json = False,
) -> int:
    """Train every run of a plan; start it again to go on where it stopped.

    Failed and interrupted runs are tried again each time, runs with a record never. Any number of sweeps, on any
    number of machines, may work on one store at once: each run is trained once.
    """
    plans, states = runners_module("plan"), runners_module("states")
    settings = knobs_of(knob or [], runners_module("config").RunConfig, named=())
    planned = plans.load_plan(plan, settings, int(max_runs))
    stored = runners_module("store").Store(store)
    if planned.repeats:
        say(f"the plan names {planned.repeats} of its runs more than once; each is trained once")
    contents = stored.contents()
    for fault in contents.unreadable.values():
        say(f"warning: {fault}")
    own = {
        run_id: record for run_id, record in contents.records.items() if run_id in {c.run_id for c in planned.configs}
    }
    for sentence in states.changes(own, runners_module("fingerprint").fingerprint()):
        say(f"warning: {sentence} --retry changed trains those runs again")
    if dry_run:
        return _dry_run(planned, stored, contents, timing, workers, json_)
    sweeping = runners_module("sweep")
    with SweepTeller() as teller:
        summary = sweeping.run_plan(
            planned.configs,
            stored,
            workers,
            teller,
            executor=executor,
            options=_settings(option or []),
            together=together,
            retry=retry or (),
        )
    return _report(summary, store, json_)


def _dry_run(planned: Any, stored: Any, contents: Any, timing: bool, workers: int | None, json_: bool) -> int:
    """What a sweep would do."""
    costs = runners_module("cost")
    found = runners_module("states").states(stored, [config.run_id for config in planned.configs], contents)
    todo = [c for c in planned.configs if found[c.run_id] not in ("finished", "diverged")]
    guess = runners_module("estimate").estimate(todo) if timing and todo else None
    rows = [
        {
            "run_id": config.run_id,
            "state": found[config.run_id],
            "modality": config.modality,
            "structure": config.structure,
            "strategy": "scratch" if config.pretrained is None else "pretrained",
            "sparsity": config.sparsity,
            "nonzero_params": round(config.shape.block_weights * (1 - config.sparsity)),
            "data_seen": config.steps * config.units_per_step,
            "layers": config.shape.layers,
            "width": config.shape.width,
            "mlp_width": config.shape.mlp_width,
            "learning_rate": config.learning_rate,
            "seed": config.seed,
            "train_flops": costs.planned_flops(config),
            "seconds": guess.seconds.get(config.run_id) if guess else None,
        }
        for config in planned.configs
    ]
    states = {state: sum(row["state"] == state for row in rows) for state in dict.fromkeys(found.values())}
    states = {state: count for state, count in states.items() if count}
    total = {
        "runs": len(rows),
        "states": states,
        "train_flops": sum(row["train_flops"] for row in rows),
        "train_flops_to_do": sum(costs.planned_flops(config) for config in todo),
        "seconds_to_do": sum(guess.seconds.values()) if guess else None,
    }
    if json_:
        print_json({"runs": rows, "total": total})
        return 0
    _show(rows, ("run_id", "state", "nonzero_params", "data_seen", "width", "mlp_width", "train_flops", "seconds"))
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    print(
        f"{len(rows)} runs: {counts}; {total['train_flops']:.3g} training FLOPs, {total['train_flops_to_do']:.3g} to do"
    )
    if guess:
        seconds = sum(guess.seconds.values())
        print(
            f"about {_duration(seconds)} one after the other on this machine, {_duration(seconds / (workers or 1))} "
            f"with {workers or 1} at a time if they do not slow each other down, by {guess.timed} shapes timed for "
            f"{guess.took:.0f} s; ensembles may make it less"
        )
    return 0


def _report(summary: Any, store: str, json_: bool) -> int:
    for run_id, error in summary.failed.items():
        say(f"failed: {run_id}: {error} (log: {store}/logs/{run_id}.log)")
    parts = [
        f"{len(summary.finished)} trained",
        f"{len(summary.skipped)} were there",
        *([f"{len(summary.elsewhere)} trained elsewhere meanwhile"] if summary.elsewhere else []),
        f"{len(summary.diverged)} diverged",
        f"{len(summary.failed)} failed",
    ]
    say(f"{', '.join(parts)} in {_duration(summary.seconds)}; records in {store}")
    if summary.interrupted:
        say("interrupted; start the same again to go on")
    elif summary.failed:
        suggest("Which failed, and why", "runs", store, "--state", "failed")
    else:
        suggest("Fit them", "fit", store, "--out", "posterior.nc")
    if json_:
        from dataclasses import asdict

        print_json(asdict(summary) | {"store": store})
    return NOT_TRUSTED if summary.failed or summary.interrupted else 0


@command("bayes-scaling runs runs/first --where 'sparsity > 0.5' --out sweep.csv")
def runs(
    source: Runs,
    out: Annotated[Path | None, typer.Option(help="Write the table: .csv, .parquet, .jsonl, .nc or .zarr.")] = None,
    where: Annotated[
        str | None, typer.Option(help="Only these, an expression in the columns: nonzero_params > 1e6 and seed == 0.")
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="Of a store, only these: finished, diverged, failed, running, interrupted.")
    ] = None,
    curves: Annotated[Path | None, typer.Option(help="Write a store's learning curves to this NetCDF file.")] = None,
    column: Rename = None,
    json_: Json = False,
) -> int:
    """List the runs of a table or a store, check them, and write them in another format.

    A store's failed, running and interrupted runs are listed too; the table that is written has the finished and the
    diverged ones, as `fit` reads it.
    """
    unfinished = _unfinished(source) if _is_store(source) else []
    try:
        table = load_table(source, column)
    except InputError:
        if not unfinished or out is not None:
            raise
        table = None
    if table is not None:
        for note in read_notes(table.attrs):
            say(f"{note.severity}: {note.message}")
        table = _kept(table, where) if where else table
    rows = _rows(table) + [row for row in unfinished if not where]
    if state is not None:
        rows = [row for row in rows if row["state"] == state]
    if out is not None and table is not None:
        bs.save_runs(table, out)
        say(f"{table.sizes['run']} runs written to {out}")
    if curves is not None:
        if curves.suffix != ".nc":
            raise InputError(f"--curves is {curves}; a file ending in .nc (NetCDF) is needed")
        writable(curves)
        found = bs.load_curves(source)
        found.to_netcdf(curves, engine="h5netcdf")
        say(f"learning curves of {found.sizes['run']} runs written to {curves}")
    if json_:
        print_json({"runs": rows})
    elif out is None and curves is None:
        _show(rows, ("run_id", "state", "structure", "sparsity", "nonzero_params", "data_seen", "loss", "wall_seconds"))
        print(f"{len(rows)} runs")
    return 0


def _is_store(source: str) -> bool:
    """Whether it is a folder of records or an address of one, and no table."""
    return not source.lower().endswith(ENDINGS) and (is_address(source) or Path(source).is_dir())


def _kept(table: Any, where: str) -> Any:
    """The runs for which an expression holds."""
    frame = table.reset_coords().to_dataframe().reset_index(drop=True)
    try:
        rows = frame.query(where, engine="python").index
    except Exception as error:  # whatever pandas makes of what a user wrote
        raise InputError(
            f'--where {where!r} cannot be evaluated ({error}); it is written as "sparsity > 0.5 and '
            f"structure == '2:4'\", and the columns are {', '.join(frame.columns)}"
        ) from error
    return table.isel(run=rows.to_numpy())


def _unfinished(source: str) -> list[dict[str, Any]]:
    """Runs of a store that the run table does not have."""
    from runners.claims import holders
    from runners.states import states
    from runners.store import Store

    store = Store(source)
    contents = store.contents()
    found = states(store, contents=contents)
    holding = holders(store)
    rows = []
    for run_id, state in found.items():
        if state in ("finished", "diverged"):
            continue
        row: dict[str, Any] = {"run_id": run_id, "state": state}
        if run_id in contents.records:
            record = contents.records[run_id]
            row |= {key: record["run"].get(key) for key in ("structure", "sparsity", "nonzero_params", "data_seen")}
            row["error"] = record.get("error", "")
        if run_id in holding:
            claim = holding[run_id]
            row |= {"host": claim.host, "pid": claim.pid, "step": claim.step, "steps": claim.steps}
        rows.append(row)
    return rows


def _rows(table: Any) -> list[dict[str, Any]]:
    if table is None:
        return []
    without_loss = diverged(table).values
    names = [str(name) for name in table.variables]
    columns = {name: table[name].values.tolist() for name in names}
    return [
        {"run_id": columns["run_id"][i], "state": "diverged" if without_loss[i] else "finished"}
        | {name: columns[name][i] for name in names if name not in ("run_id", "status")}
        for i in range(table.sizes["run"])
    ]


def _show(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """Rows as a table for people."""
    from rich.table import Table

    shown = Table(*columns)
    for row in rows:
        shown.add_row(*(_cell(row.get(column)) for column in columns))
    Console(width=None if sys.stdout.isatty() else 160).print(shown)


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}"
    if isinstance(value, int | float):
        return f"{value:,.0f}" if value < 1e9 else f"{value:.4g}"
    return str(value)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _settings(pairs: list[str]) -> dict[str, Any]:
    """Settings of an executor: numbers where they look like numbers."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, given, text = pair.partition("=")
        if not given:
            raise InputError(f"--option is {pair!r}; NAME=VALUE is needed")
        for kind in (int, float, str):
            try:
                settings[name] = kind(text)
                break
            except ValueError:
                continue
    return settings
