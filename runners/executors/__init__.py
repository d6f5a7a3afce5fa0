"""Where the jobs of a sweep run, one executor a file; a new one is one new file in this folder."""

from runners.executors.base import EXECUTORS, Crew, Ended, Executor, Lost
from runners.registry import load_parts

__all__ = ["Crew", "Ended", "Executor", "Lost", "get", "names", "register"]

register, get, names = EXECUTORS.register, EXECUTORS.get, EXECUTORS.names
load_parts(__name__, __path__)
