"""A tracked run → a row of the run table, or why it is left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayes_scaling.columns import COLUMNS, CONVERSIONS
from bayes_scaling.errors import InputError
from bayes_scaling.imports.base import FINISHED, TrackedRun
from bayes_scaling.imports.loss_rule import LossRule
from bayes_scaling.values import as_number, is_missing

__all__ = ["LeftOut", "Wanted"]

_LOSSES = ("loss", *CONVERSIONS)
_NEEDED = tuple(column.name for column in COLUMNS if column.needed and column.name != "loss")
# A tracker's status is not ours ("diverged"), and its ids come with its runs.
_OWN = tuple(column.name for column in COLUMNS if column.name not in {"run_id", "loss", "status"})


class LeftOut(Exception):  # noqa: N818 - it is no error
    """Why a run is not in the table, as a part of a sentence."""


@dataclass(frozen=True)
class Wanted:
    """What is to be found in every run.

    Attributes
    ----------
    columns, losses : dict of str to str
        The tracker's names to ours: of any value, and of metrics that the rule is applied to.
    rule : LossRule
    constants : dict
        Values that no run is asked for.
    unfinished : bool
        Whether runs that did not finish are taken.
    implied : frozenset of str
        Names that nobody asked for: they are taken where they are there.
    """

    columns: dict[str, str]
    losses: dict[str, str]
    rule: LossRule
    constants: dict[str, Any]
    unfinished: bool
    implied: frozenset[str]

    @classmethod
    def of(
        cls,
        columns: Mapping[str, str],
        metric: str | None,
        rule: LossRule,
        constants: Mapping[str, Any],
        unfinished: bool,
    ) -> "Wanted":
        """What a user asks for, with our own names added, which need no mapping.

        Raises
        ------
        InputError
            If a column of ours has two sources.
        """
        if metric is not None:
            if columns.get(metric, "loss") != "loss":
                raise InputError(f"metric is {metric!r}, which columns maps to {columns[metric]!r}; say one of them")
            columns = {**columns, metric: "loss"}
        columns = dict(columns)
        if not set(_LOSSES) & {*columns.values(), *constants}:
            columns["loss"] = "loss"
        ours = [*columns.values(), *constants]
        if twice := [name for name in ours if ours.count(name) > 1] + [name for name in constants if name in columns]:
            raise InputError(f"the column {twice[0]!r} is given twice, by columns, metric or constants")
        implied = [name for name in _OWN if name not in ours and name not in columns]
        columns |= {name: name for name in implied}
        return cls(
            {theirs: name for theirs, name in columns.items() if name not in _LOSSES},
            {theirs: name for theirs, name in columns.items() if name in _LOSSES},
            rule,
            dict(constants),
            unfinished,
            frozenset(implied),
        )

    def takes(self, run: TrackedRun) -> bool:
        """Whether a run in its state is of use."""
        return self.unfinished or run.state == FINISHED

    def check_names(self, runs: Sequence[TrackedRun], where: str) -> None:
        """Refuse names that no run has, which are mistakes, before anything is left out for want of them.

        Raises
        ------
        InputError
            If there are such names, or a rule needs a history where none is kept.
        """
        if not runs:
            return
        there = list(dict.fromkeys(name for run in runs for name in run.names()))
        for theirs, ours in self.columns.items():
            known = any(True for run in runs for _ in run.values(theirs))
            if not known and theirs not in self.implied:
                raise InputError(f"{where} has no {theirs!r} in any run (there are: {_listed(there)})")
            if not known and ours in _NEEDED:
                raise InputError(
                    f"{where} has no {ours!r} in any run (there are: {_listed(there)}); "
                    f"if it is there under another name, say columns={{'its name': {ours!r}}} "
                    f"or --column 'its name'={ours}; if it is the same for all, say constants={{{ours!r}: …}} "
                    f"or --constant {ours}=…"
                )
        for theirs in self.losses:
            if not any(theirs in run.metrics or any(True for _ in run.values(theirs)) for run in runs):
                metrics = list(dict.fromkeys(name for run in runs for name in run.metrics)) or there
                raise InputError(
                    f"{where} has no metric {theirs!r} in any run (there are: {_listed(metrics)}); "
                    "metric (--metric) says which one is the held-out loss"
                )
        if self.rule.name != "last" and all(run.history is None for run in runs):
            raise InputError(
                f"{where} holds one value of a metric and not its history, which the loss rule {self.rule.name!r} "
                "needs; import from where the history is, or take the rule last"
            )

    def row(self, run: TrackedRun) -> dict[str, Any]:
        """The run under the tracker's names.

        Raises
        ------
        LeftOut
            If it did not finish, or lacks the metric or a column that is needed.
        """
        if not self.takes(run):
            raise LeftOut(f"not finished ({run.state})")
        row: dict[str, Any] = {"run_id": run.run_id}
        for theirs, ours in self.columns.items():
            value = next((value for value in run.values(theirs) if not (is_missing(value) or value == "")), None)
            if ours in _NEEDED and value is None:
                raise LeftOut(f"without {theirs!r}")
            if ours == "run_id":
                del row["run_id"]
            if value is not None or theirs not in self.implied:
                row[theirs] = value
        row |= {theirs: self._loss(run, theirs) for theirs in self.losses}
        row |= self.constants
        if run.name:
            row.setdefault("run_name", run.name)
        row["loss_rule"] = f"{self.rule.name} {', '.join(self.losses)}"
        return row

    def _loss(self, run: TrackedRun, metric: str) -> float:
        points = [] if run.history is None or metric not in run.metrics else list(run.history(metric))
        numbers = [as_number(point) for point in points]
        if not numbers and self.rule.name == "last":  # a summary's value, which has no history
            numbers = [as_number(value) for value in run.values(metric) if value is not None and value != ""][-1:]
        if not numbers:
            raise LeftOut(f"without {'a history of ' if any(True for _ in run.values(metric)) else ''}{metric!r}")
        if None in numbers:
            raise LeftOut(f"where {metric!r} is no number")
        if len(numbers) < self.rule.points:
            raise LeftOut(f"with fewer points of {metric!r} than {self.rule.name} needs")
        return self.rule([number for number in numbers if number is not None])


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:40]) or "none"
    return f"{shown} and {len(names) - 40} more" if len(names) > 40 else shown
