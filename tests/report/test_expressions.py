import math
import re

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.laws.base import Law
from bayes_scaling.report.expressions import Expression, cost_formulas, law_formulas


class Math:
    """What JavaScript calls Math, as far as formulas use it."""

    max, min, exp, log, sqrt, abs = max, min, math.exp, math.log, math.sqrt, abs


def run(function, **values):
    """The value of a recorded function: its operators mean the same in Python."""
    body = function.partition("=> ")[2]
    return eval(body, {"Math": Math}, values)


@pytest.mark.parametrize("name", bs.laws.names())
def test_a_recorded_law_is_the_law(name):
    law = bs.laws.get(name)
    names = [n for n in law.coefficients if n != "rho"]
    rng = np.random.default_rng(3)
    draws = rng.uniform(0.2, 1.5, (len(names), 5))
    formulas = law_formulas(law, names)
    if name in ("routed", "routed_data"):  # dense equivalents are functions of size: no explorer
        assert formulas is None
        return
    for i, (S, N, D) in enumerate(
        [(0.0, 2.0, 3.0), (0.5, 1e3, 1e4), (0.9, 1e6, 1e9), (0.3, 7.0, 1e2), (0.99, 4.0, 5.0)]
    ):
        at = dict(zip(names, draws[:, i], strict=True))
        assert run(formulas["loss"], S=S, N=N, D=D, c=draws, i=i) == pytest.approx(law.loss(S, N, D, **at), rel=1e-14)
        assert run(formulas["dense_equivalent"], S=S, c=draws, i=i) == pytest.approx(
            law.dense_equivalent(S, **at), rel=1e-14
        )


@pytest.mark.parametrize(
    "cost",
    [
        bs.costs.Gradual(),
        bs.costs.Gradual(start=0.1, end=0.4, power=1.0),
        bs.costs.Dense(),
        bs.costs.Static(),
        bs.costs.Hardware(speedup={"2:4": 1.3}),
    ],
)
@pytest.mark.parametrize("structure", ["unstructured", "2:4"])
def test_a_recorded_cost_model_buys_the_same_data(cost, structure):
    mine = cost.for_structure(structure)
    formulas = cost_formulas(mine)
    question = bs.decide.question.Question.of(1e6, 1e15, mine, 7.0)
    for S in (0.0, 0.3, 0.75, 0.95):
        assert run(formulas["multiplier"], S=S) == pytest.approx(mine.multiplier(S), rel=1e-14)
        assert run(formulas["data_seen"], S=S, N=1e6, C=1e15, F=7.0) == pytest.approx(
            float(question.data_seen(S)), rel=1e-14
        )


def test_what_a_budget_spends_before_it_buys_data_is_recorded():
    class Upfront(bs.costs.Dense):
        name = "upfront"

        def upfront(self, nonzero_params, sparsity, pretrain_data, flops_per_unit):
            return 100.0 * nonzero_params / (1 - sparsity) + 0.0 * (pretrain_data + flops_per_unit)

    data = cost_formulas(Upfront())["data_seen"]
    assert run(data, S=0.5, N=10.0, C=3000.0, F=6.0) == pytest.approx((3000 - 2000) / 60 / 2)
    assert run(data, S=0.9, N=10.0, C=3000.0, F=6.0) == 0


def test_numpy_functions_are_recorded():
    x = Expression("x")
    assert run(f"=> {np.sqrt(np.maximum(np.exp(-x), 0.5)).text}", x=2.0) == math.sqrt(0.5)


def test_a_cost_that_interpolates_is_not_recorded():
    assert cost_formulas(bs.costs.Measured((0.5,), (1.2,))) is None


@pytest.mark.parametrize("trick", [float, bool, lambda x: math.exp(x), lambda x: x if x > 1 else 0.0])
def test_a_law_that_needs_numbers_is_not_recorded(trick):
    class Odd(Law):
        name = "odd"

        def loss(self, *columns, a):
            return trick(columns[0]) * a

        def dense_equivalent(self, sparsity, *, a):
            return a + 0.0 * sparsity

    assert law_formulas(Odd(), ["a"]) is None


def test_nothing_but_arithmetic_is_recorded():
    law = bs.laws.get("sparse+coupled")
    formula = law_formulas(law, list(law.coefficients))["loss"]
    assert re.fullmatch(r"[-SNDci\[\]0-9.e()+*/=>, ]+", formula)
