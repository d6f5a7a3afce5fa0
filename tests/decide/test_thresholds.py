import numpy as np
import pytest
import xarray as xr
from helpers import codes, dense_optimal_flops, hand_built, over_draws, paper_loss, physical, random_coefficients
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.decide import costs
from bayes_scaling.decide.optimum import optimum_of
from bayes_scaling.decide.question import Question
from bayes_scaling.errors import InputError

SIZE = 1e9
RUN = {
    "modality": "language", "structure": "unstructured", "strategy": "scratch", "sparsity": 0.5,
    "nonzero_params": 1e6, "data_seen": 1e9, "data_unit": "tokens",
}  # fmt: skip
LEVELS = [0.5, 0.75, 0.875]


def posterior_of(k, law="sparse"):
    """A posterior of given draws; under a law that couples, with powers of all sizes."""
    if law != "sparse":
        k = k | {"k": np.linspace(0.4, 1.7, np.size(k["b_N"]))}
    posterior = hand_built(k, [RUN, RUN | {"sparsity": 0.0, "structure": "dense"}])
    posterior.attrs["law"] = law
    return posterior


# relative budgets at which .5, .75 and .875 are optimal, and optimal sparsities at 1, 2, 5 and 10 times the dense
# compute-optimal budget, computed from the coefficients by other means
TABLE = {
    ("vit", "gradual"): ((1.68, 6.56, 25.4), (0.351, 0.543, 0.713, 0.798)),
    ("vit", "dense"): ((4.82, 18.3, 69.2), (0, 0.210, 0.510, 0.658)),
    ("t5", "gradual"): ((2.46, 160, 7.0e3), (0.425, 0.484, 0.553, 0.601)),
    ("t5", "dense"): ((71, 1.7e3, 4.0e4), (0, 0, 0.105, 0.231)),
    ("t5 best", "gradual"): ((2.05, 70, 2.0e3), (0.427, 0.497, 0.579, 0.632)),
    ("t5 best", "dense"): ((14.4, 326, 7.4e3), (0.095, 0.224, 0.367, 0.457)),
}


@pytest.mark.parametrize(("name", "cost"), TABLE)
def test_the_published_coefficients(name, cost):
    ratios, optima = TABLE[name, cost]
    posterior = posterior_of({n: np.array([v]) for n, v in physical(name).items()})
    at = {"modality": "language", "structure": "unstructured"}
    for size in (1e8, 1e10):
        found = bs.budget_for(posterior, size, LEVELS, **at, cost=cost, relative=True).to_numpy().ravel()
        np.testing.assert_allclose(found, ratios, rtol=0.025)  # printed to two or three digits
        dense = float(bs.dense_optimal_flops(posterior, size, "language").squeeze())
        budgets = dense * np.array([1, 2, 5, 10])
        best = bs.optimal_sparsity(posterior, size, budgets, **at, cost=cost).to_numpy().ravel()
        np.testing.assert_allclose(best, optima, atol=1e-3)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), level=st.floats(0.0, 0.99), cost=st.sampled_from(["gradual", "dense"]))
@pytest.mark.parametrize("law", ["sparse", "coupled", "sparse+coupled"])
def test_the_optimum_passes_the_level_at_the_budget(law, seed, level, cost):
    k = random_coefficients(seed, 60)
    posterior = posterior_of(k, law)
    budget = bs.budget_for(posterior, SIZE, level, "language", "unstructured", cost=cost)
    assert budget.dims == ("chain", "draw")
    plain = over_draws(k)
    for times, sign in ((1 - 1e-6, -1), (1.0, 0), (1 + 1e-6, 1)):
        best = optimum_of(laws.get("sparse"), plain, Question.of(SIZE, budget * times, cost), "unstructured")
        if sign == 0:
            np.testing.assert_allclose(best, level, atol=1e-8)
        else:
            assert (sign * (best - level) >= -1e-9).all()
    more = bs.budget_for(posterior, SIZE, min(level + 0.005, 0.995), "language", "unstructured", cost=cost)
    assert (more > budget).all()


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize(("structure", "fixed"), [("2:4", 0.5), ("1:4", 0.75)])
@pytest.mark.parametrize("cost", ["gradual", "dense"])
def test_the_budget_from_which_a_pattern_beats_dense(cost, structure, fixed, seed):
    """size(0) + (a_D / D)^b_D = size(S) + (a_D m / D)^b_D, solved for D."""
    k = random_coefficients(seed, 60)
    found = bs.budget_for(posterior_of(k), SIZE, fixed, "language", structure, cost=cost).to_numpy()[0]
    gain = k["a_S"] * SIZE ** -k["b_N"] * (1 - (1 - fixed) ** k["b_S"])
    times = costs.get(cost).multiplier(fixed)
    data = k["a_D"] * ((times ** k["b_D"] - 1) / gain) ** (1 / k["b_D"])
    np.testing.assert_allclose(found, 6 * SIZE * data, rtol=1e-10)


def test_a_pattern_has_one_sparsity():
    posterior = posterior_of(random_coefficients(1, 20))
    found = bs.budget_for(posterior, SIZE, [0.0, 0.3, 0.5, 0.6], "language", "2:4")
    for level in (0.0, 0.3):
        np.testing.assert_array_equal(found.sel(sparsity=level), found.sel(sparsity=0.5))
    assert np.isinf(found.sel(sparsity=0.6)).all()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), decades=st.floats(4, 12))
