import tracemalloc
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr
from helpers import closed_form, dense_optimal_flops, over_draws, paper_loss, random_coefficients
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from bayes_scaling import laws
from bayes_scaling.decide import costs, inverse, optimum
from bayes_scaling.decide.inverse import invert, solvable
from bayes_scaling.decide.optimum import LARGEST, optima, optimum_of
from bayes_scaling.decide.question import Question
from bayes_scaling.decide.search import END, search
from bayes_scaling.laws.sparse import Sparse

SPARSE, COUPLED, DEFAULT = (laws.get(name) for name in ("sparse", "coupled", "sparse+coupled"))
SIZE = 1e9

seeds = st.integers(0, 2**32 - 1)
decades = st.floats(-4, 8)
schedules = st.builds(
    lambda a, b, power: costs.Gradual(min(a, b), max(a, b), power),
    st.floats(0, 0.99), st.floats(0.001, 0.99), st.floats(0.5, 8),
)  # fmt: skip
"""A ramp that is over before a thousandth of training leaves sparsity free but for the last digits of its cost."""


def asked(k, times, cost, law=SPARSE):
    """A question with a budget of each draw's own, and the coefficients."""
    budget = xr.DataArray((times * dense_optimal_flops(SIZE, **k))[None], dims=("chain", "draw"))
    at = over_draws(k | ({} if law is SPARSE else {"k": np.linspace(0.4, 1.7, len(k["b_N"]))}))
    return law, at, Question.of(SIZE, budget, cost)


def root(k, i, budget, schedule):
    """The optimum of one draw under a polynomial schedule, from the stationarity condition written out."""
    c = {name: value[i] for name, value in k.items()}
    final = 1 - schedule.end
    ramp, share = schedule.end - schedule.start, schedule.power / (schedule.power + 1)

    def condition(t):
        S = -np.expm1(-t)
        density = schedule.start + ramp * (1 - share * S) + final * (1 - S)
        times = density / (1 - S)
        # d log m / dt = S' (-(ramp share + final) / density + 1 / (1 - S)) with S' = 1 - S
        slope = 1 - (1 - S) * (ramp * share + final) / density
        data = budget / (6 * SIZE) / times
        size_term = c["b_S"] * c["a_S"] * (1 - S) ** c["b_S"] * SIZE ** -c["b_N"]
        return size_term - c["b_D"] * (c["a_D"] / data) ** c["b_D"] * slope

    if condition(0.0) <= 0:
        return 0.0
    return LARGEST if condition(END) >= 0 else -np.expm1(-brentq(condition, 0, END, xtol=1e-14, rtol=1e-14))


@settings(max_examples=25, deadline=None)
@given(seed=seeds, decades=decades)
def test_the_closed_form_to_the_ninth_digit(seed, decades):
    k = random_coefficients(seed)
    law, at, question = asked(k, 10**decades, "dense")
    t = invert(law, at, question)
    expected = np.minimum(closed_form(SIZE, question.train_flops.to_numpy()[0], **k), LARGEST)
    np.testing.assert_allclose(-np.expm1(-t.to_numpy()[0]), expected, atol=1e-11)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, decades=decades, schedule=schedules)
def test_roots_of_the_stationarity_condition(seed, decades, schedule):
    k = random_coefficients(seed, 60)
    law, at, question = asked(k, 10**decades, schedule)
    found = optimum_of(law, at, question, "unstructured").to_numpy()[0]
    expected = [root(k, i, float(question.train_flops[0, i]), schedule) for i in range(60)]
    np.testing.assert_allclose(found, expected, atol=2e-9)


@settings(max_examples=15, deadline=None)
@given(seed=seeds, decades=st.floats(-3, 4), schedule=schedules)
def test_the_search_finds_the_same(seed, decades, schedule):
    law, at, question = asked(random_coefficients(seed, 60), 10**decades, schedule)
    t, several = search(law, at, question)
    found = optimum_of(law, at, question, "unstructured")
    assert not several.any()
    here, there = question.loss(law, at, found), question.loss(law, at, -np.expm1(-t))
    np.testing.assert_allclose(here, there, rtol=1e-11)  # how far the search sees where losses are flat
    sharp = (t < 6).to_numpy()  # nearer to 1, losses differ by less than their rounding
    np.testing.assert_allclose(found.to_numpy()[sharp], -np.expm1(-t.to_numpy()[sharp]), atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, decades=st.floats(-2, 3))
