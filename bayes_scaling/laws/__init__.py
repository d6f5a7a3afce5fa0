"""Laws by name; a new law is one file with a class that is registered here or by its user."""

from bayes_scaling.errors import InputError
from bayes_scaling.laws.average import Average
from bayes_scaling.laws.base import Law
from bayes_scaling.laws.constrained import DataConstrained
from bayes_scaling.laws.coupled import Coupled
from bayes_scaling.laws.default import Default
from bayes_scaling.laws.dense import Dense, DenseCoupled
from bayes_scaling.laws.kaplan import Kaplan
from bayes_scaling.laws.levels import Levels
from bayes_scaling.laws.power import Power
from bayes_scaling.laws.routed import Routed
from bayes_scaling.laws.routed_data import RoutedData
from bayes_scaling.laws.sparse import Sparse
from bayes_scaling.laws.sparse_repeated import SparseRepeated

__all__ = ["get", "names", "register"]

_LAWS: dict[str, Law] = {}


def register(law: type[Law]) -> type[Law]:
    """Make a law known by its ``name``; usable as a class decorator.

    Parameters
    ----------
    law : type of Law
        The class, with default priors.

    Returns
    -------
    type of Law
        The class itself.
    """
    _LAWS[law.name] = law()
    return law


def get(name: str) -> Law:
    """The law of that name.

    Raises
    ------
    InputError
        If no law has that name.
    """
    if name not in _LAWS:
        raise InputError(f"law {name!r} is not known; the laws are {', '.join(names())}")
    return _LAWS[name]


def names() -> list[str]:
    """Names of all registered laws."""
    return sorted(_LAWS)


for _law in (
    Sparse,
    Coupled,
    Default,
    Levels,
    Power,
    Average,
    SparseRepeated,
    Dense,
    DenseCoupled,
    Kaplan,
    DataConstrained,
    Routed,
    RoutedData,
):
    register(_law)
