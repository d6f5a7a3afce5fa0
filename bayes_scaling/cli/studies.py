"""Commands for laws with tables of their own: batch sizes, mixtures of domains, and the solvable model."""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import xarray as xr
from rich.console import Console
from rich.table import Table
from rich.text import Text

import bayes_scaling as bs
from bayes_scaling.cli.app import Json, Prob, Rename, Seed, command, print_json, renames, say, trust, writable
from bayes_scaling.errors import InputError
from bayes_scaling.intervals import PROB, check_prob, interval
from bayes_scaling.notes import read_notes
from bayes_scaling.studies.batch_table import trend_values
from bayes_scaling.studies.compositions import check_room
from bayes_scaling.values import as_number

__all__ = ["Chains", "Draws", "Out", "Source", "report_study", "rows_of"]

Source = Annotated[
    str,
    typer.Argument(
        metavar="TABLE",
        help="CSV, Parquet, JSON lines, NetCDF or Zarr; docs/batch.md and docs/mixture.md list columns.",
    ),
]
Out = Annotated[Path | None, typer.Option(help="Where to write the posterior (NetCDF).")]
Draws = Annotated[int, typer.Option(help="Draws kept per chain.")]
Chains = Annotated[int, typer.Option(help="Number of chains.")]


@command("bayes-scaling batch steps.csv --nonzero-params 7e9")
def batch(
    table: Source,
    nonzero_params: Annotated[
        list[float] | None, typer.Option(help="Sizes that no run had, by the trend. May be repeated.")
    ] = None,
    sparsity: Annotated[
        list[float] | None, typer.Option(help="Sparsities that no run had, by the trend. May be repeated.")
    ] = None,
    overhead: Annotated[float, typer.Option(help="Further examples that a critical batch costs, as a share.")] = 1.0,
    reference_batch: Annotated[float, typer.Option(help="Batch size that the overhead is in excess of.")] = 0.0,
    out: Out = None,
    seed: Seed = 0,
    draws: Draws = 1000,
    chains: Chains = 4,
    prob: Prob = PROB,
    column: Rename = None,
    json_: Json = False,
) -> int:
    """Fit steps to a target loss over batch sizes, and find critical batch sizes."""
    check_prob(prob)
    if out is not None:
        writable(out)
    runs = bs.batch.load(table, renames(column))
    definition: dict[str, Any] = {"overhead": overhead, "reference_batch": reference_batch}
    asked: dict[str, Any] = {n: v for n, v in (("nonzero_params", nonzero_params), ("sparsity", sparsity)) if v}
    if asked:
        bs.batch.check_asked(asked, trend_values(runs))
    tree = bs.batch.fit(runs, seed=seed, draws=draws, chains=chains)
    found = [bs.batch.critical_batch(tree, **definition)]
    if asked:
        found.append(bs.batch.critical_batch(tree, **asked, **definition))
    rows = [row for critical in found for row in rows_of(critical, "critical_batch", prob)]
    return report_study(tree, out, {"prob": prob, **definition, "answers": rows}, "Critical batch sizes", json_)


@command("bayes-scaling mixture runs.csv --total 1.2e9 --floor 0.2")
def mixture(
    table: Source,
    total: Annotated[
        float | None, typer.Option(help="Amount of all domains together; that of the base composition unless said.")
    ] = None,
    floor: Annotated[float, typer.Option(help="Least amount of a domain, relative to the base composition's.")] = 0.2,
    out: Out = None,
    seed: Seed = 0,
    draws: Draws = 1000,
    chains: Chains = 4,
    prob: Prob = PROB,
    column: Rename = None,
    json_: Json = False,
) -> int:
    """Fit a loss over amounts of data per domain, and find the best composition of a total."""
    check_prob(prob)
    if out is not None:
        writable(out)
    runs = bs.mixture.load(table, renames(column))
    check_room(runs["base"].to_numpy(), float(runs["base"].sum()) if total is None else total, floor)
    tree = bs.mixture.fit(runs, seed=seed, draws=draws, chains=chains)
    best = bs.mixture.optimal_weights(tree, total, floor=floor)
    rows = [
        row
        | {"recommended_weight": float(best["recommended_weight"][i])}
        | {"recommended_amount": float(best["recommended_amount"][i]), "extrapolation": float(best["extrapolation"][i])}
        for i, row in enumerate(rows_of(best["weight"], "optimal_weight", prob))
    ]
    content = {"prob": prob, "total": best.attrs["total"], "floor": floor, "answers": rows}
    content |= {"relative_loss": interval(best["relative_loss"], prob), "expected_regret": float(best["regret"].mean())}
    return report_study(tree, out, content, f"Composition of {best.attrs['total']:g}", json_)


