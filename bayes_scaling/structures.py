"""Names of sparsity structures."""

import re

from bayes_scaling.errors import InputError

__all__ = ["check_structure", "n_of_m", "pattern_sparsity"]


def n_of_m(structure: str) -> tuple[int, int] | None:
    """The n and m of an n:m pattern (n non-zero weights in each m), or None for any other structure."""
    found = re.fullmatch(r"(\d+):(\d+)", structure)
    return (int(found[1]), int(found[2])) if found else None


def check_structure(structure: str) -> str:
    """The structure itself, if networks can be made sparse that way.

    Raises
    ------
    InputError
        If it is ``dense`` or an impossible pattern.
    """
    pattern = n_of_m(structure)
    if structure == "dense" or (pattern and not 0 < pattern[0] < pattern[1]):
        raise InputError(
            f"structure is {structure!r}; it is unstructured, n:m with 0 < n < m, or another way to be sparse"
        )
    return structure


def pattern_sparsity(structure: str) -> float | None:
    """The one sparsity that a structure can have, 1 - n/m, or None where it is free."""
    pattern = n_of_m(structure)
    return None if pattern is None else 1 - pattern[0] / pattern[1]
