"""What a source of runs is, and what it tells of each run."""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bayes_scaling.errors import InputError

__all__ = ["FINISHED", "Query", "Source", "TrackedRun", "first_line", "flat", "library"]

FINISHED = "finished"


@dataclass(frozen=True)
class TrackedRun:
    """One run as its tracker knows it.

    Attributes
    ----------
    run_id : str
        Unique within the source.
    parts : dict of dict
        Values by name, by where the tracker keeps them: ``config``, ``summary``, …; a name is looked for in this order.
    metrics : sequence of str
        Names of metrics that the run has points of.
    history : callable, optional
        A metric's name to its points, oldest first, as the tracker has them; None where the source keeps no history.
    name : str
        What people call the run; may be repeated.
    state : str
        ``finished``, or what the tracker says instead.
    """

    run_id: str
    parts: Mapping[str, Mapping[str, Any]]
    metrics: Sequence[str] = ()
    history: Callable[[str], Iterable[Any]] | None = None
    name: str = ""
    state: str = FINISHED

    def values(self, name: str) -> Iterator[Any]:
        """Every value of that name, which may say its part: ``config.loss``."""
        for part, values in self.parts.items():
            if name in values:
                yield values[name]
            elif (rest := name.removeprefix(f"{part}.")) != name and rest in values:
                yield values[rest]

    def names(self) -> list[str]:
        """Every name that has a value or points, once."""
        return list(dict.fromkeys([*(name for values in self.parts.values() for name in values), *self.metrics]))


@dataclass(frozen=True)
class Query:
    """What is asked of a source.

    Attributes
    ----------
    columns : dict of str to str
        The source's names to those of the run table.
    filter : str or dict, optional
        Which runs, in the tracker's own language.
    experiments : sequence of str, optional
        Names of experiments; all unless said.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    filter: str | Mapping[str, Any] | None = None
    experiments: Sequence[str] | None = None


class Source:
    """Base of all kinds of sources; one subclass a file.

    Attributes
    ----------
    name : str
        What `import_runs` calls it.
    takes : frozenset of str
        Which of ``filter`` and ``experiments`` it understands.
    """

    name: ClassVar[str]
    takes: ClassVar[frozenset[str]] = frozenset()

    def read(self, source: Any, query: Query) -> Iterable[TrackedRun]:
        """The runs of a source, whatever their state.

        Raises
        ------
        InputError
            If the source is of another kind, does not exist, does not answer or cannot be read, or if the library that
            reads it is not installed.
        """
        raise NotImplementedError


def flat(nested: Mapping[str, Any], start: str = "") -> dict[str, Any]:
    """Nested values by dotted names: ``{"model": {"depth": 4}}`` has ``model.depth``."""
    found: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{start}{key}.")
        else:
            found[f"{start}{key}"] = value
    return found


def library(module: str, extra: str) -> Any:
    """A module of a tracker's library.

    Raises
    ------
    InputError
        If the extra that brings it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"importing from {extra} needs its library, which the extra brings: pip install 'bayes-scaling[{extra}]'"
        ) from error


def first_line(error: Exception) -> str:
    """What a library had to say, short enough for one sentence."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
