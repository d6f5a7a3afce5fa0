"""Kinds of sources and tasks: every module of a package is one, so a new kind is one new file."""

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from bayes_scaling.runs import InputError

__all__ = ["kinds", "named", "pick_kind"]


@cache
def kinds(package: str) -> dict[str, ModuleType]:
    """The modules of a package by their `KIND`."""
    path = importlib.import_module(package).__path__
    modules = [importlib.import_module(f"{package}.{info.name}") for info in pkgutil.iter_modules(path)]
    return {module.KIND: module for module in modules}


def pick_kind(package: str, corpus: str, default: str) -> tuple[ModuleType, str]:
    """The kind that a corpus names before its first colon, and what follows; without one, `default` and all of it."""
    kind, _, rest = corpus.partition(":")
    known = kinds(package)
    return (known[kind], rest) if kind in known else (known[default], corpus)


def named(package: str, what: str, name: str) -> ModuleType:
    """The module of that name, or an error that lists the known ones."""
    known = kinds(package)
    if name not in known:
        raise InputError(f"{what} is {name!r}; known are {', '.join(map(repr, sorted(known)))}")
    return known[name]
