"""Validation results as tables for people."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from bayes_scaling.display import notes_view

if TYPE_CHECKING:
    from bayes_scaling.validate.comparison import Comparison
    from bayes_scaling.validate.result import Holdout, Score
    from bayes_scaling.validate.sbc import SBC

__all__ = ["comparison_view", "holdout_view", "sbc_view"]

ROWS = 40
"""Quantities shown: the least uniform ones, and all outside their bands. Large designs have hundreds."""


def holdout_view(found: "Holdout") -> Group:
    """A row per modality and predictor, how far the runs held out lie outside, and the notes."""
    table = Table()
    table.add_column("modality")
    table.add_column("predicted by")
    headings = ("runs", f"coverage, {found.prob:.0%} nominal", "width", "CRPS", "interval\nscore", "log\nscore", "bias")
    for heading in headings:
        table.add_column(heading, justify="right")
    shown = ""
    for each in found.scores:
        numbers = (each.width, each.crps, each.interval_score)
        table.add_row(
            Text(each.modality if each.modality != shown else ""),
            Text(each.predicted_by),
            str(each.runs),
            f"{each.coverage:.0%}",
            *(f"{value:.2%}" for value in numbers),
            "–" if math.isnan(each.log_score) else f"{each.log_score:.2f}",
            f"{each.bias:+.2%}",
            style="" if each.predicted_by == "posterior" else "dim",
        )
        shown = each.modality
    reading = (
        "Of log loss, so per cent are of the loss. Coverage is the share of runs inside their intervals. CRPS and "
        "interval score are better when smaller, the log score (nats a run) when larger; bias above zero says that the "
        "loss predicted was too high."
    )
    lines = [Text(f"{modality}: {_distance(nats)}", style="dim") for modality, nats in found.beyond.items()]
    title = Text(f"Held out: {found.held_out}; law {found.law!r}", style="bold")
    return Group(title, table, Text(reading, style="dim"), *lines, notes_view(found.notes))


def _distance(nats: dict[str, float]) -> str:
    far = [f"{value:.2f} nats in {axis}" for axis, value in nats.items() if value > 0]
    return f"held out up to {', '.join(far)} beyond the runs kept" if far else "held out between the runs kept"


WEIGHTS = {
    "held_out_scale": "weight by the scale held out",
    "loo": "weight by leave-one-out",
    "default": "share where no law is named",
}

SCORES: "dict[str, Callable[[Score], str]]" = {
    "coverage": lambda score: f"{score.coverage:.0%}",
    "width": lambda score: f"{score.width:.2%}",
    "CRPS": lambda score: f"{score.crps:.2%}",
    "interval score": lambda score: f"{score.interval_score:.2%}",
    "bias": lambda score: f"{score.bias:+.2%}",
    "log score": lambda score: f"{score.log_score:.2f}",
}


def comparison_view(found: "Comparison") -> Group:
    """A column per law, the best first; a block of rows per way of holding out, the scale's before all others."""
    table = Table()
    table.add_column("")
    for law in found.ranked:
        table.add_column(Text(law), justify="right")

    def add(name: str, show: "Callable[[str], str]", style: str = "") -> None:
        table.add_row(Text(name), *(Text(show(law)) for law in found.ranked), style=style)

    for where, weights in found.weights.items():
        add(WEIGHTS[where], lambda law, w=weights: f"{w[law]:.2f}" if law in w else "–")  # type: ignore[misc]
    for where, each in found.held_out.items():
        first = each[found.best]
        table.add_section()
        add(f"{first.held_out}, {first.predictions.sizes['run']} runs", lambda _: "", style="bold")
        for name, show in SCORES.items():
            add(name, lambda law, e=each, show=show: show(e[law].score()))  # type: ignore[misc]
        add("less the first, ± standard error", lambda law, w=where: _difference(found, law, w))  # type: ignore[misc]
        if where == next(iter(found.held_out)):
            add("chance of that, if this law is right", lambda law: _chance(found, law))
    table.add_section()
    add("leave-one-out, all runs", lambda _: "", style="bold")
    add("log score, summed", lambda law: f"{found.loo[law].elpd:.1f}")
    add("less the first, ± standard error", lambda law: _loo_difference(found, law))
    add("Pareto k above 0.7", lambda law: f"{found.loo[law].high_k:.0%}")
    reading = (
        f"Of log loss, so per cent are of the loss. Coverage is to be {found.prob:.0%}. CRPS and interval score are "
        "better when smaller, log scores (nats a run) when larger. The first law has the best log score at the scale "
        "held out; the chance says how often it would lead by so much if another law were right. Weights by "
        "leave-one-out favour the law that fits the runs most closely, which is over-confident beyond them. One scale "
        "is little evidence: ask along other axes too."
    )
    return Group(Text("Laws compared", style="bold"), table, Text(reading, style="dim"), notes_view(found.notes))


def _difference(found: "Comparison", law: str, where: str) -> str:
    if law == found.best:
        return "–"
    each = found.difference(law, found.best, where)
    return f"{each.mean:+.3f} ± {each.se:.3f}"


def _chance(found: "Comparison", law: str) -> str:
    return "–" if law == found.best else f"{found.chance(found.best, law):.1%}"


def _loo_difference(found: "Comparison", law: str) -> str:
    each = found.loo[law]
    return "–" if law == found.best else f"{each.difference:+.1f} ± {each.difference_se:.1f}"


def sbc_view(found: "SBC") -> Group:
    """A row per quantity, those outside their bands in red, and what the columns mean."""
    table = Table()
    table.add_column("quantity")
    for heading in ("largest deviation", "p", "inside its band"):
        table.add_column(heading, justify="right")
    suspicious = sorted(found.quantities, key=lambda each: each.p_value)[:ROWS]
    shown = [each for each in found.quantities if each in suspicious or not each.inside]
    for each in shown:
        style = "" if each.inside else "bold red"
        p = f"{each.p_value:.3f}" if each.p_value >= 0.001 else f"{each.p_value:.1e}"
        table.add_row(Text(each.quantity), f"{each.deviation:+.3f}", p, "yes" if each.inside else "no", style=style)
    origin = {"prior": "from the prior", "posterior": "from the posterior"}[found.kind]
    nuts = int((found.fits["method"] == "nuts").sum())
    outside = sum(not each.inside for each in found.quantities)
    verdict = (
        f"{outside} of {len(found.quantities)} quantities are outside"
        if outside
        else f"All {len(found.quantities)} quantities are inside"
    )
    reading = (
        f"{verdict} their bands. Deviation is that of the ranks' ECDF from the diagonal, positive where draws are too "
        f"large; bands allow {found.band:.3f} at their widest, and leave a perfect sampler a chance of "
        f"{found.family_error:.0%} to have any quantity outside. {nuts} of {found.simulations} refits took NUTS."
    )
    if more := len(found.quantities) - len(shown):
        reading = f"{more} more, all inside, are not shown. {reading}"
    title = Text(f"Ranks of {found.simulations} truths {origin}, law {found.law!r}", style="bold")
    return Group(title, table, Text(reading, style="dim"))
