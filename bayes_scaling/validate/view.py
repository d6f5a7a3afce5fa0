"""Validation results as tables for people."""

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from bayes_scaling.display import notes_view

if TYPE_CHECKING:
    from bayes_scaling.validate.result import Holdout
    from bayes_scaling.validate.sbc import SBC

__all__ = ["holdout_view", "sbc_view"]

ROWS = 40
"""Quantities shown: the least uniform ones, and all outside their bands. Large designs have hundreds."""


def holdout_view(found: "Holdout") -> Group:
    """A row per modality and predictor, how far the runs held out lie outside, and the notes."""
    table = Table()
    table.add_column("modality")
    table.add_column("predicted by")
    for heading in ("runs", f"coverage, {found.prob:.0%} nominal", "width", "CRPS", "interval score", "bias"):
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
            f"{each.bias:+.2%}",
            style="" if each.predicted_by == "posterior" else "dim",
        )
        shown = each.modality
    reading = (
        "Of log loss, so per cent are of the loss. Coverage is the share of runs inside their intervals. CRPS and "
        "interval score are better when smaller; bias above zero says that the loss predicted was too high."
    )
    lines = [Text(f"{modality}: {_distance(nats)}", style="dim") for modality, nats in found.beyond.items()]
    title = Text(f"Held out: {found.held_out}; law {found.law!r}", style="bold")
    return Group(title, table, Text(reading, style="dim"), *lines, notes_view(found.notes))


def _distance(nats: dict[str, float]) -> str:
    far = [f"{value:.2f} nats in {axis}" for axis, value in nats.items() if value > 0]
    return f"held out up to {', '.join(far)} beyond the runs kept" if far else "held out between the runs kept"


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
