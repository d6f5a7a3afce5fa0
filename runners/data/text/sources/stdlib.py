"""The source text of Python's standard library: real text that is on every machine."""

import platform
import sysconfig
from functools import cache
from pathlib import Path

from bayes_scaling.runs import InputError
from runners.data.text.duplicates import drop_duplicates
from runners.data.text.patterns import chooser
from runners.data.text.source import TextSource
from runners.data.text.sources.folders import clean_source, read, source_of

__all__ = ["KIND", "open_source", "stdlib_files"]

KIND = "stdlib"


def open_source(where: str, *, suffix: str, column: str) -> TextSource:  # noqa: ARG001
    """Source files of the running Python's own standard library, near-duplicates dropped.

    ``stdlib:PATTERNS`` is a part of it, such as ``stdlib:test/*`` or ``stdlib:!test/*``. Near-duplicates are those of
    the whole library, so parts share nothing and a file is held out in every part that has it, or in none.
    """
    facts: dict[str, str | int] = {"python": platform.python_version()}
    if not where:
        return clean_source(KIND, KIND, map(read, stdlib_files()), facts)
    wanted, (kept, every) = chooser(where), _by_path()
    found = [path for path in every if wanted(path)]
    texts = [kept[path] for path in found if path in kept]
    if not texts:
        raise InputError(
            f"corpus '{KIND}:{where}': no file of the standard library here matches; 'stdlib:test/*' and "
            "'stdlib:!test/*' show what patterns look like (some systems leave the tests out)"
        )
    facts |= {"documents_found": len(found), "bytes_found": sum(map(len, texts))}
    return source_of(KIND, f"{KIND}:{where}", texts, facts)


@cache
def _by_path() -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The files that stay by path, a text that is there twice by the first of its paths; and the paths of all."""
    root = Path(sysconfig.get_path("stdlib"))
    texts = {path.relative_to(root).as_posix(): read(path) for path in sorted(stdlib_files())}
    first = {text: path for path, text in reversed(texts.items())}
    return {first[text]: text for text in drop_duplicates(texts.values())}, tuple(texts)


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
