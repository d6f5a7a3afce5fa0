"""Tables for people, by rich: in the terminal, and as plain text where an object prints itself."""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bayes_scaling.extrapolation import AXES
from bayes_scaling.notes import Note
from bayes_scaling.summary import scalars

if TYPE_CHECKING:
    from bayes_scaling.decide.recommend import Answer, Recommendation
    from bayes_scaling.point_fit import PointFit
    from bayes_scaling.summary import Summary

__all__ = [
    "chance",
    "count",
    "fit_view",
    "grouped_notes",
    "modality_tables",
    "notes_view",
    "plain",
    "point_view",
    "prediction_view",
    "recommendation_view",
    "with_interval",
]

_STYLE = {"info": "dim", "warning": "yellow", "error": "bold red"}
_PLAIN_WIDTH = 110
_COLUMNS = 3
"""Most structures side by side, so that a table fits `_PLAIN_WIDTH`."""


def plain(view: RenderableType) -> str:
    """What a view looks like as text."""
    out = io.StringIO()
    Console(file=out, width=_PLAIN_WIDTH, color_system=None, force_jupyter=False).print(view)
    return out.getvalue().rstrip()


def count(value: float) -> str:
    """A count for people: 98.3k, 4.2M, 1.5B, and powers of ten beyond."""
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if limit <= value < 1000 * limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def notes_view(notes: list[Note]) -> Group:
    """Notes, one a line, the graver the louder."""
    return Group(
        *(Text.assemble((f"{n.severity}: ", _STYLE[n.severity]), n.message, (f"  [{n.code}]", "dim")) for n in notes)
    )


def recommendation_view(recommendation: "Recommendation") -> Group:
    """What to train, how sure, and what the rows mean: a table per modality, a column per structure."""
    if not recommendation.answers:
        return Group(Text("nothing asked"))
    first, percent = recommendation.answers[0], f"{recommendation.prob:.0%}"
    title = (
        f"What to train with {count(first.nonzero_params)} non-zero parameters "
        f"and {first.train_flops:.3g} training FLOPs"
    )
    reading = (
        "Every column keeps the non-zero parameters and the training FLOPs. Values are posterior medians, brackets "
        f"{percent} credible intervals. The sparsity to train at has the least expected loss; the optimal sparsity "
        "says where the optimum may lie. Regrets, and the worth of certainty, are in units of loss; the latter also in "
        "FLOPs that would buy as much."
    )
    places = {
        (c["modality"], o["structure"]): o["probability_best"] for c in recommendation.comparisons for o in c["options"]
    }
    rows: dict[str, Callable[[Answer], str] | None] = {
        "train at sparsity": lambda a: f"{a.recommended['sparsity']:.3f}",
        "data paid for": lambda a: count(a.recommended["data_seen"]),
        "parameters at the start": lambda a: count(a.recommended["total_params"]),
        "loss reached": lambda a: with_interval(a.loss, ".4f"),
        "loss if dense": lambda a: with_interval(a.dense_loss, ".4f"),
        "gain over dense": lambda a: with_interval(a.gain, ".2g"),
        "chance it beats dense": lambda a: _chance(a, a.probability_sparse_beats_dense),
        f"chance of more than {first.margin:g}": _by_margin if first.margin else None,
        "chance it is the best": partial(_best, places=places) if places else None,
        "optimal sparsity": lambda a: with_interval(a.optimal_sparsity, ".3f"),
        "dense size of equal loss": lambda a: f"× {with_interval(a.dense_equivalent, '.2f')}",
        "expected regret": lambda a: f"{a.expected_regret:.2g}",
        "expected regret of dense": lambda a: f"{a.stakes['regret_of_dense']:.2g}",
        "of the point estimate": _point if "point" in first.stakes else None,
        "worth of certainty": _certainty,
    }
    shown = {name: show for name, show in rows.items() if show is not None}
    tables = modality_tables(recommendation.answers, shown, bold=1)
    return Group(Text(title, style="bold"), *tables, Text(reading, style="dim"), grouped_notes(recommendation.answers))


def modality_tables(answers: "Sequence[Any]", rows: Mapping[str, Callable[[Any], str]], bold: int) -> list[Table]:
    """A table per modality, or more where it has many structures; a column per structure, the first rows in bold."""
    by_modality: dict[str, list[Any]] = {}
    for answer in answers:
        by_modality.setdefault(answer.modality, []).append(answer)
    tables = []
    for modality, mine in by_modality.items():
        beside = math.ceil(len(mine) / math.ceil(len(mine) / _COLUMNS))  # two and two, rather than three and one
        for first in range(0, len(mine), beside):
            some = mine[first : first + beside]
            table = Table()
            table.add_column(Text(modality))
            for answer in some:
                table.add_column(Text(answer.structure), justify="right")
            for i, (name, show) in enumerate(rows.items()):
                table.add_row(Text(name), *(Text(show(a)) for a in some), style="bold" if i < bold else "")
            tables.append(table)
    return tables


