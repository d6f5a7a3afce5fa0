"""A fingerprint of the source that a run's result hangs on, so that a store shows where the code changed."""

import ast
import functools
import hashlib
from pathlib import Path

__all__ = ["fingerprint"]

RESULTS = (
    *("config.py", "train.py", "build.py", "rates.py", "accounting.py", "evaluate.py", "devices.py", "pretrained.py"),
    *("ensemble.py", "stacked.py", "stacked_adamw.py", "resume.py", "watch.py", "mixtures.py", "noise.py"),
    *("landscape.py", "mup.py", "semi_structured.py", "parallel.py", "shards.py", "models", "data", "sparsity"),
)
"""Files and folders of the runners that decide what a run gives; where and when it is trained is not among them."""


@functools.cache
def fingerprint() -> str:
    """Twelve hexadecimal digits that change when the code of the runners does; comments and docstrings do not count."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted(file for name in RESULTS for file in _files(here / name)):
        digest.update(file.relative_to(here).as_posix().encode())
        digest.update(_bare(file.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:12]


def _files(place: Path) -> list[Path]:
    return list(place.rglob("*.py")) if place.is_dir() else [place]


def _bare(source: str) -> str:
    """The statements of a module and nothing that only people read."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not _is_text(each)] or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
