"""Files of an installed Python package: source text, headers, whatever it came with."""

import importlib.util
from importlib import metadata
from pathlib import Path

from bayes_scaling.runs import InputError
from runners.data.text.patterns import chooser
from runners.data.text.source import TextSource
from runners.data.text.sources.folders import clean_source, read

__all__ = ["KIND", "open_source"]

KIND = "package"


def open_source(where: str, *, suffix: str, column: str) -> TextSource:  # noqa: ARG001
    """``NAME``, all files of a package that end in `suffix`; or ``NAME/PATTERNS``, those that match.

    Near-duplicates among the files that were chosen are dropped.
    """
    name, _, patterns = where.partition("/")
    root = _folder(name)
    wanted = chooser(patterns or f"*{suffix}")
    files = [path for path in root.rglob("*") if wanted(path.relative_to(root).as_posix()) and path.is_file()]
    if not files:
        raise InputError(
            f"corpus '{KIND}:{where}': the package {name!r} has no files that match {patterns or f'*{suffix}'!r}"
        )
    return clean_source(KIND, f"{KIND}:{where}", map(read, files), {"package": name, "version": _version(name)})


def _folder(name: str) -> Path:
    """Where a package is installed; it is not imported for that."""
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"corpus '{KIND}:{name}': there is no package {name!r} installed here")
    return Path(next(iter(spec.submodule_search_locations)))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # a distribution may have another name than its package
        return "unknown"
