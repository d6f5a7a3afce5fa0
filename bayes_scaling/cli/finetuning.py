"""Commands for what fine-tuning and regularisers do: transfer, fine-tuning curves, and effects on spectra."""

from pathlib import Path
from typing import Annotated, Any

import typer

import bayes_scaling as bs
from bayes_scaling.cli.app import Json, Prob, Rename, Seed, command, renames, writable
from bayes_scaling.cli.studies import Chains, Draws, Out, Source, report_study, rows_of
from bayes_scaling.intervals import PROB, check_prob
from bayes_scaling.studies import effects_table
from bayes_scaling.studies.scratch_law import law_of


def _named(source: str) -> Any:
    """A data set by its name, anything else as it stands."""
    return bs.datasets.load(source) if source in bs.datasets.names() and not Path(source).exists() else source


def _checked(prob: float, out: Path | None) -> None:
    check_prob(prob)
    if out is not None:
        writable(out)


@command("bayes-scaling transfer transfer --nonzero-params 1e6 --finetune-data 1e5")
def transfer(
    table: Source,
    nonzero_params: Annotated[
        list[float] | None, typer.Option(help="Sizes; those of fine-tuned runs unless said. May be repeated.")
    ] = None,
    finetune_data: Annotated[
        list[float] | None, typer.Option(help="Amounts to fine-tune on; likewise. May be repeated.")
    ] = None,
    law: Annotated[
        str, typer.Option(help="Law of runs from scratch: dense_coupled, kaplan or dense.")
    ] = "dense_coupled",
    out: Out = None,
    seed: Seed = 0,
    draws: Draws = 1000,
    chains: Chains = 4,
    prob: Prob = PROB,
    column: Rename = None,
    json_: Json = False,
) -> int:
    """Fit what a pretrained start is worth in data, from runs from scratch and fine-tuned ones."""
    _checked(prob, out)
    law_of(law)
    asked: dict[str, Any] = {
        name: values or None for name, values in (("nonzero_params", nonzero_params), ("finetune_data", finetune_data))
    }
    bs.transfer.check_asked(**{name: values or 1.0 for name, values in asked.items()})
    runs = bs.transfer.load(_named(table), renames(column))
    tree = bs.transfer.fit(runs, law=law, seed=seed, draws=draws, chains=chains)
    rows = rows_of(bs.transfer.multiplier(tree, **asked), "data_multiplier", prob)
    return report_study(tree, out, {"prob": prob, "answers": rows}, "(D_F + D_T) / D_F", json_)


@command("bayes-scaling rectified curves.csv --finetune-data 1e7")
def rectified(
    table: Source,
    finetune_data: Annotated[
        list[float] | None, typer.Option(help="Amounts to fine-tune on; the largest of the table unless said.")
    ] = None,
    out: Out = None,
    seed: Seed = 0,
    draws: Draws = 1000,
    chains: Chains = 4,
    prob: Prob = PROB,
    column: Rename = None,
    json_: Json = False,
) -> int:
    """Fit fine-tuning curves, and predict the loss of each model with more data."""
    _checked(prob, out)
    runs = bs.rectified.load(table, renames(column))
    amounts = finetune_data or [float(runs["finetune_data"].max())]
    bs.rectified.check_asked(amounts)
    tree = bs.rectified.fit(runs, seed=seed, draws=draws, chains=chains)
    rows = []
    for amount in amounts:
        best = bs.rectified.probability_best(tree, amount)
        told = rows_of(bs.rectified.predict(tree, amount), "loss", prob)
        rows += [row | {"probability_best": float(best.sel(group=row["group"]))} for row in told]
    return report_study(tree, out, {"prob": prob, "answers": rows}, "Loss after fine-tuning", json_)


@command("bayes-scaling effects regularisers")
def effects(
    table: Source,
    knob: Annotated[str, typer.Option(help="The knob that others are compared with.")] = effects_table.DATA,
    nearer: Annotated[str, typer.Option(help="What it is claimed to move figures like …")] = "dropout",
    farther: Annotated[str, typer.Option(help="… and what it is claimed not to.")] = "weight_decay",
    out: Out = None,
    seed: Seed = 0,
    draws: Draws = 1000,
    chains: Chains = 4,
    prob: Prob = PROB,
    column: Rename = None,
    json_: Json = False,
) -> int:
    """Regress spectra of weights on regularisers and data, and say which of them do alike."""
    _checked(prob, out)
    runs = bs.effects.load(_named(table), renames(column))
    bs.effects.check_knobs(bs.effects.knobs_of(runs), knob, nearer, farther)
    tree = bs.effects.fit(runs, seed=seed, draws=draws, chains=chains)
    claim = {"knob": knob, "nearer": nearer, "farther": farther}
    content = {
        "prob": prob,
        "answers": rows_of(tree["posterior"].to_dataset()["effect"], "effect", prob),
        "similarity": rows_of(bs.effects.similarity(tree, knob), "cosine", prob),
        "claim": claim | {"probability": bs.effects.probability_closer(tree, knob, nearer, farther)},
    }
    return report_study(tree, out, content, "Effects from least to most, in standard deviations over runs", json_)
