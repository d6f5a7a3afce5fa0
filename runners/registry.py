"""Parts by name: what the packages of schedules, distributions and methods have in common."""

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, ClassVar, Protocol

from bayes_scaling.runs import InputError

__all__ = ["Registry", "load_parts"]


class Named(Protocol):
    """A part: a frozen dataclass whose fields are what a user may set."""

    name: ClassVar[str]


class Registry[Part: Named]:
    """The parts of one kind.

    Parameters
    ----------
    noun : str
        What they are, for errors: ``schedule``.
    """

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._parts: dict[str, type[Part]] = {}

    def register[P: Named](self, part: type[P]) -> type[P]:
        """Make a part known by its ``name``; a class decorator."""
        self._parts[part.name] = part  # type: ignore[assignment]
        return part

    def get(self, name: str, **settings: Any) -> Part:
        """The part of that name, with these settings and defaults for the rest.

        Raises
        ------
        InputError
            If no part has that name, or it has no such setting.
        """
        if name not in self._parts:
            raise InputError(
                f"{self.noun} {name!r} is not known; the {self.noun}s are {', '.join(map(repr, self.names()))}"
            )
        part = self._parts[name]
        known = [field.name for field in fields(part)]  # type: ignore[arg-type]
        for setting in settings:
            if setting not in known:
                raise InputError(
                    f"{self.noun} {name!r} has no setting {setting!r}; it has {', '.join(map(repr, known)) or 'none'}"
                )
        return part(**settings)

    def names(self) -> list[str]:
        """Names of all registered parts."""
        return sorted(self._parts)


def load_parts(package: str, path: Iterable[str]) -> None:
    """Import every module of a package, so that a part is known as soon as its file is there."""
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")
