import numpy as np
import pytest
import xarray as xr
from helpers import closed_form, dense_optimal_flops, hand_built, over_draws, paper_loss, physical, random_coefficients
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.decide import costs
from bayes_scaling.decide.optimum import optimum_of
from bayes_scaling.decide.question import Question
from bayes_scaling.errors import InputError

SPARSE = laws.get("sparse")
RUN = {
    "modality": "language", "structure": "unstructured", "strategy": "scratch", "sparsity": 0.5,
    "nonzero_params": 1e6, "data_seen": 1e9, "data_unit": "tokens",
}  # fmt: skip


def optimum(k, size, budget, cost="gradual", structure="unstructured", **more):
    """Optimum of each draw as an array; budgets may differ between draws."""
    if np.ndim(budget):
        budget = xr.DataArray(np.asarray(budget)[None], dims=("chain", "draw"))
    question = Question.of(size, budget, cost, **more)
    return optimum_of(SPARSE, over_draws(k), question, structure).transpose("chain", "draw", ...).to_numpy()[0]


def losses(k, size, budget, S, cost="gradual"):
    data = budget / (6 * size) / costs.get(cost).multiplier(S)
    return paper_loss(S, size, data, **k)


laws_at_random = {"seed": st.integers(0, 2**32 - 1), "decades": st.floats(-3, 4)}


@settings(max_examples=40, deadline=None)
@given(**laws_at_random)
def test_closed_form_where_training_is_dense(seed, decades):
    k = random_coefficients(seed)
    budget = 10**decades * dense_optimal_flops(1e9, **k)
    found = optimum(k, 1e9, budget, "dense")
    expected = np.minimum(closed_form(1e9, budget, **k), 1 - np.exp(-14))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_closed_form_is_put_to_the_test_on_both_sides():
    k = random_coefficients(0, 2000)
    at = closed_form(1e9, dense_optimal_flops(1e9, **k), **k)
    assert 0.2 < (at == 0).mean() < 0.9


@settings(max_examples=15, deadline=None)
@given(**laws_at_random)
def test_gradual_against_a_fine_grid(seed, decades):
    k = random_coefficients(seed, 40)
    budget = 10**decades * dense_optimal_flops(1e9, **k)
    found = optimum(k, 1e9, budget)
    density = np.linspace(0, 14, 20_001)
    grid = -np.expm1(-density)[:, None]
    over_grid = losses(k, 1e9, budget, grid)
    best = over_grid.argmin(axis=0)
    assert (losses(k, 1e9, budget, found) <= over_grid.min(axis=0) * (1 + 1e-12)).all()
    # where the curve is flat to rounding the grid's argmin means nothing, so closeness is asked where it is curved
    sharp = (over_grid.max(axis=0) / over_grid.min(axis=0) > 1.01) & (best < 18_000)
    np.testing.assert_allclose(-np.log1p(-found)[sharp], density[best][sharp], atol=2 * density[1])


@settings(max_examples=20, deadline=None)
@given(**laws_at_random, factor=st.floats(1e-3, 1e3), cost=st.sampled_from(["dense", "gradual"]))
def test_contours_of_equal_optimum_are_parallel_to_the_dense_optimum(seed, decades, factor, cost):
    k = random_coefficients(seed, 50)
    budget = 10**decades * dense_optimal_flops(1e9, **k)
    here = optimum(k, 1e9, budget, cost)
    there = optimum(k, factor * 1e9, budget * factor ** (1 + k["b_N"] / k["b_D"]), cost)
    np.testing.assert_allclose(there, here, atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(**laws_at_random)
def test_a_larger_budget_never_wants_less_sparsity(seed, decades):
    k = random_coefficients(seed, 50)
    budget = 10**decades * dense_optimal_flops(1e9, **k)
    assert (optimum(k, 1e9, 3 * budget) >= optimum(k, 1e9, budget) - 1e-9).all()


@pytest.mark.parametrize(
    ("name", "cost", "expected"),
    [
        ("vit", "gradual", (0.351, 0.543, 0.713, 0.798)),
        ("vit", "dense", (0, 0.210, 0.510, 0.658)),
        ("t5", "gradual", (0.425, 0.484, 0.553, 0.601)),
        ("t5", "dense", (0, 0, 0.105, 0.231)),
        ("t5 best", "gradual", (0.427, 0.497, 0.579, 0.632)),
        ("t5 best", "dense", (0.095, 0.224, 0.367, 0.457)),
    ],
)
def test_optima_of_the_published_coefficients(name, cost, expected):
    k = physical(name)
    for size in (1e8, 1e10):
        budgets = np.array([1, 2, 5, 10]) * dense_optimal_flops(size, **k)
        found = optimum({c: np.full(4, v) for c, v in k.items()}, size, budgets, cost)
        np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "cost", "ratios"),
    [("vit", "gradual", (1.68, 6.56, 25.4)), ("vit", "dense", (4.82, 18.3, 69.2)), ("t5", "gradual", (2.46, 160)),
     ("t5 best", "gradual", (2.05, 70)), ("t5 best", "dense", (14.4, 326))],
)  # fmt: skip
def test_budgets_at_which_a_level_is_optimal(name, cost, ratios):
    k = physical(name)
    budgets = np.array(ratios) * dense_optimal_flops(1e8, **k)
    found = optimum({c: np.full(len(ratios), v) for c, v in k.items()}, 1e8, budgets, cost)
    np.testing.assert_allclose(found, (0.5, 0.75, 0.875)[: len(ratios)], atol=2e-3)


