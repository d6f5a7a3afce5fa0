"""Links as a site has them: `arXiv:2309.08520` becomes one, and one that reads `model.md` gets the page's title."""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

IDENTIFIER = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
FILE = re.compile(r"([\w-]+)\.md")
LEFT_ALONE = (nodes.reference, nodes.literal, nodes.literal_block, nodes.raw, nodes.title)


class ArxivLinks(SphinxPostTransform):
    """Splits text at identifiers, once all references are resolved."""

    default_priority = 900

    def run(self, **kwargs: Any) -> None:  # noqa: ARG002
        """Replace text nodes that hold an identifier."""
        for text in list(self.document.findall(nodes.Text)):
            if not IDENTIFIER.search(text) or _inside(text):
                continue
            parts: list[nodes.Node] = []
            end = 0
            for found in IDENTIFIER.finditer(text):
                parts += [nodes.Text(text[end : found.start()]), _link(found)]
                end = found.end()
            text.parent.replace(text, [*parts, nodes.Text(text[end:])])


class Titles(SphinxPostTransform):
    """Puts titles in place of file names, which are what a git host's reader goes by."""

    default_priority = 901

    def run(self, **kwargs: Any) -> None:  # noqa: ARG002
        """Replace the text of references to pages."""
        for link in self.document.findall(nodes.reference):
            named = FILE.fullmatch(link.astext())
            if named and (title := self.env.titles.get(named[1])) is not None:
                link.children = [nodes.inline("", title.astext())]


def _inside(text: nodes.Text) -> bool:
    parent = text.parent
    while parent is not None:
        if isinstance(parent, LEFT_ALONE):
            return True
        parent = parent.parent
    return False


def _link(found: re.Match[str]) -> nodes.reference:
    return nodes.reference("", found[0], refuri=f"https://arxiv.org/abs/{found[1]}", internal=False)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_post_transform(ArxivLinks)
    app.add_post_transform(Titles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
