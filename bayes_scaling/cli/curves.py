"""The command for learning curves: what comes next of each."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import bayes_scaling as bs
from bayes_scaling.cli.app import NOT_TRUSTED, Json, Prob, Rename, Seed, command, print_json, renames, say, writable
from bayes_scaling.curve.fit import FORMS
from bayes_scaling.intervals import PROB, check_prob
from bayes_scaling.notes import read_notes


@command("bayes-scaling curves curves.csv --at 1e10 --at 1e11")
def curves(
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help="A table with a row a point: curve, x, loss; or a store of runs, for held-out loss over data seen.",
        ),
    ],
    at: Annotated[list[float], typer.Option(metavar="X", help="Where to forecast, in the unit of x. Repeatable.")],
    form: Annotated[
        list[str] | None,
        typer.Option(help=f"Forms to mix, of {', '.join(bs.curve.forms.names())}; {', '.join(FORMS)} unless said."),
    ] = None,
    kind: Annotated[str, typer.Option(help="new-point, or mean: the curve without noise.")] = "new-point",
    isotonic: Annotated[
        bool, typer.Option("--isotonic", help="The losses are an isotonic (never rising) fit to noisier ones.")
    ] = False,
    population: Annotated[
        Path | None, typer.Option(help="An earlier --out, whose curves are what these are taken to be like.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the posterior to this NetCDF file.")] = None,
    seed: Seed = 0,
    prob: Prob = PROB,
    column: Rename = None,
    json_: Json = False,
) -> int:
    """Fit learning curves and forecast their losses."""
    from bayes_scaling.curve.view import curve_rows, curves_view
    from bayes_scaling.display import notes_view

    check_prob(prob)
    if out is not None:
        writable(out)
    settings: dict[str, Any] = {"forms": form or FORMS, "isotonic": isotonic, "seed": seed}
    if population is not None:
        settings["population"] = bs.curve.load(population)
    posterior = bs.curve.fit(table, columns=renames(column), **settings)
    rows = curve_rows(posterior, at, kind, prob)
    notes = read_notes(posterior.attrs)
    if out is not None:
        bs.save(posterior, out)
        say(f"posterior of {len(rows)} curves written to {out}")
    if json_:
        about = {"prob": prob, "kind": kind, "seconds": posterior.attrs["seconds"]}
        print_json(about | {"curves": rows, "notes": [note.to_dict() for note in notes]})
    else:
        Console().print(curves_view(rows, kind, prob), notes_view(notes))
    return 0 if all(row["ok"] for row in rows) else NOT_TRUSTED