@pytest.mark.parametrize(("structure", "fixed"), [("2:4", 0.5), ("1:4", 0.75), ("4:8", 0.5), ("1:8", 0.875)])
def test_a_pattern_is_worth_it_or_not(structure, fixed):
    k = random_coefficients(5, 3000)
    budget = dense_optimal_flops(1e9, **k)
    for cost in ("gradual", "dense"):
        found = optimum(k, 1e9, budget, cost, structure)
        better = losses(k, 1e9, budget, fixed, cost) < losses(k, 1e9, budget, 0.0, cost)
        np.testing.assert_array_equal(found, np.where(better, fixed, 0.0))
        assert set(np.unique(found)) <= {0.0, fixed}
        if structure == "2:4":
            assert 0.02 < better.mean() < 0.98


def test_flops_per_unit_is_a_unit_of_the_budget():
    k = random_coefficients(6, 100)
    budget = dense_optimal_flops(1e9, **k)
    np.testing.assert_allclose(
        optimum(k, 1e9, 196 * budget, flops_per_unit=6 * 196), optimum(k, 1e9, budget), atol=1e-9
    )


def test_a_cost_with_settings_of_its_own():
    k = random_coefficients(8, 100)
    budget = dense_optimal_flops(1e9, **k)
    free = optimum(k, 1e9, budget, costs.Gradual(start=0.0, end=0.0))
    assert (free >= optimum(k, 1e9, budget) - 1e-9).all()
    assert (free > 0.999).all()  # where sparsity costs nothing, there is no reason to stop
    np.testing.assert_allclose(
        optimum(k, 1e9, budget, costs.Gradual(1.0, 1.0)), optimum(k, 1e9, budget, "dense"), atol=1e-9
    )


# --- the public function: names, dimensions, broadcasting ------------------------------------------------------------


@pytest.fixture(scope="module")
def posterior():
    return hand_built(random_coefficients(9, 60), [RUN, RUN | {"sparsity": 0.0, "structure": "dense"}])


def test_numbers_give_draws(posterior):
    found = bs.optimal_sparsity(posterior, 1e9, 1e21, modality="language", structure="unstructured")
    assert found.dims == ("chain", "draw")
    assert found.name == "optimal_sparsity"
    assert found.attrs["units"] == "1"
    k = random_coefficients(9, 60)
    np.testing.assert_allclose(found.to_numpy()[0], optimum(k, 1e9, 1e21), atol=1e-9)
    assert ((found >= 0) & (found < 1)).all()


def test_all_modalities_and_structures_unless_said(posterior):
    found = bs.optimal_sparsity(posterior, 1e9, 1e21)
    assert found.dims == ("chain", "draw", "modality", "structure")
    assert found["modality"].to_numpy().tolist() == ["language"]
    assert found["structure"].to_numpy().tolist() == ["unstructured"]
    listed = bs.optimal_sparsity(posterior, 1e9, 1e21, modality=["language"], structure=["2:4", "unstructured"])
    assert listed.dims == ("chain", "draw", "modality", "structure")
    assert listed["structure"].to_numpy().tolist() == ["2:4", "unstructured"]
    assert set(np.unique(listed.sel(structure="2:4"))) <= {0.0, 0.5}
    np.testing.assert_array_equal(listed.sel(structure="unstructured"), found.sel(structure="unstructured"))


def test_sequences_become_dimensions(posterior):
    sizes, budgets = [1e8, 1e9, 1e10], (1e20, 1e22)
    found = bs.optimal_sparsity(posterior, sizes, budgets, "language", "unstructured")
    assert dict(found.sizes) == {"chain": 1, "draw": 60, "nonzero_params": 3, "train_flops": 2}
    assert found["nonzero_params"].to_numpy().tolist() == sizes
    for size in sizes:
        for budget in budgets:
            one = bs.optimal_sparsity(posterior, size, budget, "language", "unstructured")
            np.testing.assert_allclose(found.sel(nonzero_params=size, train_flops=budget), one, atol=1e-12)


