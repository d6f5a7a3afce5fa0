"""The next runs as a table for people."""

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from bayes_scaling.display import count, notes_view

if TYPE_CHECKING:
    from bayes_scaling.decide.next.next_runs import NextRuns

__all__ = ["next_runs_view"]


def next_runs_view(found: "NextRuns") -> Group:
    """What is asked, a row per run in the order of picking, what to expect, and the notes."""
    title = Text(f"Which runs to train next, for the {found.target}", style="bold")
    asked = "optimal sparsity" if found.measure == "expected regret" else "target"
    interval = f"{found.now['median']:.4g} [{found.now['lower']:.4g}, {found.now['upper']:.4g}] ({found.prob:.0%})"
    now = Text(f"Now: {asked} {interval}, {found.measure} {found.before:.3g}.")
    if not found.runs.sizes["run"]:
        return Group(title, now, notes_view(found.notes))
    spent = float(found.runs["train_flops"].sum())
    reading = (
        f"Expected after all of them: {found.measure} {found.after:.3g}, for {spent:.3g} of {found.budget_flops:.3g} "
        f"FLOPs. Each run is the best one, by {found.rule}, given those before it. Refit once they are trained: many "
        f"losses outside their {found.prob:.0%} intervals would say that the law does not hold there."
    )
    return Group(title, now, _table(found), Text(reading, style="dim"), notes_view(found.notes))


def _table(found: "NextRuns") -> Table:
    rows = found.to_frame()
    several = rows["modality"].nunique() > 1
    left = {"standard deviation": "s. d.", "expected regret": "regret"}[found.measure]
    table = Table()
    table.add_column("")
    table.add_column("run")
    for heading in ("non-\nzero", "data", "spar-\nsity", "FLOPs", f"{left}\nafter", f"its loss,\n{found.prob:.0%}"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows.to_dict("records"):
        kind = f"{row['modality']}, {row['structure']}" if several else row["structure"]
        table.add_row(
            str(row["rank"]),
            Text(kind),
            count(row["nonzero_params"]),
            count(row["data_seen"]),
            f"{row['sparsity']:.4g}",
            f"{row['train_flops']:.2g}",
            f"{row['after']:.3g}",
            f"{row['predicted_lower']:.3f}–{row['predicted_upper']:.3f}",
        )
    return table
