"""Toctrees may name pages that are not there yet; `...` in one stands for every page that none names.

So a page that is added is found by readers at once, and is given its place by whoever writes it.
"""

import re
from pathlib import Path, PurePosixPath

from sphinx.application import Sphinx

TOCTREE = re.compile(r"```\{toctree\}\n.*?```", flags=re.DOTALL)
ENTRY = re.compile(r"^([\w/-]+)\n", flags=re.MULTILINE)
REST = "...\n"


def fill_in(app: Sphinx, name: str, source: list[str]) -> None:
    """Drop the entries that no page answers to, and put the others in place of `...`."""
    folder = PurePosixPath(name).parent

    def present(entry: re.Match[str]) -> str:
        return entry[0] if str(folder / entry[1]) in app.env.found_docs else ""

    source[0] = TOCTREE.sub(lambda toctree: ENTRY.sub(present, toctree[0]), source[0])
    if REST in source[0]:
        source[0] = source[0].replace(REST, "".join(f"{page}\n" for page in _unnamed(app)))


def _unnamed(app: Sphinx) -> list[str]:
    """Pages of the first folder that are in no toctree."""
    pages = {page for page in app.env.found_docs if "/" not in page}
    named = {app.config.root_doc}
    for page in pages:
        text = Path(app.env.doc2path(page)).read_text(encoding="utf-8")
        named |= {entry for toctree in TOCTREE.findall(text) for entry in ENTRY.findall(toctree)}
    return sorted(pages - named)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", fill_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
