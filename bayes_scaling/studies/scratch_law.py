"""A law of dense runs as one part of a study's model: its quantities with their priors, of one modality."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_scaling.errors import InputError
from bayes_scaling.laws import get
from bayes_scaling.laws.base import Independent, Law, Pooled, Rough, Shares

__all__ = ["ALLOWED", "law_of", "quantities_of", "variables_of"]

ALLOWED = ("dense_coupled", "kaplan", "dense")


def law_of(name: str) -> Law:
    """The law of a name that a study can take its losses from scratch from.

    Raises
    ------
    InputError
        If it is none of `ALLOWED`.
    """
    if name not in ALLOWED:
        raise InputError(f"law is {name!r}; the law from scratch is one of {', '.join(ALLOWED)}")
    return get(name)


def variables_of(law: Law, log_rough: Any) -> dict[str, Any]:
    """The law's quantities as variables of the model whose context is open.

    Parameters
    ----------
    law : Law
    log_rough : tensor
        Log of the losses' rough size at the reference point.
    """
    import pymc as pm

    found: dict[str, Any] = {}
    for name, prior in law.priors.items():
        match prior:
            case Rough(sd=sd):
                found[name] = pm.LogNormal(name, log_rough, sd)
            case Shares(terms=terms):
                shares = pm.Dirichlet(name, np.array(prior.concentrations))
                found |= {term: shares[i] for i, term in enumerate(terms)}
            case Pooled(strategy=None, link="log"):  # of one modality: its own scatter and the population's
                found[name] = pm.LogNormal(name, np.log(prior.center), float(np.hypot(prior.sd, prior.spread)))
            case Pooled() | Independent():  # pretraining enters as the study says
                pass
    return found


def quantities_of(law: Law, drawn: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same quantities from draws of the model's variables, over (chain, draw)."""
    found: dict[str, np.ndarray] = {}
    for name, prior in law.priors.items():
        if isinstance(prior, Shares):
            found |= {term: drawn[name][..., i] for i, term in enumerate(prior.terms)}
        elif name in drawn:
            found[name] = drawn[name]
    return found