@pytest.mark.parametrize("law", ["sparse", "coupled"])
def test_the_dense_optimum(law, seed, decades):
    k = random_coefficients(seed, 60)
    size = 10**decades
    found = bs.dense_optimal_flops(posterior_of(k, law), size, "language").to_numpy()[0]
    np.testing.assert_allclose(found, dense_optimal_flops(size, **k), rtol=1e-9)
    here, *there = (paper_loss(0, size * f, found / (6 * size * f), **k) for f in (1.0, 0.98, 1.02))
    assert all((here <= other).all() for other in there)


def test_multiples_do_not_depend_on_the_size():
    posterior = posterior_of(random_coefficients(2, 40))
    for cost in ("gradual", "dense"):
        times = bs.budget_for(posterior, [1e7, 1e9, 1e11], [0.3, 0.8], cost=cost, relative=True)
        assert times.dims == ("chain", "draw", "modality", "structure", "sparsity", "nonzero_params")
        assert times.attrs["units"] == "1"
        for size in (1e7, 1e11):
            np.testing.assert_allclose(times.sel(nonzero_params=size), times.sel(nonzero_params=1e9), rtol=1e-9)
        flops = bs.budget_for(posterior, [1e7, 1e9, 1e11], [0.3, 0.8], cost=cost)
        assert flops.attrs["units"] == "FLOPs"
        dense = bs.dense_optimal_flops(posterior, [1e7, 1e9, 1e11])
        assert dense.dims == ("chain", "draw", "modality", "nonzero_params")
        np.testing.assert_allclose((flops / dense).transpose(*times.dims), times, rtol=1e-12)


def test_costs_without_an_explicit_inverse():
    """A measured cost that is the cubic schedule's at many levels gives nearly its budgets."""
    levels = tuple(np.linspace(0.02, 0.98, 49))
    like_cubic = costs.Measured(levels, tuple(costs.Gradual().multiplier(np.array(levels))))
    posterior = posterior_of(random_coefficients(3, 40))
    at = {"modality": "language", "structure": "unstructured"}
    found = bs.budget_for(posterior, SIZE, [0.3, 0.6], **at, cost=like_cubic)
    np.testing.assert_allclose(found, bs.budget_for(posterior, SIZE, [0.3, 0.6], **at), rtol=0.1)
    for level in (0.3, 0.6):
        best = bs.optimal_sparsity(posterior, SIZE, found.sel(sparsity=level), **at, cost=like_cubic)
        np.testing.assert_allclose(best, level, atol=1e-4)
    assert (bs.budget_for(posterior, SIZE, 0.9, **at, cost="static") == 0).all()  # free, so always
    fast = costs.Hardware(costs.Static(), {"2:4": 2.0})
    assert (bs.budget_for(posterior, SIZE, 0.5, "language", "2:4", cost=fast) == 0).all()


def test_units_of_the_budget():
    posterior = posterior_of(random_coefficients(4, 10))
    for ask in (bs.budget_for, bs.dense_optimal_flops):
        more = (0.5,) if ask is bs.budget_for else ()
        in_patches, in_tokens = (ask(posterior, SIZE, *more, flops_per_unit=unit) for unit in (6 * 196, None))
        np.testing.assert_allclose(in_patches, 196 * in_tokens, rtol=1e-12)


def test_a_real_posterior(simulated):
    """The share of draws above a level at a budget is the share of budgets for that level below it."""
    at = {"modality": "language", "structure": "unstructured"}
    budget = 3 * float(bs.dense_optimal_flops(simulated, 1.6e7, "language").median())
    best = bs.optimal_sparsity(simulated, 1.6e7, budget, **at)
    for level in (0.3, 0.5, 0.6):
        threshold = bs.budget_for(simulated, 1.6e7, level, **at)
        assert float((best >= level).mean()) == pytest.approx(float((threshold <= budget).mean()), abs=1e-3)
    everything = bs.budget_for(simulated, 1.6e7, 0.5)
    assert everything.dims == ("chain", "draw", "modality", "structure")
    assert codes(everything.attrs) == ["unseen_pair", "flops_per_example"]
    assert codes(bs.budget_for(simulated, 1.6e7, 0.5, flops_per_unit=1176).attrs) == ["unseen_pair"]
    assert codes(bs.budget_for(simulated, 1.6e7, 0.5, relative=True).attrs) == ["unseen_pair"]
    np.testing.assert_allclose(everything.sel(at), bs.budget_for(simulated, 1.6e7, 0.5, **at), rtol=1e-12)
    assert isinstance(bs.dense_optimal_flops(simulated, 1.6e7), xr.DataArray)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sparsity": 1.0}, "sparsity is 1.0"),
        ({"sparsity": [0.5, -0.1]}, "sparsity is"),
        ({"sparsity": float("nan")}, "sparsity is nan"),
        ({"nonzero_params": 0}, "nonzero_params"),
        ({"modality": "audio"}, r"audio.*language"),
        ({"structure": "4:2"}, "4:2"),
        ({"cost": "cheap"}, "gradual"),
        ({"cost": "pretrained"}, "pretrain_data"),
        ({"flops_per_unit": 0}, "flops_per_unit"),
    ],
)
def test_questions_that_make_no_sense(arguments, message):
    posterior = posterior_of(random_coefficients(5, 5))
    with pytest.raises(InputError, match=message):
        bs.budget_for(posterior, **{"nonzero_params": 1e9, "sparsity": 0.5} | arguments)
