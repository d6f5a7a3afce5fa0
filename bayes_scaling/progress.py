"""Progress of long work: one line on stderr, and only where a person sees it."""

import sys
import time
from types import TracebackType
from typing import Any, Self

__all__ = ["Progress"]


class Progress:
    """Shows what a fit is doing and how far it is; a context manager.

    Parameters
    ----------
    shown : bool
        Whether to show anything; nothing is shown where stderr is no terminal.
    """

    def __init__(self, shown: bool) -> None:
        self._status: Any = None
        if shown and sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status("starting")

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        self._since = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def say(self, stage: str) -> None:
        """Name the stage that begins."""
        if self._status is not None:
            self._status.update(stage)

    def sampling(self, chains: list[Any]) -> None:
        """Report draws done, as nutpie's ``progress_callback``."""
        done = sum(chain.finished_draws for chain in chains)
        total = sum(chain.total_draws for chain in chains)
        diverging = sum(chain.divergences for chain in chains)
        self.say(f"sampling: {done} of {total} draws" + (f", {diverging} divergences" if diverging else ""))
