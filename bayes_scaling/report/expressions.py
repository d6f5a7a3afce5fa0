"""Formulas for the page, recorded from the ones in Python: no formula is written a second time.

Laws and cost models use operators and numpy's functions only, so a stand-in for a number that writes down what is done
to it comes out of them as the same formula in JavaScript.
"""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from bayes_scaling.decide.costs import Cost
from bayes_scaling.decide.question import Question
from bayes_scaling.laws.base import Law

__all__ = ["Expression", "cost_formulas", "law_formulas"]

INFIX = {
    np.add: "+", np.subtract: "-", np.multiply: "*", np.true_divide: "/", np.power: "**", np.float_power: "**",
    np.greater: ">", np.less: "<", np.greater_equal: ">=", np.less_equal: "<=",
}  # fmt: skip

FUNCTIONS = {
    np.maximum: "max", np.minimum: "min", np.exp: "exp", np.expm1: "expm1", np.log: "log", np.log1p: "log1p",
    np.log2: "log2", np.log10: "log10", np.sqrt: "sqrt", np.tanh: "tanh", np.abs: "abs",
}  # fmt: skip


class Expression(np.lib.mixins.NDArrayOperatorsMixin):
    """A JavaScript expression, to which operators and numpy's functions add themselves.

    Whatever else is done to it (a branch on its value, a conversion to a float) raises a TypeError: that formula cannot
    be recorded.

    Parameters
    ----------
    text : str
        The expression so far; a name, or enclosed in brackets.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        try:
            texts = [_text(value) for value in inputs]
        except TypeError:
            return NotImplemented
        if method != "__call__" or kwargs:
            return NotImplemented
        if ufunc in INFIX:
            return Expression(f"({texts[0]} {INFIX[ufunc]} {texts[1]})")
        if ufunc in FUNCTIONS:
            return Expression(f"Math.{FUNCTIONS[ufunc]}({', '.join(texts)})")
        return Expression(f"(-{texts[0]})") if ufunc is np.negative else NotImplemented

    def __bool__(self) -> bool:
        raise TypeError("a formula that branches on its value cannot be recorded")


def law_formulas(law: Law, names: Sequence[str]) -> dict[str, str] | None:
    """What a law says of training from scratch, as JavaScript functions; None where it cannot be recorded.

    Parameters
    ----------
    law : Law
    names : sequence of str
        Its coefficients, in the order in which the functions find their draws.

    Returns
    -------
    dict of str
        ``loss`` takes sparsity, non-zero parameters, data, arrays of draws and the number of a draw;
        ``dense_equivalent`` sparsity, arrays and number.
    """
    S, N, D = (Expression(name) for name in "SND")
    draws = {name: Expression(f"c[{j}][i]") for j, name in enumerate(names)}
    try:
        loss = _text(law.loss(S, N, D, 0.0, **draws))
        equivalent = _text(law.dense_equivalent(S, **draws))
    except Exception:  # a law of a user's may fail in any way at what is no number
        return None
    return {"loss": f"(S, N, D, c, i) => {loss}", "dense_equivalent": f"(S, c, i) => {equivalent}"}


def cost_formulas(cost: Cost) -> dict[str, str] | None:
    """What a budget buys under a cost model from scratch, as JavaScript; None where it cannot be recorded.

    Returns
    -------
    dict of str
        ``data_seen`` takes sparsity, non-zero parameters, budget and FLOPs per unit; ``multiplier`` sparsity.
    """
    S, N, C, F = (Expression(name) for name in "SNCF")
    # Question.of would check what has no value here.
    question = Question(N, C, cost, F)  # type: ignore[arg-type]
    try:
        data, multiplier = _text(question.data_seen(S)), _text(cost.multiplier(S))
    except Exception:  # likewise, and a measured cost interpolates
        return None
    return {"data_seen": f"(S, N, C, F) => {data}", "multiplier": f"(S) => {multiplier}"}


def _text(value: Any) -> str:
    if isinstance(value, Expression):
        return value.text
    if not isinstance(value, Real | np.number | np.bool_):
        raise TypeError(f"{type(value).__name__} is no number")
    number = float(value)
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "(-Infinity)"
    return repr(number) if number >= 0 else f"({number!r})"
