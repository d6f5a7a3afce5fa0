"""How a sweep tells where it stands: a bar where a person looks on, lines in a log elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bayes_scaling.cli.app import say

__all__ = ["SweepTeller"]

QUIET_SECONDS = 60.0
"""Between lines where no run ends."""


class SweepTeller:
    """Called with `runners.sweep.Progress`; a context manager."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._said = time.monotonic()
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:.0f}% of FLOPs"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task("starting", total=1.0)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, where: Any) -> None:
        """Tell of a run that ended, or now and then that all is well."""
        if self._bar is not None:
            share = where.flops / where.all_flops if where.all_flops else 1.0
            left = "" if where.seconds_left is None else f", {where.seconds_left / 60:.0f} min left"
            failed = f", {where.failed} failed" if where.failed else ""
            line = f"{where.done} done, {where.running} running, {where.remaining} to go{failed}{left}"
            self._bar.update(self._task, completed=share, description=line)
            if where.run_id is not None:
                loss = "no loss" if where.loss is None else f"{where.loss:.4f}"
                self._bar.console.print(f"{where.run_id}: {loss}", highlight=False)
        elif where.run_id is not None or time.monotonic() - self._said > QUIET_SECONDS:
            say(where)
            self._said = time.monotonic()
