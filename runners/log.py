"""What happened while a run was trained: one text file a run, ``logs/RUN_ID.log`` in the store."""

import contextlib
import os
import socket
import time
from datetime import datetime
from typing import TYPE_CHECKING

from runners.config import RunConfig
from runners.store import Store

if TYPE_CHECKING:
    from runners.job import Outcome

__all__ = ["RunLog", "log_of"]


def log_of(run_id: str) -> str:
    """Name of a run's log in its store."""
    return f"logs/{run_id}.log"


class RunLog:
    """Lines with their time, written to the store as they come; earlier attempts stay above later ones.

    Parameters
    ----------
    store : Store
        Where it lies.
    config : RunConfig
        The run.
    together : int
        Runs that it trains with, itself included.
    """

    def __init__(self, store: Store, config: RunConfig, together: int = 1) -> None:
        self._store, self._name, self._began = store, log_of(config.run_id), time.monotonic()
        self._together = together
        try:
            self._text = store.folder.read(self._name).decode(errors="replace")
        except OSError:
            self._text = ""

    def say(self, text: str) -> None:
        """Add a line. A store without room keeps no logs, and nothing else suffers."""
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        self._text += f"{now} {socket.gethostname()}[{os.getpid()}] {text}\n"
        with contextlib.suppress(OSError):
            self._store.folder.write(self._name, self._text.encode())

    def step(self, step: int, steps: int, loss: float) -> None:
        """Where the run stands."""
        mean = "mean training loss of all" if self._together > 1 else "training loss"
        self.say(f"step {step:,} of {steps:,}, {mean} {loss:.4f}")

    def end(self, outcome: "Outcome") -> None:
        """What became of it."""
        loss = "" if outcome.loss is None else f", held-out loss {outcome.loss:.4f}"
        error = f": {outcome.error}" if outcome.error else ""
        self.say(f"{outcome.status} after {time.monotonic() - self._began:.0f} s{loss}{error}")
