"""What all commands share: the application, options that mean the same everywhere, and how results leave."""

import functools
import inspect
import json
import math
import shlex
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import xarray as xr

import bayes_scaling as bs
from bayes_scaling.cli.completion import described, tables
from bayes_scaling.diagnostics import gate_notes
from bayes_scaling.errors import InputError
from bayes_scaling.record_files import is_address

__all__ = [
    "NOT_TRUSTED",
    "Json",
    "Margin",
    "Posterior",
    "Prob",
    "Rename",
    "Runs",
    "Seed",
    "app",
    "command",
    "load_table",
    "main",
    "print_json",
    "renames",
    "say",
    "suggest",
    "trust",
    "writable",
]

PROGRAM = "bayes-scaling"
NOT_TRUSTED = 1
WRONG_INPUT = 2
INTERRUPTED = 130
"""What shells expect of a program that Ctrl-C ended."""

PANELS = {
    "Fit and ask": ("demo", "fit", "update", "predict", "recommend", "report"),
    "Plan": ("allocate", "reach", "budget", "map", "next"),
    "Check": ("holdout", "compare"),
    "Training runs": ("train", "sweep", "runs", "import", "datasets"),
    "Other tables": (),
}
"""Commands as help lists them, in the order of use; those not named here come last."""


class Group(typer.core.TyperGroup):
    """Commands in the order of `PANELS`, whichever module was imported first."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands."""
        order = [name for names in PANELS.values() for name in names]
        return sorted(super().list_commands(ctx), key=lambda n: order.index(n) if n in order else len(order))


app = typer.Typer(
    name=PROGRAM,
    cls=Group,
    epilog="Start with: bayes-scaling demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

Runs = Annotated[
    str,
    typer.Argument(
        metavar="RUNS",
        autocompletion=tables,
        help="A table (CSV, Parquet, JSON lines, NetCDF, Zarr), a folder of run records, or a data set's name.",
    ),
]
Posterior = Annotated[Path, typer.Argument(metavar="POSTERIOR", help="A posterior that `fit --out` wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
Prob = Annotated[float, typer.Option(help="Probability of every interval.")]
Margin = Annotated[
    float, typer.Option(help="How much lower than a dense model's the loss must be to be worth it, in units of loss.")
]
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
    """Run the command line; the exit status is 0 done, 1 done but not to be trusted, 2 wrong input, 130 interrupted."""
    try:
        app(prog_name=PROGRAM)
    except InputError as error:
        say(f"bayes-scaling: {error}")
        sys.exit(WRONG_INPUT)


def command(example: str, name: str | None = None) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Register a command that returns its exit status, with an example under its help; `name` is the function's."""

    def register(run: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(run)
        def call(*args: Any, **kwargs: Any) -> None:
            try:
                status = run(*args, **kwargs)
            except KeyboardInterrupt:
                say("interrupted")
                status = INTERRUPTED
            raise typer.Exit(status)

        described(call)
        called = name or run.__name__
        *_, last = PANELS
        panel = next((title for title, names in PANELS.items() if called in names), last)
        app.command(name, epilog=f"Example: {example}", help=_paragraphs(run), rich_help_panel=panel)(call)
        return run

    return register


def _paragraphs(run: Callable[..., int]) -> str:
    """A docstring whose paragraphs are lines, for the terminal to wrap."""
    return "\n\n".join(" ".join(each.split()) for each in inspect.cleandoc(run.__doc__ or "").split("\n\n"))


def load_table(source: str, column: list[str] | None) -> xr.Dataset:
    """The runs of a file, a store or a data set's name.

    Raises
    ------
    InputError
        If it is none of these, or the runs are wrong.
    """
    if is_address(source) or Path(source).exists():
        return bs.load_runs(source, renames(column))
    if source in bs.datasets.names():
        if column:
            raise InputError(f"--column {column[0]} is for tables of your own; the data set {source} needs no renaming")
        return bs.datasets.load(source)
    raise InputError(
        f"{source} is neither a file, a folder of run records nor a data set; the data sets are "
        f"{', '.join(bs.datasets.names())}"
    )


def renames(given: list[str] | None) -> dict[str, str]:
    """New names by old ones, from options written THEIRS=OURS.

    Raises
    ------
    InputError
        If one is written otherwise.
    """
    pairs = [rename.partition("=") for rename in given or []]
    for theirs, equals, ours in pairs:
        if not (theirs and equals and ours):
            raise InputError(f"--column {theirs}{equals}{ours} is no renaming; it takes THEIRS=OURS")
    return {theirs: ours for theirs, _, ours in pairs}


def writable(out: Path) -> None:
    """Say so before a fit, rather than after it, when its result has nowhere to go."""
    if not out.parent.is_dir() or out.is_dir():
        raise InputError(f"--out {out} cannot be written: {out.parent} must be a folder and {out} not be one")


def trust(posterior: xr.DataTree) -> int:
    """Exit status by the gate, said again on stderr where it failed."""
    failures = gate_notes(json.loads(posterior.attrs["diagnostics"]))
    for note in failures:
        say(f"{note.severity}: {note.message}")
    return NOT_TRUSTED if failures else 0


def say(message: Any) -> None:
    """Tell a person, leaving stdout to results."""
    print(message, file=sys.stderr, flush=True)


def suggest(why: str, *words: Any) -> None:
    """Tell a person what may come next: the words of a command."""
    say(f"{why}: {shlex.join([PROGRAM, *map(str, words)])}")


def print_json(content: dict[str, Any]) -> None:
    """Print one JSON object on stdout."""
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
