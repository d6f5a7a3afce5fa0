"""What docstrings name in backticks: a link where it has a page, plain where it has none, a warning where it is gone.

Words without a package in front are arguments and attributes, and stay plain.
"""

import pkgutil
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

OURS = ("bayes_scaling.", "runners.")


def plain(app: Sphinx, env: Any, node: nodes.Element, text: nodes.TextElement) -> nodes.TextElement | None:  # noqa: ARG001
    """The text itself, unless it names something of ours that is not there."""
    if node.get("refdomain") != "py" or node.get("reftype") != "obj":
        return None
    name = node["reftarget"]
    if name.startswith(OURS):
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            return None
    return text


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("missing-reference", plain)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
