"""Who trains what: any number of processes and machines share one store, and each run is trained once.

A claim is a file that only one of several can create. Its holder renews it while it lives. A claim is *stale* when its
holder is known to be dead (same machine, no such process) or has not renewed it for `LEASE` seconds; whoever finds it
so creates the one with the next number, which again only one of several can. Clocks of machines that share a store
should agree to about a minute.
"""

import functools
import json
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runners.store import Store

__all__ = ["BEAT", "LEASE", "Claim", "Claims", "held", "holders"]

BEAT = 20.0
"""Seconds between renewals."""

LEASE = 180.0
"""Seconds without a renewal after which a holder on another machine counts as dead."""


@dataclass(frozen=True)
class Claim:
    """Who holds a run, and where it stands.

    Attributes
    ----------
    machine, host : str
        Where: the host's name for people; with its boot and process namespace, where a process id means something.
    pid, born : int
        The process, and when it started in the system's clock, since ids are used again.
    renewed : float
        When it last said so, in seconds since 1970.
    step, steps : int
        Of the run.
    """

    machine: str
    host: str
    pid: int
    born: int
    renewed: float
    step: int = 0
    steps: int = 0

    def alive(self) -> bool:
        """Whether the holder can be thought to be at work."""
        if self.machine == this_machine():
            return born(self.pid) == self.born
        return time.time() - self.renewed < LEASE


@functools.cache
def this_machine() -> str:
    """What tells machines, boots of one, and containers on one apart."""

    def of(read: Any) -> str:
        try:
            return str(read())
        except OSError:
            return ""

    boot = of(lambda: Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    return f"{socket.gethostname()}/{boot}/{of(lambda: os.readlink('/proc/self/ns/pid'))}"


def born(pid: int) -> int | None:
    """When a process of this machine started, in ticks since boot; None if there is no such process.

    Where the system does not tell (no ``/proc``), 0 for every process that is there.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        try:
            os.kill(pid, 0)
        except OSError:
            return None
        return 0
    state, *rest = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return None if state in "ZX" else int(rest[18])


def holders(store: Store) -> dict[str, Claim]:
    """Runs that somebody is training at the moment, and who."""
    latest: dict[str, int] = {}
    for name in store.folder.names("claims"):
        run_id, number = _parts(name)
        latest[run_id] = max(latest.get(run_id, 0), number)
    contents = store.folder.read_all([_name(run_id, number) for run_id, number in latest.items()])
    claims = {_parts(name)[0]: _parse(content) for name, content in contents.items()}
    return {run_id: claim for run_id, claim in claims.items() if claim is not None and claim.alive()}


class Claims:
    """Runs that this process holds.

    Attributes
    ----------
    run_ids : list of str
        Those it got.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._numbers: dict[str, int] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    @property
    def run_ids(self) -> list[str]:
        """Runs that this process holds."""
        return list(self._numbers)

    def take(self, run_id: str) -> bool:
        """Claim a run; says whether nobody else holds it."""
        numbers = sorted(n for name in self._store.folder.names("claims") for r, n in [_parts(name)] if r == run_id)
        if numbers:
            try:
                holder = _parse(self._store.folder.read(_name(run_id, numbers[-1])))
            except FileNotFoundError:  # let go of since
                return self.take(run_id)
            if holder is not None and holder.alive():
                return False
        number = numbers[-1] + 1 if numbers else 1
        if not self._store.folder.create(_name(run_id, number), self._content(run_id)):
            return False
        for earlier in numbers:
            self._store.folder.delete(_name(run_id, earlier))
        self._numbers[run_id] = number
        return True

    def at(self, run_id: str, step: int, steps: int) -> None:
        """Note where a run stands, for the next renewal."""
        self._places[run_id] = step, steps

    def renew(self) -> None:
        """Say that this process is still at work on all of them."""
        with self._lock:
            for run_id, number in self._numbers.items():
                try:
                    self._store.folder.write(_name(run_id, number), self._content(run_id))
                except OSError:  # a full or unreachable store: the next renewal may find it better
                    return

    def release(self, run_id: str) -> None:
        """Let go of a run."""
        with self._lock:
            number = self._numbers.pop(run_id)
        self._store.folder.delete(_name(run_id, number))

    def _content(self, run_id: str) -> bytes:
        step, steps = self._places.get(run_id, (0, 0))
        pid = os.getpid()
        claim = Claim(this_machine(), socket.gethostname(), pid, born(pid) or 0, time.time(), step, steps)
        return json.dumps(asdict(claim)).encode()


@contextmanager
def held(store: Store, run_ids: Iterable[str]) -> Iterator[Claims]:
    """Claim runs and hold them, as far as nobody else does, until the block ends."""
    claims, ended = Claims(store), threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT):
            claims.renew()

    thread = threading.Thread(target=beat, name="claims", daemon=True)
    try:
        for run_id in run_ids:
            claims.take(run_id)
        thread.start()
        yield claims
    finally:
        ended.set()
        if thread.is_alive():
            thread.join()
        for run_id in claims.run_ids:
            claims.release(run_id)


def _name(run_id: str, number: int) -> str:
    return f"claims/{run_id}.{number}"


def _parts(name: str) -> tuple[str, int]:
    run_id, _, number = name.removeprefix("claims/").rpartition(".")
    return run_id, int(number) if number.isdigit() else 0


def _parse(content: bytes | Exception) -> Claim | None:
    """A claim from its file; None where it cannot be read, as if nobody held the run."""
    if isinstance(content, Exception):
        return None
    try:
        return Claim(**json.loads(content))
    except (ValueError, TypeError):
        return None