def grouped_notes(answers: Sequence[Any]) -> Group:
    """Each note once, with the answers it belongs to."""
    where: dict[Note, list[str]] = {}
    for answer in answers:
        for note in answer.notes:
            where.setdefault(note, []).append(f"{answer.modality}, {answer.structure}")
    lines = [
        note if len(places) == len(answers) else Note(note.code, note.severity, f"{'; '.join(places)}: {note.message}")
        for note, places in where.items()
    ]
    return notes_view(lines)


def fit_view(summary: "Summary") -> Group:
    """Coefficients with their intervals, the gate, and the notes."""
    table = Table(title=f"Posterior of law {summary.law!r}, {summary.prob:.0%} intervals", title_justify="left")
    table.add_column("quantity")
    for heading in ("median", "lower", "upper", "sd"):
        table.add_column(heading, justify="right")
    for name, row in summary.quantities.items():
        table.add_row(Text(name), *(f"{row[key]:.4g}" for key in ("median", "lower", "upper", "sd")))
    found = summary.diagnostics
    gate = Text.assemble(
        ("passed" if found["ok"] else "failed", "green" if found["ok"] else "bold red"),
        f": R-hat at most {found['max_rhat']:.3f}, effective draws at least {found['min_ess_bulk']:.0f} (bulk) and "
        f"{found['min_ess_tail']:.0f} (tail), {found['divergences']} divergences",
    )
    return Group(table, Text.assemble("Diagnostics ", gate), notes_view(summary.notes))


def point_view(found: "PointFit") -> Group:
    """Coefficients, how well they fit and whether the fit converged, and the notes."""
    on = "log loss" if found.settings["on"] == "log" else "loss"
    title = f"Point estimate of law {found.law!r}, least {found.settings['objective']} misfit of {on}"
    table = Table(title=title, title_justify="left")
    table.add_column("quantity")
    table.add_column("estimate", justify="right")
    for name, value in scalars(found.coefficients):
        table.add_row(Text(name), f"{value.item():.4g}")
    lines = []
    for modality in found.scores["modality"].to_numpy().tolist():
        scores, ended = (each.sel(modality=modality) for each in (found.scores, found.convergence))
        objective, rmse, worst = (scores[name].item() for name in ("objective", "rmse", "max_relative_error"))
        lines.append(
            f"{modality}: objective {objective:.4g}, root mean square error {rmse:.3g}, largest relative error "
            f"{worst:.2%}; {ended['starts_agreeing'].item():.0f} of {found.settings['starts']} starts agree"
        )
    return Group(table, *map(Text, lines), notes_view(found.notes))


def prediction_view(rows: list[dict[str, Any]], kind: str, prob: float) -> Table:
    """Predicted losses with intervals and distances."""
    title = {"mean": "Expected loss", "new-run": "Loss of a new run"}[kind]
    table = Table(title=f"{title}, {prob:.0%} intervals", title_justify="left")
    table.add_column("run")
    for heading in ("median", "lower", "upper", "beyond the runs"):
        table.add_column(heading, justify="right")
    for row in rows:
        far = max(AXES, key=lambda axis, row=row: row["extrapolation"][axis])  # type: ignore[misc]
        distance = row["extrapolation"][far]
        beyond = f"{math.exp(distance):.3g} times in {far}" if distance > 0 else "no"  # as notes say it
        table.add_row(Text(str(row["run_id"])), *(f"{row[key]:.4f}" for key in ("median", "lower", "upper")), beyond)
    return table


def with_interval(values: Mapping[str, float], shown: str) -> str:
    """A median with its interval, each in the format given."""
    median, lower, upper = (format(values[key], shown) for key in ("median", "lower", "upper"))
    return f"{median} [{lower}, {upper}]"


def chance(probability: float) -> str:
    """A probability in per cent, of which draws never show the last tenth."""
    percent = 100 * probability
    return "> 99.9 %" if percent > 99.9 else f"{percent:.1f} %"


def _chance(answer: "Answer", probability: float) -> str:
    return chance(probability) if answer.recommended["sparsity"] else "it is dense"


def _by_margin(answer: "Answer") -> str:
    return _chance(answer, answer.probability_beats_dense_by_margin)


def _best(answer: "Answer", places: Mapping[tuple[str, str], float]) -> str:
    return chance(places[answer.modality, answer.structure if answer.recommended["sparsity"] else "dense"])


def _point(answer: "Answer") -> str:
    theirs = answer.stakes["point"]
    return f"{theirs['expected_regret']:.2g} at {theirs['sparsity']:.3f}"


def _certainty(answer: "Answer") -> str:
    worth = answer.stakes["perfect_information"]
    if worth["train_flops"] is None:
        return f"{worth['loss']:.2g}, no budget buys it"
    return f"{worth['loss']:.2g}, {worth['train_flops'] / answer.train_flops:.2%} of FLOPs"