@pytest.mark.parametrize("cost", ["gradual", "dense"])
def test_laws_that_add_the_same_terms_have_the_same_optimum(cost, seed, decades):
    k = random_coefficients(seed, 60)
    expected = optimum_of(*asked(k, 10**decades, cost), "unstructured")
    for law in (COUPLED, DEFAULT):
        arguments = asked(k, 10**decades, cost, law)
        assert solvable(law, arguments[2])
        found = optimum_of(*arguments, "unstructured")
        np.testing.assert_allclose(found, expected, atol=1e-12)
        t, _ = search(*arguments)
        loss = arguments[2].loss(law, arguments[1], found)
        np.testing.assert_allclose(loss, arguments[2].loss(law, arguments[1], -np.expm1(-t)), rtol=1e-11)


@pytest.mark.parametrize("cost", ["gradual", "dense", "static"])
@pytest.mark.parametrize("steep", [15.0, 70.0, 1000.0])
def test_slopes_that_vanish_are_no_warning(cost, steep):
    k = random_coefficients(0, 60)
    k["b_S"] = np.full_like(k["b_S"], steep)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = optimum_of(*asked(k, 1e2, cost), "unstructured")
    assert np.isfinite(found).all()


@pytest.mark.parametrize("steep", [15.0, 70.0, 1000.0])
def test_draws_whose_sparsity_hardly_matters(steep):
    """Runs that cannot tell b_S leave draws of it in the tens, whose slope vanishes to the last float."""
    k = random_coefficients(6, 60)
    k["b_S"] = np.where(np.arange(60) % 7 == 3, steep, k["b_S"])
    law, at, question = asked(k, 3.0, "dense")
    expected = np.minimum(closed_form(SIZE, question.train_flops.to_numpy()[0], **k), LARGEST)
    np.testing.assert_allclose(-np.expm1(-invert(law, at, question).to_numpy()[0]), expected, atol=1e-10)


def test_sizes_and_budgets_that_vary_together():
    k = random_coefficients(1, 30)
    at = over_draws(k)
    sizes = xr.DataArray([1e7, 1e9, 1e11], dims="plan")
    budgets = xr.DataArray(np.outer([1, 30], 6 * 20 * sizes.to_numpy() ** 2), dims=("times", "plan"))
    question = Question.of(sizes, budgets)
    found = optimum_of(SPARSE, at, question, "unstructured")
    for i, size in enumerate(sizes.to_numpy()):
        for j in range(2):
            one = optimum_of(SPARSE, at, Question.of(size, float(budgets[j, i])), "unstructured")
            np.testing.assert_allclose(found.isel(plan=i, times=j), one, atol=1e-13)


@dataclass(frozen=True)
class Jump(costs.Cost):
    name = "jump"
    reference = "none"

    def multiplier(self, sparsity):
        return costs.Gradual().multiplier(sparsity) * (1 - 0.2 * (sparsity > 0))


@dataclass(frozen=True)
class Bent(costs.Cost):
    name = "bent"
    reference = "none"

    def multiplier(self, sparsity):
        return np.maximum(1 / (1 - sparsity) ** 0.5, 0.5 / (1 - sparsity))


@dataclass(frozen=True)
class Other(Sparse):
    name = "other"

    def loss(self, sparsity, nonzero_params, data_seen, pretrain_data=0.0, **coefficients):
        plain = super().loss(sparsity, nonzero_params, data_seen, pretrain_data, **coefficients)
        return plain + 0.05 * sparsity**2


@dataclass(frozen=True)
class Broken(Sparse):
    """A law whose terms are not what `terms` promises."""

    name = "broken"
    by: str = "data"

    def loss(self, sparsity, nonzero_params, data_seen, pretrain_data=0.0, *, c, **coefficients):
        size, data = self.terms(sparsity, nonzero_params, data_seen, pretrain_data, **coefficients)
        return size + data + c

    def terms(self, sparsity, nonzero_params, data_seen, pretrain_data=0.0, **coefficients):
        size, data = super().terms(sparsity, nonzero_params, data_seen, pretrain_data, **coefficients)
        if self.by == "data":
            return size, data + 0.1 * (coefficients["a_D"] / data_seen) ** 0.1
        return size + 0.1 * (1 - sparsity) * nonzero_params**-0.01, data


