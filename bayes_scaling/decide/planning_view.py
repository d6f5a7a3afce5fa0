"""Allocations and configurations that reach a loss, as tables for people."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from bayes_scaling.display import chance, count, grouped_notes, modality_tables, with_interval

if TYPE_CHECKING:
    from bayes_scaling.decide.allocate import Allocation, Allocations
    from bayes_scaling.decide.reach import Reach, Reached

__all__ = ["allocation_view", "reach_view"]


def allocation_view(found: "Allocations") -> Group:
    """Size, sparsity and data for a budget: a table per modality, a column per structure."""
    if not found.answers:
        return Group(Text("nothing asked"))
    title = Text(f"How to spend {found.answers[0].train_flops:.3g} FLOPs", style="bold")
    reading = Text(
        f"Brackets are {found.prob:.0%} credible intervals, values before them medians. What to train has the least "
        "expected loss of all sizes and sparsities; the optima say where it may lie, draw by draw.",
        style="dim",
    )
    margin = found.answers[0].margin
    rows: dict[str, Callable[[Allocation], str]] = {
        "non-zero to train": lambda a: count(a.recommended["nonzero_params"]),
        "at sparsity": lambda a: f"{a.recommended['sparsity']:.3f}",
        "on data": lambda a: count(a.recommended["data_seen"]),
        "parameters at the start": lambda a: count(a.recommended["total_params"]),
        "loss reached": lambda a: with_interval(a.loss, ".4f"),
        "best dense: parameters": lambda a: count(a.dense["nonzero_params"]),
        "best dense: data": lambda a: count(a.dense["data_seen"]),
        "best dense: loss": lambda a: with_interval(a.dense["loss"], ".4f"),
        "gain over it": lambda a: with_interval(a.gain, ".2g"),
        f"chance of more than {margin:g}" if margin else "chance it beats dense": lambda a: (
            chance(a.probability_beats_dense) if a.recommended["sparsity"] else "it is dense"
        ),
        "optimal parameters": lambda a: _counts(a.optimal["nonzero_params"]),
        "optimal sparsity": lambda a: with_interval(a.optimal["sparsity"], ".3f"),
        "optimal data": lambda a: _counts(a.optimal["data_seen"]),
        "expected regret": lambda a: f"{a.expected_regret:.2g}",
    }
    return Group(title, *modality_tables(found.answers, rows, bold=3), reading, grouped_notes(found.answers))


def reach_view(found: "Reach") -> Group:
    """What reaches the loss: a table for the modality, a column per structure."""
    if not found.answers:
        return Group(Text("nothing asked"))
    first = found.answers[0]
    title = Text(f"What reaches loss {first.loss:g} with probability {first.probability:g}", style="bold")
    within = "" if first.train_flops is None else f" The smallest one costs {first.train_flops:.3g} FLOPs at most."
    rows: dict[str, Callable[[Reached], str]] = {
        "cheapest: FLOPs": lambda a: _cell(a.cheapest, "train_flops", ".3g"),
        "non-zero parameters": lambda a: _cell(a.cheapest, "nonzero_params"),
        "sparsity": lambda a: _cell(a.cheapest, "sparsity", ".3f"),
        "data": lambda a: _cell(a.cheapest, "data_seen"),
        "loss expected": lambda a: "–" if a.cheapest is None else with_interval(a.cheapest["loss"], ".4f"),
        "cheapest dense: FLOPs": lambda a: _cell(a.dense, "train_flops", ".3g"),
        "dense parameters": lambda a: _cell(a.dense, "nonzero_params"),
        "dense data": lambda a: _cell(a.dense, "data_seen"),
        "smallest: non-zero": lambda a: _cell(a.smallest, "nonzero_params"),
        "at sparsity": lambda a: _cell(a.smallest, "sparsity", ".3f"),
        "with data": lambda a: _cell(a.smallest, "data_seen"),
        "and FLOPs": lambda a: _cell(a.smallest, "train_flops", ".3g"),
        "irreducible loss": lambda a: with_interval(a.limit["irreducible_loss"], ".4f"),
        "chance that it is lower": lambda a: chance(a.limit["probability"]),
    }
    reading = Text(
        f"Brackets are {found.prob:.0%} credible intervals, values before them medians. Where the irreducible loss is "
        f"not lower, no size and data reach it.{within}",
        style="dim",
    )
    return Group(title, *modality_tables(found.answers, rows, bold=4), reading, grouped_notes(found.answers))


def _cell(configuration: Mapping[str, float] | None, name: str, shown: str | None = None) -> str:
    if configuration is None:
        return "–"
    return count(configuration[name]) if shown is None else format(configuration[name], shown)


def _counts(values: Mapping[str, float]) -> str:
    median, lower, upper = (count(values[key]) for key in ("median", "lower", "upper"))
    return f"{median} [{lower}, {upper}]"
