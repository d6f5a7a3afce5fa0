"""Tables: a row a run, or a row a step with the run's id."""

from collections.abc import Sequence
from typing import Any, ClassVar

from bayes_scaling.imports.base import Query, Source, TrackedRun
from bayes_scaling.tables import read_table
from bayes_scaling.values import as_array, as_number, as_text, is_missing

__all__ = ["Table", "columns_of"]


class Table(Source):
    """Any file or object that `load_runs` reads; rows that share a ``run_id`` are the steps of one run.

    Steps are taken in the order of a column ``step``, where there is one, else of the rows. A cell that is empty is no
    point of a metric.
    """

    name: ClassVar[str] = "table"

    def read(self, source: Any, query: Query) -> list[TrackedRun]:
        """A run for every id, or for every row where there are none."""
        cells = columns_of(source)
        columns = {ours: theirs for theirs, ours in query.columns.items()}
        run_column = next((name for name in (columns.get("run_id"), "run_id", "run") if name in cells), None)
        count = len(next(iter(cells.values()), ()))
        ids = [as_text(value).strip() for value in cells[run_column]] if run_column else [""] * count
        rows: dict[str, list[int]] = {}
        for i, run_id in enumerate(ids):
            rows.setdefault(run_id or f"run-{i + 1:04d}", []).append(i)
        if steps := cells.get(columns.get("step", "step")):
            for of_run in rows.values():
                of_run.sort(key=lambda i: _order(steps[i]))
        return [_run(run_id, of_run, cells) for run_id, of_run in rows.items()]


def columns_of(source: Any) -> dict[str, list[Any]]:
    """The values of a table by column, recognised, None where a cell is empty."""
    table = read_table(source)
    cells: dict[str, list[Any]] = {}
    for name, values in table.columns.items():
        typed = as_array(values, untyped=table.untyped and name not in table.quoted).tolist()
        # what is missing became NaN, which as a metric's value has a meaning of its own
        cells[name] = [
            None if raw is None or (isinstance(raw, str) and not raw.strip()) else value
            for raw, value in zip(values, typed, strict=True)
        ]
    return cells


def _order(step: Any) -> float:
    number = as_number(step)
    return -1.0 if number is None or is_missing(number) else number


def _run(run_id: str, rows: Sequence[int], cells: dict[str, list[Any]]) -> TrackedRun:
    points = {name: [values[i] for i in rows if values[i] is not None] for name, values in cells.items()}
    last = {name: values[-1] for name, values in points.items() if values}
    return TrackedRun(run_id, {"columns": last}, list(last), lambda metric: points[metric])
