"""Prepared data in the user's cache folder: made once, all of it or nothing, and mapped into memory afterwards."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import platformdirs

__all__ = ["building", "map_array", "place", "root", "stamp"]

FORMAT = 1
"""Goes into every key: to be raised when prepared data comes to mean something else."""


def root() -> Path:
    """The folder that holds everything the runners prepare or fetch."""
    return Path(platformdirs.user_cache_dir("bayes-scaling")) / "data"


def place(kind: str, *key: object) -> Path:
    """The folder of a corpus, by everything that its content depends on."""
    return root() / kind / hashlib.sha256(json.dumps([FORMAT, *key]).encode()).hexdigest()[:16]


def stamp(paths: list[Path]) -> str:
    """A hash of where files are, how long they are and when they changed: their content, without reading it."""
    state = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()


@contextmanager
def building(target: Path) -> Iterator[Path]:
    """An empty folder to fill; it takes the name `target` once the block is done, and goes if the block fails.

    Where another process was faster, its folder stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=target.parent))
    try:
        yield folder
        try:
            os.rename(folder, target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def map_array(path: Path, dtype: str, shape: tuple[int, ...] = (-1,)) -> np.ndarray:
    """A file of numbers as a read-only array that is read from the disk as it is used."""
    if path.stat().st_size == 0:  # nothing to map
        return np.empty(0, dtype).reshape(shape)
    return np.asarray(np.memmap(path, dtype=dtype, mode="r")).reshape(shape)