@pytest.mark.parametrize("by", ["data", "size"])
def test_terms_of_another_form_are_noticed(by):
    law, at, question = asked(random_coefficients(7, 40), 3.0, "gradual", Broken(by=by))
    at = {name: value for name, value in at.items() if name != "k"}
    assert solvable(law, question)
    assert invert(law, at, question) is None
    found = optimum_of(law, at, question, "unstructured")
    for other in (0.95 * found, 1 - 0.95 * (1 - found)):
        assert (question.loss(law, at, found) <= question.loss(law, at, other)).all()


def test_what_has_no_explicit_inverse_is_searched():
    k = random_coefficients(2, 50)
    law, at, question = asked(k, 3.0, "gradual")
    assert solvable(law, question)
    assert not solvable(Other(), question)  # another loss has other terms
    assert not solvable(law, asked(k, 3.0, Jump())[2])
    served = Question.of(SIZE, 1e24, costs.Dense(), serve_tokens=1e12)
    assert not solvable(law, served)
    assert solvable(law, Question.of(SIZE, 1e24, costs.Gradual(), serve_tokens=1e12))
    assert invert(*asked(k, 3.0, Bent())) is None
    density = np.linspace(0, END, 40_001)
    grid = -np.expm1(-density)[:, None]
    for law, cost, extra in ((SPARSE, Jump(), 0.0), (SPARSE, Bent(), 0.0), (Other(), costs.Gradual(), 0.05)):
        question = asked(k, 3.0, cost)[2]
        budget = question.train_flops.to_numpy()[0]
        losses = paper_loss(grid, SIZE, budget / (6 * SIZE) / cost.multiplier(grid), **k) + extra * grid**2
        best = losses.argmin(axis=0)
        found = optimum_of(law, at, question, "unstructured").to_numpy()[0]
        here = paper_loss(found, SIZE, budget / (6 * SIZE) / cost.multiplier(found), **k) + extra * found**2
        assert (here <= losses.min(axis=0) + 1e-9).all()
        sharp = best < 20_000
        assert sharp.sum() > 25
        np.testing.assert_allclose(found[sharp], grid[best[sharp], 0], atol=1e-3)


def test_a_table_that_misses_is_not_used(monkeypatch):
    arguments = asked(random_coefficients(3, 50), 3.0, "gradual")
    expected = optimum_of(*arguments, "unstructured")
    monkeypatch.setattr(inverse, "NODES", 9)
    assert invert(*arguments) is None
    np.testing.assert_allclose(optimum_of(*arguments, "unstructured"), expected, atol=1e-5)


def test_free_sparsity_has_no_end():
    law, at, question = asked(random_coefficients(4, 50), 1.0, "static")
    best, several = optima(law, at, question, "unstructured")
    assert (best == LARGEST).all()
    assert not several.any()


COSTS = (costs.Gradual(), Bent())
"""One that is inverted and one that is searched."""


@pytest.mark.parametrize("cost", COSTS)
def test_chunks_change_nothing_and_bound_memory(cost, monkeypatch):
    k = {name: value.reshape(2, 100) for name, value in random_coefficients(5, 200).items()}
    at = {name: xr.DataArray(value, dims=("chain", "draw")) for name, value in k.items()}
    own = xr.DataArray(np.geomspace(1e19, 1e25, 100), dims="draw")

    def peak(budgets):
        tracemalloc.start()
        best = optimum_of(SPARSE, at, Question.of(SIZE, budgets, cost), "unstructured")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return best, most

    for budgets in (np.geomspace(1e18, 1e26, 100), own):
        monkeypatch.setattr(optimum, "CHUNK", 500_000)
        whole, at_once = peak(budgets)
        monkeypatch.setattr(optimum, "CHUNK", 1000)
        parts, in_parts = peak(budgets)
        assert whole.dims == parts.dims
        np.testing.assert_allclose(whole, parts, atol=1e-12)
        if whole.size > 10_000:
            assert in_parts < 0.25 * at_once
