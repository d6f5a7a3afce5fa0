"""Some of a folder's files, by patterns of their paths."""

from collections.abc import Callable
from fnmatch import fnmatchcase

__all__ = ["chooser"]


def chooser(patterns: str) -> Callable[[str], bool]:
    """Whether a path is one of those that patterns name.

    Parameters
    ----------
    patterns : str
        Separated by commas, as `fnmatch` has them; ``*`` also stands for slashes. A path is chosen that matches one of
        them (or anything, if all begin with ``!``) and none of those after a ``!``.

    Returns
    -------
    callable
        Takes a path relative to the folder, with slashes.
    """
    stated = [pattern for pattern in patterns.split(",") if pattern]
    wanted = [pattern for pattern in stated if not pattern.startswith("!")] or ["*"]
    unwanted = [pattern[1:] for pattern in stated if pattern.startswith("!")]

    def chosen(path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in wanted) and not any(
            fnmatchcase(path, pattern) for pattern in unwanted
        )

    return chosen
