"""The documentation site: `uv run --all-extras sphinx-build -W --keep-going -b html docs build/site`.

Everything comes from this folder and from the package; nothing is fetched but the public runs of one tutorial, and
where they cannot be had, its code is shown without being executed.
"""

import hashlib
import os
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]
os.environ.setdefault("BAYES_SCALING_DATA", str(ROOT.parent / "shared" / "data"))  # where the tests look, too

import bayes_scaling as bs  # noqa: E402

project = "bayes-scaling"
author = "The bayes-scaling developers"
project_copyright = "The bayes-scaling developers, Apache-2.0"
release = metadata.version("bayes-scaling")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "links",
    "known_names",
    "not_executed",
    "toctrees",
]
templates_path = ["_templates"]

# Pages. They are read on a git host too, so nothing but plain Markdown stands in them, toctrees apart.
myst_heading_anchors = 4
highlight_language = "text"
default_role = "py:obj"
nitpicky = True

# The API. Types stand in the docstrings, with shapes and units.
autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# Tutorials are executed, one at a time. What they printed is kept for as long as neither they nor the package change.


def _source() -> str:
    """A fingerprint of all code and data that a tutorial's output hangs on."""
    found = hashlib.sha256()
    for package in ("bayes_scaling", "runners"):
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in {".py", ".csv", ".toml"}:
                found.update(path.read_bytes())
    return found.hexdigest()[:16]


def _has(name: str) -> bool:
    try:
        bs.datasets.load(name)
    except bs.InputError:
        return False
    return True


nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "build" / "tutorials" / _source())
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_output_stderr = "remove"  # progress, and what libraries say of the notebook that they run in
nb_execution_excludepatterns = [] if _has("frantar2023") else ["tutorials/published*"]

# The look.
html_theme = "pydata_sphinx_theme"
html_title = "bayes-scaling"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = True
html_theme_options = {
    "show_prev_next": True,
    "navigation_depth": 2,
    "header_links_before_dropdown": 7,
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc", "sourcelink"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}
html_sidebars = {"index": [], "laws": [], "comparison": []}  # sections of one page
html_context = {"default_mode": "auto"}
