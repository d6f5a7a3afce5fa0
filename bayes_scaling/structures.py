"""Names of sparsity structures."""

import re

__all__ = ["n_of_m", "pattern_sparsity"]


def n_of_m(structure: str) -> tuple[int, int] | None:
    """The n and m of an n:m pattern (n non-zero weights in each m), or None for any other structure."""
    found = re.fullmatch(r"(\d+):(\d+)", structure)
    return (int(found[1]), int(found[2])) if found else None


def pattern_sparsity(structure: str) -> float | None:
    """The one sparsity that a structure can have, 1 - n/m, or None where it is free."""
    pattern = n_of_m(structure)
    return None if pattern is None else 1 - pattern[0] / pattern[1]
