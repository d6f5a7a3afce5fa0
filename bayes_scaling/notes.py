"""Coded notes: what a reader of a table, a posterior or an answer should know, for people and for programs."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

__all__ = ["Note", "read_notes", "write_notes"]

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True)
class Note:
    """One thing worth knowing.

    Attributes
    ----------
    code : str
        Stable, in snake case, for programs to switch on; ``docs/trust.md`` says what each means and what to do.
    severity : {"info", "warning", "error"}
        ``info`` explains, ``warning`` limits what may be concluded, ``error`` says not to trust the result.
    message : str
        One sentence for people.
    about : dict of str
        What it is about, for programs: ``modality``, ``structure``, ``column``, ``run_id``, ….
    numbers : dict of float
        What the sentence rests on, for programs.
    """

    code: str
    severity: Severity
    message: str
    # Notes are keys of dicts, which dicts cannot be; equality still looks at all that a note says.
    about: Mapping[str, str] = field(default_factory=dict, hash=False)
    numbers: Mapping[str, float] = field(default_factory=dict, hash=False)

    def _repr_html_(self) -> str:
        from bayes_scaling.display import notes_view
        from bayes_scaling.html import html

        return html(notes_view([self]))

    def to_dict(self) -> dict[str, Any]:
        """The note as plain JSON: ``about`` and ``numbers`` only where it has them, and only finite numbers."""
        finite = {name: float(value) for name, value in self.numbers.items() if math.isfinite(value)}
        about = {name: str(value) for name, value in self.about.items()}
        more = {"about": about, "numbers": finite}
        return {"code": self.code, "severity": self.severity, "message": self.message} | {
            name: value for name, value in more.items() if value
        }


def read_notes(attrs: Mapping[Any, Any]) -> list[Note]:
    """The notes that `write_notes` left in the attributes of a Dataset or DataTree.

    Files of earlier versions have notes without ``about`` and ``numbers``; keys that later versions add are left out.
    """
    known = {entry.name for entry in fields(Note)}
    return [
        Note(**{key: value for key, value in note.items() if key in known})
        for note in json.loads(attrs.get("notes", "[]"))
    ]


def write_notes(attrs: dict[Any, Any], notes: Iterable[Note]) -> None:
    """Store notes in attributes as JSON, which survives NetCDF and Zarr; a repeated note is kept once."""
    attrs["notes"] = json.dumps([note.to_dict() for note in dict.fromkeys(notes)])