def test_arrays_broadcast_by_name(posterior):
    plan = xr.Dataset({"N": ("plan", [1e8, 1e9, 1e10]), "C": ("plan", [1e19, 1e21, 1e23])}, {"plan": ["s", "m", "l"]})
    found = bs.optimal_sparsity(posterior, plan["N"], plan["C"], "language", "unstructured")
    assert dict(found.sizes) == {"chain": 1, "draw": 60, "plan": 3}
    one = bs.optimal_sparsity(posterior, 1e9, 1e21, "language", "unstructured")
    np.testing.assert_allclose(found.sel(plan="m"), one, atol=1e-12)
    crossed = bs.optimal_sparsity(posterior, plan["N"], [1e20, 1e21], "language", "2:4")
    assert dict(crossed.sizes) == {"chain": 1, "draw": 60, "plan": 3, "train_flops": 2}
    per_modality = xr.DataArray([1e9], {"modality": ["language"]}, ["modality"])
    by_group = bs.optimal_sparsity(posterior, per_modality, 1e21)
    assert by_group.dims == ("chain", "draw", "modality", "structure")
    np.testing.assert_allclose(by_group.isel(modality=0, structure=0), one, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nonzero_params": 0}, "nonzero_params"),
        ({"nonzero_params": [1e9, -1]}, "nonzero_params"),
        ({"train_flops": 0}, "train_flops"),
        ({"train_flops": -1e21}, "train_flops"),
        ({"train_flops": float("inf")}, "train_flops"),
        ({"train_flops": float("nan")}, "train_flops"),
        ({"flops_per_unit": 0}, "flops_per_unit"),
        ({"cost": "cheap"}, "gradual"),
        ({"modality": "audio"}, "audio.*language"),
        ({"modality": ["language", "audio"]}, "audio.*language"),
        ({"strategy": "pretrained"}, "pretrain"),
        ({"strategy": "pretrained", "pretrain_data": 1e9}, "pretrained"),
        ({"structure": "4:2"}, "4:2"),
        ({"structure": "0:4"}, "0:4"),
        ({"structure": "2:0"}, "2:0"),
    ],
)
def test_questions_that_make_no_sense(posterior, arguments, message):
    with pytest.raises(InputError, match=message):
        bs.optimal_sparsity(posterior, **{"nonzero_params": 1e9, "train_flops": 1e21} | arguments)


# --- real posteriors -------------------------------------------------------------------------------------------------


def test_draws_are_functions_of_the_draws_coefficients(simulated):
    draws = simulated["posterior"].to_dataset().sel(modality="language", structure="unstructured")
    k = {name: draws[name].to_numpy().ravel() for name in ("a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c")}
    budget = 3 * np.median(dense_optimal_flops(1e9, **k))
    for cost in ("gradual", "dense"):
        found = bs.optimal_sparsity(simulated, 1e9, budget, "language", "unstructured", cost=cost).to_numpy().ravel()
        density = np.linspace(0, 12, 3001)
        grid = -np.expm1(-density)[:, None]
        some = slice(None, None, 97)
        picked = {name: value[some] for name, value in k.items()}
        np.testing.assert_allclose(
            -np.log1p(-found[some]),
            density[losses(picked, 1e9, budget, grid, cost).argmin(axis=0)],
            atol=2 * density[1],
        )
        if cost == "dense":
            np.testing.assert_allclose(found, closed_form(1e9, budget, **k), atol=1e-6)


def test_pretraining_data_are_data_that_sparsity_does_not_cost(starts):
    at = {"modality": "language", "structure": "unstructured"}
    size, budget = 1e8, 1e19
    found = bs.optimal_sparsity(starts, size, budget, **at, strategy="pretrained", pretrain_data=2e9)
    draws = starts["posterior"].to_dataset().sel(modality="language", structure="unstructured", strategy="pretrained")
    k = {n: draws[n].to_numpy().ravel()[::97] for n in ("a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c")}
    rho = draws["rho"].to_numpy().ravel()[::97]
    density = np.linspace(0, 12, 3001)
    grid = -np.expm1(-density)[:, None]
    data = budget / (6 * size) / costs.get("gradual").multiplier(grid) + rho * 2e9
    expected = density[paper_loss(grid, size, data, **k).argmin(axis=0)]
    np.testing.assert_allclose(-np.log1p(-found.to_numpy().ravel()[::97]), expected, atol=2 * density[1])
    with pytest.raises(InputError, match="pretrain_data"):
        bs.optimal_sparsity(starts, size, budget, **at, strategy="pretrained")
    with pytest.raises(InputError, match=r"warm.*scratch, pretrained"):
        bs.optimal_sparsity(starts, size, budget, **at, strategy="warm")
