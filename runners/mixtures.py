"""Several corpora in one run: which, with what weights, and which mixtures to try."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bayes_scaling.runs import InputError

__all__ = ["Mixture", "composition", "labels", "mixture_of", "one_at_a_time"]

type Mixture = tuple[tuple[str, float], ...]
"""Corpora and their weights, which sum to one; by the corpora's names."""

TOLERANCE = 1e-6
"""Of the sum of the weights."""


def mixture_of(value: Any) -> Mixture:
    """A mixture from whatever states one.

    Parameters
    ----------
    value : mapping, sequence of pairs, or str
        Weights by corpus; as text (on the command line) a JSON object. A corpus of weight 0 is held out of training,
        and its held-out loss is recorded all the same.

    Raises
    ------
    InputError
        It is nothing of that kind, a weight is no number of at least 0, or the weights do not sum to 1.
    """
    example = "a table of corpora and weights is needed, such as {'stdlib': 0.5, 'my/texts': 0.5}"
    try:
        stated = json.loads(value) if isinstance(value, str) else value
        weights = dict(stated)
    except (TypeError, ValueError) as error:
        raise InputError(f"mixture is {value!r}; {example}") from error
    if not weights or not all(isinstance(corpus, str) and corpus for corpus in weights):
        raise InputError(f"mixture is {value!r}; {example}")
    for corpus, weight in weights.items():
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not 0 <= weight < math.inf:
            raise InputError(f"mixture gives {corpus!r} the weight {weight!r}; a number of at least 0 is needed")
    if abs((total := math.fsum(weights.values())) - 1) > TOLERANCE:
        parts = " + ".join(f"{weight:g}" for weight in weights.values())
        raise InputError(f"mixture has weights that sum to {total:.6g} ({parts}); a sum of 1 is needed")
    return tuple((corpus, float(weights[corpus])) for corpus in sorted(weights))


def labels(mixture: Mixture) -> dict[str, str]:
    """A name for each corpus that a table's column can bear: letters, digits and underscores, no two alike.

    ``stdlib:!test/*`` becomes ``stdlib_not_test``.
    """
    found: dict[str, str] = {}
    for corpus, _ in mixture:
        plain = re.sub(r"[^A-Za-z0-9]+", "_", corpus.replace("!", " not ")).strip("_") or "corpus"
        number = 1 + sum(label == plain or label.startswith(f"{plain}__") for label in found.values())
        found[corpus] = plain if number == 1 else f"{plain}__{number}"
    return found


def one_at_a_time(corpora: Sequence[str], reduced: float = 0.2, increased: float = 3.0) -> list[dict[str, float]]:
    """AutoScale's design: all corpora alike, then each of them with less and with more text than the others.

    Parameters
    ----------
    corpora : sequence of str
        The m corpora, at least two, each once.
    reduced, increased : float
        What the amount of one of them is multiplied by, while the amounts of the others stay.

    Returns
    -------
    list of dict
        2 m + 1 tables of relative amounts by corpus, 1 where nothing is changed; `composition` makes runs of them.

    Raises
    ------
    InputError
        There are fewer than two corpora, one is named twice, or the factors are not 0 < reduced < 1 < increased.

    References
    ----------
    Kang et al., arXiv:2407.20177: three amounts a domain are what its curve (n + a)^-b + c is fitted to.
    """
    if len(corpora) < 2 or len(set(corpora)) < len(corpora):
        raise InputError(f"corpora are {list(corpora)!r}; two or more are needed, each once")
    numbers = all(isinstance(factor, int | float) for factor in (reduced, increased))
    if not numbers or not 0 < reduced < 1 < increased < math.inf:
        raise InputError(
            f"reduced is {reduced!r} and increased is {increased!r}; 0 < reduced < 1 < increased is needed"
        )
    even = dict.fromkeys(corpora, 1.0)
    return [even, *(even | {corpus: factor} for corpus in corpora for factor in (reduced, increased))]


def composition(amounts: Mapping[str, float], data_seen: float) -> tuple[Mixture, int]:
    """The mixture that has relative amounts of each corpus, and how much data it takes.

    Parameters
    ----------
    amounts : mapping of str to float
        Text of each corpus, as a multiple of an equal share of `data_seen`.
    data_seen : float
        Tokens of a run in which all amounts are 1.

    Returns
    -------
    mixture : Mixture
    data_seen : int
        So much that every corpus of amount 1 has as many tokens as ever.
    """
    total = math.fsum(amounts.values())
    mixture = mixture_of({corpus: amount / total for corpus, amount in amounts.items()})
    return mixture, round(data_seen * total / len(amounts))