@command("bayes-scaling solvable --features 64 --features 128 --samples 256 --samples 1024 --out runs.csv")
def solvable(
    features: Annotated[list[int], typer.Option(help="Features, the N of a run. May be repeated.")],
    samples: Annotated[list[int], typer.Option(help="Examples, the T of a run. May be repeated.")],
    out: Annotated[Path, typer.Option(help="Where to: .csv, .parquet, .jsonl, .nc or .zarr.")],
    latent: Annotated[int, typer.Option(help="Components of the data.")] = 1000,
    alpha: Annotated[float, typer.Option(help="Exponent of the loss.")] = 0.5,
    noise_variance: Annotated[float, typer.Option(help="Of the labels; the irreducible loss.")] = 0.0,
    ridge: Annotated[str, typer.Option(help="A number, or optimal, each run's best.")] = "optimal",
    seeds: Annotated[int, typer.Option(help="Runs of each cell.")] = 1,
    seed: Seed = 0,
) -> int:
    """Train random features on a grid, a table of runs whose expected losses are known exactly."""
    writable(out)
    strength = ridge if ridge == "optimal" else as_number(ridge)
    if strength is None or strength != strength:
        raise InputError(f"--ridge {ridge} is neither a number nor optimal")
    model = bs.solvable.Model(latent=latent, alpha=alpha, noise_variance=noise_variance)
    runs = bs.solvable.simulate(model, features, samples, ridge=strength, seeds=seeds, seed=seed)  # type: ignore[arg-type]
    bs.save_runs(runs, out)
    say(f"{runs.sizes['run']} runs written to {out}")
    return 0


def rows_of(draws: xr.DataArray, name: str, prob: float) -> list[dict[str, Any]]:
    """A row for every cell: its coordinates, and median and interval of its draws."""
    over = [str(dim) for dim in draws.dims if dim not in ("chain", "draw")]
    rows = []
    for index in np.ndindex(*(draws.sizes[dim] for dim in over)):
        cell = draws.isel(dict(zip(over, index, strict=True)))
        where = {str(key): value.item() for key, value in cell.coords.items() if not value.dims}
        rows.append(where | {name: interval(cell, prob)})
    return rows


def report_study(tree: xr.DataTree, out: Path | None, content: dict[str, Any], title: str, as_json: bool) -> int:
    """Save a study's posterior where asked, show its answers, and say by the exit status whether to trust them."""
    from bayes_scaling.display import notes_view

    if out is not None:
        bs.save(tree, out)
    notes = read_notes(tree.attrs)
    if as_json:
        about = {"law": tree.attrs["law"], "diagnostics": json.loads(tree.attrs["diagnostics"])}
        print_json(about | content | {"notes": [note.to_dict() for note in notes]})
    else:
        Console().print(_view(content, title), notes_view(notes))
    return trust(tree)


def _view(content: dict[str, Any], title: str) -> Table:
    names = list(dict.fromkeys(name for row in content["answers"] for name in row))
    beyond = any(name.startswith("extrapolation") for name in names)
    caption = (
        f"Medians and {content['prob']:.0%} credible intervals{'; extrapolation in nats beyond the table' * beyond}."
    )
    if "relative_loss" in content:
        share = content["relative_loss"]
        caption += (
            f" Loss of the recommended composition: {_shown(share)} of the base's; what it is expected to lose "
            f"against the best, {content['expected_regret']:.2g} of the base's."
        )
    if "claim" in content:
        claim, told = content["claim"], {row["knob"]: _shown(row["cosine"]) for row in content["similarity"]}
        caption += (
            f" Cosine of {claim['knob']} with {', '.join(f'{name}: {told[name]}' for name in told)}. Probability "
            f"that it is more like {claim['nearer']} than like {claim['farther']}: {claim['probability']:.3f}."
        )
    table = Table(title=title, title_justify="left", caption=caption)
    for name in names:
        table.add_column(
            name.replace("_", " "), justify="left" if name in ("group", "domain", "knob", "figure") else "right"
        )
    for row in content["answers"]:
        table.add_row(*(Text(_shown(row.get(name, ""))) for name in names))
    return table


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['median']:.4g} [{value['lower']:.4g}, {value['upper']:.4g}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
