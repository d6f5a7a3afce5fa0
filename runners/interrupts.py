"""Ctrl-C and a scheduler's SIGTERM wait for the end of a step, so that a run leaves a checkpoint of where it stands.

Somebody who presses Ctrl-C a second time does not want to wait, and does not.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["RunInterrupted", "interrupts_wait", "stop_asked"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_asked = threading.Event()


class RunInterrupted(KeyboardInterrupt):
    """A run ended before its end, and its checkpoint is written."""


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Within, the first signal is only remembered; `stop_asked` tells.

    Where signals cannot be caught (in a thread that is not the main one) they work as ever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked.clear()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    ours = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]

    def remember(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if _asked.is_set() and number == signal.SIGINT:  # a scheduler may repeat its SIGTERM and still wait
            raise KeyboardInterrupt
        _asked.set()

    try:
        for number in ours:
            signal.signal(number, remember)
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
    if _asked.is_set():  # nothing looked at it: what was asked for still holds
        raise KeyboardInterrupt


def stop_asked() -> bool:
    """Whether a signal is waiting for the end of this step."""
    return _asked.is_set()
