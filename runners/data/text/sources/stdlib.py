"""The source text of Python's standard library: real text that is on every machine."""

import platform
import sysconfig
from pathlib import Path

from runners.data.text.source import TextSource
from runners.data.text.sources.folders import clean_source, read

__all__ = ["KIND", "open_source", "stdlib_files"]

KIND = "stdlib"


def open_source(where: str, *, suffix: str, column: str) -> TextSource:  # noqa: ARG001
    """Source files of the running Python's own standard library, near-duplicates dropped."""
    return clean_source(KIND, KIND, map(read, stdlib_files()), {"python": platform.python_version()})


def stdlib_files() -> list[Path]:
    """Source files of the standard library, its test package included where present.

    Third-party packages are left out, and so are the files that a build writes about itself.
    """
    root = Path(sysconfig.get_path("stdlib"))
    foreign = {"site-packages", "dist-packages", "__pycache__"}
    return [
        path
        for path in root.rglob("*.py")
        if not foreign & set(path.relative_to(root).parts) and not path.name.startswith("_sysconfigdata")
    ]
