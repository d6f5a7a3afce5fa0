"""What the documentation site adds to Sphinx: links, warnings for names that are gone, and pages that are not there."""

import io
import re
from pathlib import Path

import pytest

pytest.importorskip("myst_nb", reason="the site needs Sphinx and MyST-NB: install bayes-scaling[docs]")

from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

DOCS = Path(__file__).resolve().parents[1] / "docs"
OURS = sorted(path.stem for path in (DOCS / "_ext").glob("*.py"))
NOTEBOOK = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# Data

Text.

```{code-cell} ipython3
print(1 / 0)
```
"""
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
"""A picture in PNG, base64."""


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Builds pages of Markdown; returns the main content of each, and the warnings."""
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))

    def built(pages, **settings):
        for name, text in pages.items():
            (tmp_path / f"{name}.md").write_text(text, encoding="utf-8")
        warnings = io.StringIO()
        settings |= {
            "extensions": ["myst_nb", "sphinx.ext.autosummary", *OURS],
            "html_theme": "basic",
            "default_role": "py:obj",
            "nitpicky": True,
        }
        with patch_docutils(tmp_path), docutils_namespace():
            out = tmp_path / "out"
            app = Sphinx(tmp_path, None, out, out / "trees", "html", settings, status=None, warning=warnings)
            app.build()
        pages = {name: (out / f"{name}.html").read_text(encoding="utf-8") for name in pages}
        main = {
            name: re.search(r'<div class="body".*?<div class="clearer">', page, re.DOTALL)
            for name, page in pages.items()
        }
        return {name: found[0] for name, found in main.items() if found}, warnings.getvalue()

    return built


def toctree(*names):
    return "```{toctree}\n:hidden:\n\n" + "".join(f"{name}\n" for name in names) + "```\n"


def test_identifiers_become_links_where_they_are_text(build):
    pages, warnings = build({"index": "# Start\n\nHoffmann et al., arXiv:2203.15556, and `arXiv:2309.08520`.\n"})
    assert not warnings
    assert re.findall(r'href="(https://arxiv[^"]*)"[^>]*>([^<]*)<', pages["index"]) == [
        ("https://arxiv.org/abs/2203.15556", "arXiv:2203.15556")
    ]


def test_a_link_that_reads_as_a_file_gets_the_title_of_its_page(build):
    pages, warnings = build(
        {
            "index": f"# Start\n\nSee [costs.md](costs.md), or [here](costs.md).\n\n{toctree('costs')}",
            "costs": "# Cost models\n\nText.\n",
        }
    )
    assert not warnings
    assert "costs.md" not in re.sub(r"<[^>]*>", "", pages["index"])
    assert "Cost models" in pages["index"]
    assert ">here<" in pages["index"]


def test_a_toctree_may_name_a_page_to_come(build):
    _, warnings = build({"index": f"# Start\n\n{toctree('costs', 'to_come')}", "costs": "# Costs\n"})
    assert not warnings


def test_a_page_that_no_toctree_names_is_a_warning_unless_one_takes_the_rest(build):
    pages = {"index": f"# Start\n\n{toctree('costs')}", "costs": "# Costs\n", "new": "# New\n"}
    _, warnings = build(pages)
    (warning,) = warnings.splitlines()
    assert "new.md: WARNING: document isn't included in any toctree" in warning
    _, warnings = build(pages | {"index": f"# Start\n\n{toctree('costs', '...')}"})
    assert not warnings


@pytest.mark.parametrize("target", ["gone.md", "costs.md#gone", "#gone", "../gone.py"])
def test_a_link_to_nowhere_is_a_warning(build, target):
    _, warnings = build(
        {"index": f"# Start\n\nSee [this]({target}).\n\n{toctree('costs')}", "costs": "# Costs\n"},
        myst_heading_anchors=2,
    )
    assert "myst.xref_missing" in warnings


def test_a_name_that_is_gone_is_a_warning_and_an_argument_is_not(build):
    text = "# Start\n\n```{eval-rst}\nSee `bayes_scaling.fit`, `prob`, and `bayes_scaling.gone`.\n```\n"
    _, warnings = build({"index": text})
    (warning,) = warnings.splitlines()
    assert "reference target not found: bayes_scaling.gone" in warning


def test_a_tutorial_whose_data_are_not_at_hand_says_so_and_is_not_executed(build):
    pages, warnings = build(
        {"index": f"# Start\n\n{toctree('data')}", "data": NOTEBOOK}, nb_execution_excludepatterns=["data*"]
    )
    assert not warnings
    assert pages["data"].index("Data") < pages["data"].index("was not executed") < pages["data"].index("Text.")
    assert "ZeroDivisionError" not in pages["data"]


def test_a_picture_that_a_cell_draws_says_what_it_shows(build):
    cell = (
        '---\nmystnb:\n  image:\n    alt: "A red square"\n---\n'
        'from IPython.display import Image, display\nimport base64\ndisplay(Image(base64.b64decode("' + PIXEL + '")))'
    )
    pages, warnings = build(
        {"index": NOTEBOOK.replace("print(1 / 0)", cell)}, nb_execution_mode="force", nb_execution_raise_on_error=True
    )
    assert not warnings
    assert re.findall(r'<img alt="([^"]*)"', pages["index"]) == ["A red square"]


CELLS = [
    pytest.param(cell, id=f"{path.stem}: {cell.splitlines()[-1][:40]}")
    for path in sorted((DOCS / "tutorials").glob("*.md"))
    for cell in re.findall(
        r"^```\{code-cell\}.*?\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    if re.search(r"\bplot_\w+\(|plt\.subplots\(", cell)
]


@pytest.mark.parametrize("cell", CELLS)
def test_every_picture_of_the_tutorials_has_a_text_for_those_who_do_not_see_it(cell):
    assert re.match(r'---\nmystnb:\n  image:\n    alt: "[^"\n]{30,}"\n---\n', cell)
