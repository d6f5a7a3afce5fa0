"""A toctree may name pages that are not there yet; a page that no toctree names is still a warning."""

import re
from pathlib import PurePosixPath

from sphinx.application import Sphinx

TOCTREE = re.compile(r"```\{toctree\}\n.*?```", flags=re.DOTALL)
ENTRY = re.compile(r"^[\w/-]+\n", flags=re.MULTILINE)


def leave_out(app: Sphinx, name: str, source: list[str]) -> None:
    """Drop the entries of toctrees that no page answers to."""
    folder = PurePosixPath(name).parent

    def present(entry: re.Match[str]) -> str:
        return entry[0] if str(folder / entry[0].strip()) in app.env.found_docs else ""

    source[0] = TOCTREE.sub(lambda toctree: ENTRY.sub(present, toctree[0]), source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", leave_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
