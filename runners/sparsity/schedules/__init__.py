"""When weights are removed, one schedule a file; a new one is one new file in this folder."""

from runners.registry import load_parts
from runners.sparsity.schedules.base import SCHEDULES, Schedule
from runners.sparsity.schedules.polynomial import Polynomial

__all__ = ["Polynomial", "Schedule", "get", "names", "register"]

register, get, names = SCHEDULES.register, SCHEDULES.get, SCHEDULES.names
load_parts(__name__, __path__)
