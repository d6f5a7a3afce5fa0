"""Kinds of sources by name; a new one is one file with a class that is registered here or by its user."""

from bayes_scaling.errors import InputError
from bayes_scaling.imports.base import FINISHED, Query, Source, TrackedRun
from bayes_scaling.imports.mlflow import MLflow
from bayes_scaling.imports.table import Table
from bayes_scaling.imports.tensorboard import TensorBoard
from bayes_scaling.imports.wandb import WandB

__all__ = ["FINISHED", "Query", "Source", "TrackedRun", "get", "names", "register"]

_SOURCES: dict[str, Source] = {}


def register(source: type[Source]) -> type[Source]:
    """Make a kind of source known by its ``name``; usable as a class decorator."""
    _SOURCES[source.name] = source()
    return source


def get(kind: str) -> Source:
    """The kind of source of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    if kind not in _SOURCES:
        raise InputError(f"kind {kind!r} is not known; the kinds of sources are {', '.join(names())}")
    return _SOURCES[kind]


def names() -> list[str]:
    """Names of all registered kinds."""
    return sorted(_SOURCES)


register(MLflow)
register(Table)
register(TensorBoard)
register(WandB)
