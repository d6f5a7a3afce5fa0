"""Families of models by name; a new family is one file, registered here or by its user."""

from bayes_scaling.runs import InputError
from runners.models import decoder, vit
from runners.models.base import Family, Model
from runners.models.shapes import Shape

__all__ = ["Family", "Model", "Shape", "get", "names", "register"]

_FAMILIES: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Make a family known by its name.

    Parameters
    ----------
    family : Family
        How its shapes are solved and its models built.

    Returns
    -------
    Family
        The family itself.
    """
    _FAMILIES[family.name] = family
    return family


def get(name: str) -> Family:
    """The family of that name.

    Raises
    ------
    InputError
        If no family has that name.
    """
    if name not in _FAMILIES:
        raise InputError(f"model {name!r} is not known; the models are {', '.join(names())}")
    return _FAMILIES[name]


def names() -> list[str]:
    """Names of all registered families."""
    return sorted(_FAMILIES)


register(decoder.FAMILY)
register(vit.FAMILY)
