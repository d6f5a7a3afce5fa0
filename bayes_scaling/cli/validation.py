"""Commands that ask how far laws can be trusted: scales held out, and laws compared."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.console import Console

import bayes_scaling as bs
from bayes_scaling.cli.app import NOT_TRUSTED, Json, Prob, Rename, Runs, Seed, command, load_table, print_json
from bayes_scaling.intervals import PROB
from bayes_scaling.notes import Note

By = Annotated[str, typer.Option(help="nonzero_params, data_seen, sparsity, train_flops or another column.")]
Levels = Annotated[int | None, typer.Option(help="How many of the largest values; 1 unless said.")]
Fraction = Annotated[float | None, typer.Option(help="The top share of the runs instead of levels.")]
Group = Annotated[str, typer.Option(help="Column whose values are the groups of comparable losses.")]
Discrepancy = Annotated[bool, typer.Option(help="Whether losses beyond the runs carry a discrepancy.")]


@command("bayes-scaling holdout sweep.csv --by nonzero_params")
def holdout(
    runs: Runs,
    law: Annotated[str | None, typer.Option(help=f"One of: {', '.join(bs.laws.names())}.")] = None,
    by: By = "nonzero_params",
    levels: Levels = None,
    fraction: Fraction = None,
    folds: Annotated[int | None, typer.Option(help="That many random folds instead of a held-out scale.")] = None,
    group: Group = "modality",
    bootstrap: Annotated[bool, typer.Option(help="Whether to show a bootstrap of the point fit beside it.")] = True,
    discrepancy: Discrepancy = True,
    seed: Seed = 0,
    prob: Prob = PROB,
    column: Rename = None,
    json_: Json = False,
) -> int:
    """Fit without the largest scale, predict it, and see how often the intervals held."""
    from bayes_scaling.validate.view import holdout_view

    table = load_table(runs, column)
    common: dict[str, Any] = {
        "prob": prob,
        "seed": seed,
        "against": ("bootstrap",) if bootstrap else (),
        "group": group,
        "discrepancy": discrepancy,
    }
    if folds is not None:
        found = bs.kfold(table, law, folds=folds, **common)
    else:
        found = bs.holdout(table, law, by=by, levels=levels, fraction=fraction, **common)
    if json_:
        print_json(found.to_dict())
    else:
        Console().print(holdout_view(found))
    return _trust(found.notes)


@command("bayes-scaling compare sweep.csv --law sparse --law coupled --by nonzero_params")
def compare(
    runs: Runs,
    law: Annotated[
        list[str] | None,
        typer.Option(
            help=f"One of: {', '.join(bs.laws.names())}; two or more, by repeating it. Unless said, the mixture "
            "that `fit` uses and the laws that it mixes."
        ),
    ] = None,
    by: By = "nonzero_params",
    levels: Levels = None,
    fraction: Fraction = None,
    folds: Annotated[int, typer.Option(help="Number of random folds.")] = 5,
    group: Group = "modality",
    discrepancy: Discrepancy = True,
    seed: Seed = 0,
    prob: Prob = PROB,
    column: Rename = None,
    json_: Json = False,
) -> int:
    """See which law predicts best: the largest scale held out, random folds, and each run left out."""
    from bayes_scaling.validate.view import comparison_view

    found = bs.compare(
        load_table(runs, column),
        law,
        by=by,
        levels=levels,
        fraction=fraction,
        folds=folds,
        prob=prob,
        seed=seed,
        group=group,
        discrepancy=discrepancy,
    )
    if json_:
        print_json(found.to_dict())
    else:
        Console().print(comparison_view(found))
    return _trust(found.notes)


def _trust(notes: Iterable[Note]) -> int:
    """Exit status by whether the refits converged."""
    return NOT_TRUSTED if any(note.code == "refit_not_converged" for note in notes) else 0
