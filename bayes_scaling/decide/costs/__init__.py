"""Cost models by name; a new one is one file with a class that is registered here or by its user."""

import xarray as xr

from bayes_scaling.decide.costs.base import Cost
from bayes_scaling.decide.costs.dense import Dense
from bayes_scaling.decide.costs.gradual import Gradual
from bayes_scaling.decide.costs.hardware import Hardware
from bayes_scaling.decide.costs.measured import Measured
from bayes_scaling.decide.costs.pretrained import Pretrained
from bayes_scaling.decide.costs.static import Static
from bayes_scaling.errors import InputError

__all__ = ["Cost", "Dense", "Gradual", "Hardware", "Measured", "Pretrained", "Static", "get", "names", "register"]

_COSTS: dict[str, type[Cost]] = {}


def register(cost: type[Cost]) -> type[Cost]:
    """Make a cost model known by its ``name``; usable as a class decorator."""
    _COSTS[cost.name] = cost
    return cost


def get(cost: str | Cost, runs: xr.Dataset | None = None) -> Cost:
    """The cost model of that name, or the one given.

    Parameters
    ----------
    cost : str or Cost
    runs : Dataset, optional
        What ``measured`` is measured on.

    Raises
    ------
    InputError
        If no cost model has that name, or ``measured`` has no runs that tell.
    """
    if isinstance(cost, Cost):
        return cost
    if cost not in _COSTS:
        raise InputError(f"cost {cost!r} is not known; the cost models are {', '.join(names())}")
    return _COSTS[cost].of(runs)


def names() -> list[str]:
    """Names of all registered cost models."""
    return sorted(_COSTS)


register(Dense)
register(Gradual)
register(Hardware)
register(Measured)
register(Pretrained)
register(Static)
