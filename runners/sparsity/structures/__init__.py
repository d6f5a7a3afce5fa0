"""Which weights can be removed together, one structure a file; a new one is one new file in this folder."""

from bayes_scaling.runs import InputError
from runners.registry import load_parts
from runners.sparsity.structures.base import STRUCTURES, TOLERANCE, Structure, register
from runners.sparsity.structures.n_of_m import NofM
from runners.sparsity.structures.unstructured import Unstructured

__all__ = ["TOLERANCE", "NofM", "Structure", "Unstructured", "names", "parse", "register"]

load_parts(__name__, __path__)


def parse(name: str) -> Structure:
    """The structure of that name: ``unstructured``, ``2:4``, ``block:4x4``.

    Raises
    ------
    InputError
        If no structure is called that.
    """
    for structure in STRUCTURES.values():
        if (found := structure.parse(name)) is not None:
            return found
    forms = [s.form if s.form == s.example else f"{s.form} such as {s.example!r}" for s in STRUCTURES.values()]
    raise InputError(f"structure is {name!r}; allowed are {', '.join(sorted(forms))}, and 'dense' at sparsity 0")


def names() -> list[str]:
    """Forms of the names of all registered structures."""
    return sorted(STRUCTURES)
