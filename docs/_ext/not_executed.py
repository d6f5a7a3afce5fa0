"""A tutorial whose data are not at hand says so, above code that then has no output."""

from fnmatch import fnmatch

from sphinx.application import Sphinx

SAID = (
    "\n:::{admonition} Built without the public runs\n:class: attention\n"
    "The code of this page was not executed: its runs are public, not part of the package, and could not be had where "
    "the site was built. Set `BAYES_SCALING_DATA` to a folder that has `frantar2023/`, or build with a network.\n:::\n"
)


def say(app: Sphinx, name: str, source: list[str]) -> None:
    """Put the sentence below the page's title."""
    if any(fnmatch(name, pattern) for pattern in app.config.nb_execution_excludepatterns):
        title, end, rest = source[0].partition("\n\n")[2].partition("\n")
        head = source[0].partition("\n\n")[0]
        source[0] = f"{head}\n\n{title}{end}{SAID}{rest}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", say)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
