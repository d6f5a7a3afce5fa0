"""Coded notes: what a reader of a table, a posterior or an answer should know, for people and for programs."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Note", "read_notes", "write_notes"]

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True)
class Note:
    """One thing worth knowing.

    Attributes
    ----------
    code : str
        Stable, in snake case, for programs to switch on.
    severity : {"info", "warning", "error"}
        ``info`` explains, ``warning`` limits what may be concluded, ``error`` says not to trust the result.
    message : str
        One sentence for people.
    """

    code: str
    severity: Severity
    message: str

    def to_dict(self) -> dict[str, str]:
        """The note as plain JSON."""
        return asdict(self)


def read_notes(attrs: Mapping[Any, Any]) -> list[Note]:
    """The notes that `write_notes` left in the attributes of a Dataset or DataTree."""
    return [Note(**note) for note in json.loads(attrs.get("notes", "[]"))]


def write_notes(attrs: dict[Any, Any], notes: Iterable[Note]) -> None:
    """Store notes in attributes as JSON, which survives NetCDF and Zarr; a repeated note is kept once."""
    attrs["notes"] = json.dumps([note.to_dict() for note in dict.fromkeys(notes)])
