"""From the knobs of a configuration to the parts that they set."""

from dataclasses import fields
from typing import TYPE_CHECKING

from runners.sparsity import methods, schedules
from runners.sparsity.methods import Method
from runners.sparsity.schedules import Schedule

if TYPE_CHECKING:
    from runners.config import RunConfig

__all__ = ["METHOD_KNOBS", "method_of", "schedule_of"]

METHOD_KNOBS = {
    "every": "update_every",
    "end": "update_end",
    "fraction": "update_fraction",
    "decay": "srste_decay",
    "batches": "snip_batches",
    "rank": "pst_rank",
}
"""Settings of methods, and the knobs that they are set by."""


def schedule_of(config: "RunConfig") -> Schedule:
    """When weights go."""
    knobs = {
        "start": config.prune_start,
        "end": config.prune_end,
        "power": config.prune_power,
        "every": config.prune_every,
        "at": config.prune_start,
    }
    known = {field.name for field in fields(schedules.get(config.schedule))}
    return schedules.get(config.schedule, **{name: value for name, value in knobs.items() if name in known})


def method_of(config: "RunConfig") -> Method:
    """Which weights go."""
    knobs = {"seed": config.seed} | {setting: getattr(config, name) for setting, name in METHOD_KNOBS.items()}
    known = {field.name for field in fields(methods.get(config.method))}
    return methods.get(config.method, **{name: value for name, value in knobs.items() if name in known})
