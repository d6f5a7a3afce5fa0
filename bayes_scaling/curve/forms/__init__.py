"""Forms of learning curves by name; a new form is one file with a class that is registered here or by its user."""

from bayes_scaling.curve.forms.base import Form, Quantity
from bayes_scaling.curve.forms.bnsl import BNSL
from bayes_scaling.curve.forms.m1 import M1
from bayes_scaling.curve.forms.m2 import M2
from bayes_scaling.curve.forms.m3 import M3
from bayes_scaling.curve.forms.m4 import M4
from bayes_scaling.errors import InputError

__all__ = ["Form", "Quantity", "get", "names", "register"]

_FORMS: dict[str, Form] = {}


def register(form: type[Form]) -> type[Form]:
    """Make a form known by its ``name``; usable as a class decorator.

    Parameters
    ----------
    form : type of Form

    Returns
    -------
    type of Form
        The class itself.
    """
    _FORMS[form.name] = form()
    return form


def get(name: str) -> Form:
    """The form of that name.

    Raises
    ------
    InputError
        If no form has that name.
    """
    if name not in _FORMS:
        raise InputError(f"form {name!r} is not known; the forms of learning curves are {', '.join(names())}")
    return _FORMS[name]


def names() -> list[str]:
    """Names of all registered forms."""
    return sorted(_FORMS)


for _form in (M1, M2, M3, M4, BNSL):
    register(_form)
