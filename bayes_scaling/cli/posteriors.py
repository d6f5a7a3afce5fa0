"""Commands that make posteriors and ask them."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
import xarray as xr
from rich.console import Console

import bayes_scaling as bs
from bayes_scaling.cli.app import (
    Json,
    Margin,
    Posterior,
    Prob,
    Rename,
    Runs,
    Seed,
    command,
    load_table,
    print_json,
    renames,
    suggest,
    trust,
    writable,
)
from bayes_scaling.decide.costs import Cost, Hardware, Pretrained
from bayes_scaling.decide.costs.hardware import read_speedups
from bayes_scaling.decide.optimum import cost_of
from bayes_scaling.decide.question import FLOPS_PER_UNIT
from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation import extrapolation
from bayes_scaling.intervals import PROB, check_prob, interval
from bayes_scaling.notes import read_notes
from bayes_scaling.predict import runs_to_predict
from bayes_scaling.structures import check_structure
from bayes_scaling.values import as_number

_IMPORTED = time.perf_counter()


@command("bayes-scaling demo --out demo")
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the posterior and the pictures.")] = Path("demo"),
    seed: Seed = 0,
) -> int:
    """Fit the sweep that ships with the package and recommend a sparsity, all the way in one command."""
    from bayes_scaling.demo import run_demo

    return trust(run_demo(out, seed=seed, console=Console()))


@command("bayes-scaling fit sweep.csv --law sparse --out posterior.nc")
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
    table = load_table(runs, column)
    if out is not None:
        writable(out)
    posterior = bs.fit(table, law, seed=seed, draws=draws, chains=chains, group=group)
    return _report_fit(posterior, out, prob, json_)


@command("bayes-scaling update posterior.nc new_runs.csv --out posterior.nc")
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
        writable(out)
    return _report_fit(bs.update(bs.load(posterior), load_table(runs, column)), out, prob, json_)


@command("bayes-scaling predict posterior.nc planned.csv --kind new-run")
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
    runs = runs_to_predict(tree, bs.load_runs(new_runs, renames(column), need_loss=False))
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
        print_json({"prob": prob, "kind": kind, "runs": rows, "notes": [n.to_dict() for n in notes]})
    else:
        Console().print(prediction_view(rows, kind, prob), notes_view(notes))
    return trust(tree)


@command("bayes-scaling recommend posterior.nc --nonzero-params 1e9 --train-flops 1e21")
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
        str,
        typer.Option(
            help="gradual (the cubic 25-75 % schedule), dense (sparsity saves nothing), static (sparse from the first "
            "step), measured (train_flops of the posterior's runs) or pretrained (gradual, from a dense model)."
        ),
    ] = "gradual",
    speedup: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STRUCTURE=TIMES|FILE",
            help="Measured speed-up, as 2:4=1.2, or a file that benchmarks/semi_structured.py wrote. May be repeated.",
        ),
    ] = None,
    flops_per_unit: Annotated[
        float | None, typer.Option(help="FLOPs per non-zero parameter and token or example; 6 unless said.")
    ] = None,
    pretrain_data: Annotated[float, typer.Option(help="For pretrained: data of the dense phase.")] = 0.0,
    count_pretraining: Annotated[
        bool, typer.Option("--count-pretraining", help="Whether the budget pays for the dense phase too.")
    ] = False,
    serve_tokens: Annotated[
        float, typer.Option(help="Tokens or examples served over the model's life, on the same budget.")
    ] = 0.0,
    max_sparsity: Annotated[
        float | None, typer.Option(help="Largest sparsity allowed; the largest one trained unless said.")
    ] = None,
    margin: Margin = 0.0,
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
        cost=_cost(tree, cost, speedup, count_pretraining),
        flops_per_unit=flops_per_unit,
        pretrain_data=pretrain_data,
        serve_tokens=serve_tokens,
        max_sparsity=max_sparsity,
        margin=margin,
        prob=prob,
    )
    if json_:
        print_json(recommendation.to_dict())
    else:
        Console().print(recommendation_view(recommendation))
    return trust(tree)


def _cost(posterior: xr.DataTree, name: str, speedup: list[str] | None, counted: bool) -> Cost:
    """The cost model that the options spell."""
    cost = cost_of(posterior, name)
    if counted:
        cost = Pretrained(cost.base if isinstance(cost, Pretrained) else cost, counted=True)
    times: dict[str, float] = {}
    for given in speedup or []:
        if "=" not in given and given.endswith(".json"):
            times |= read_speedups(given)
            continue
        structure, _, number = given.rpartition("=")
        value = as_number(number)
        if not structure or value is None:
            raise InputError(f"--speedup {given} is none; it takes STRUCTURE=TIMES, as 2:4=1.2, or a file .json")
        times[check_structure(structure)] = value
    return Hardware(cost, times) if times else cost


def _report_fit(posterior: xr.DataTree, out: Path | None, prob: float, as_json: bool) -> int:
    from bayes_scaling.display import fit_view

    if out is not None:
        bs.save(posterior, out)
    found = bs.summary(posterior, prob)
    if as_json:
        print_json(found.to_dict() | {"seconds": _seconds(posterior)})
    else:
        Console().print(fit_view(found))
        if out is None:
            print("Not saved; --out posterior.nc keeps the posterior.")
        else:
            print(f"Posterior written to {out}")
            if found.diagnostics["ok"]:
                _suggest_questions(posterior, out)
    return trust(posterior)


def _suggest_questions(posterior: xr.DataTree, out: Path) -> None:
    """What to ask of a posterior, at the largest size that was trained."""
    runs = posterior["runs"].to_dataset()
    size = float(runs["nonzero_params"].max())
    budget = 10 * FLOPS_PER_UNIT * float((runs["nonzero_params"] * runs["data_seen"]).max())
    suggest("What to train", "recommend", out, "--nonzero-params", f"{size:.3g}", "--train-flops", f"{budget:.2g}")
    suggest("A page for a colleague", "report", out, "--out", out.with_suffix(".html"))


def _seconds(posterior: xr.DataTree) -> dict[str, float]:
    """Where the time of this process went."""
    spent = json.loads(posterior.attrs["seconds"])
    return spent | {"import": spent["import"] + _IMPORTED - bs.STARTED, "total": time.perf_counter() - bs.STARTED}
