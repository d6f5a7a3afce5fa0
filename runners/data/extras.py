"""Libraries that come with the extra `runners` only."""

import importlib
from typing import Any

from bayes_scaling.runs import InputError

__all__ = ["need"]


def need(library: str, purpose: str) -> Any:
    """Import a library, or say in one sentence what it is needed for and how to get it."""
    try:
        return importlib.import_module(library)
    except ImportError as error:
        top = library.partition(".")[0]
        raise InputError(
            f"{purpose} needs the library {top!r}, which is not installed: pip install 'bayes-scaling[runners]'"
        ) from error
