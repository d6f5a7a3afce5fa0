"""What budgets pay for besides data: serving, dense phases; and budgets that cannot be meant."""

import itertools
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from helpers import codes, dense_optimal_flops, hand_built, over_draws, paper_loss, random_coefficients
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.decide import costs
from bayes_scaling.decide.optimum import LARGEST, optima
from bayes_scaling.decide.question import Question, recorded_per_unit
from bayes_scaling.errors import InputError

SPARSE = laws.get("sparse")
SIZE = 1e9
RUN = {
    "modality": "language", "structure": "unstructured", "strategy": "scratch", "sparsity": 0.5,
    "nonzero_params": 1e6, "data_seen": 1e9, "data_unit": "tokens",
}  # fmt: skip


def cubic(S):
    return (0.25 + 0.5 * (1 - 0.75 * S)) / (1 - S) + 0.25


def sped(times):
    return costs.Hardware(costs.Gradual(), {"unstructured": times})


WAYS = {
    "gradual": (costs.Gradual(), cubic),
    "dense": (costs.Dense(), lambda S: 1 / (1 - S)),
    "static": (costs.Static(), np.ones_like),
    "measured": (costs.Measured((0.5, 0.75), (1.5, 3.0)), None),
    "faster": (sped(1.3), lambda S: cubic(S) - (S > 0) * 0.25 * (1 - 1 / 1.3)),
    "slower": (sped(0.7), lambda S: cubic(S) - (S > 0) * 0.25 * (1 - 1 / 0.7)),
    "other": (costs.Hardware(costs.Static(), {"2:4": 2.0}), np.ones_like),
    "pretrained": (costs.Pretrained(), cubic),
    "pretrained at once": (costs.Pretrained(costs.Static()), np.ones_like),
    "counted": (costs.Pretrained(counted=True), cubic),
    "counted at once": (costs.Pretrained(costs.Static(), counted=True), np.ones_like),
}  # fmt: skip
"""Cost models with their multipliers written out."""


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), decades=st.floats(-2, 4), served=st.floats(0, 0.9))
@pytest.mark.parametrize("zeros_served", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_no_sparsity_is_better_than_the_optimum(way, zeros_served, seed, decades, served):
    cost, times = WAYS[way]
    times = times or cost.multiplier
    k = random_coefficients(seed, 40)
    rng = np.random.default_rng(seed)
    budget = 10**decades * dense_optimal_flops(SIZE, **k)
    before = rng.uniform(0.01, 0.6) * budget.min() / (6 * SIZE) if "pretrained" in way or "counted" in way else 0.0
    rho = rng.uniform(0, 1, 40) * (before > 0)
    tokens = served * (budget.min() - 6 * SIZE * before * cost_counts(cost)) / (2 * SIZE)
    if zeros_served:
        cost = with_zeros(cost)

    def loss(S):
        serves = 1 / (1 - S) if not cost.serves_sparse else 1.0
        left = budget - 2 * SIZE * serves * tokens - 6 * SIZE / (1 - S) * before * cost_counts(cost)
        data = np.maximum(left, 0) / (6 * SIZE) / times(S)
        losses = paper_loss(S, SIZE, np.where(left > 0, data + rho * before, 1.0), **k)
        return np.where(left > 0, losses, np.inf)

    question = Question.of(SIZE, over_draws({"C": budget})["C"], cost, pretrain_data=before, serve_tokens=tokens)
    found, _ = optima(SPARSE, over_draws(k | {"rho": rho}), question, "unstructured")
    found = found.to_numpy()[0]
    assert ((found >= 0) & (found <= LARGEST)).all()
    here = loss(found)
    assert np.isfinite(here).all()
    grid = -np.expm1(-np.linspace(0, 14, 10_001))[:, None]
    assert (here <= loss(grid).min(axis=0) * (1 + 1e-9)).all()
    question = replace(question, cost=cost.for_structure("unstructured"))
    half = question.loss(SPARSE, over_draws(k | {"rho": rho}), 0.5).to_numpy()[0]
    np.testing.assert_allclose(half, loss(0.5), rtol=1e-12)


def cost_counts(cost):
    return getattr(cost, "counted", False)


def with_zeros(cost):
    """The same cost with serving of the whole model."""
    if isinstance(cost, costs.Hardware | costs.Pretrained):
        return replace(cost, base=with_zeros(cost.base))
    return replace(cost, serves_sparse=False)


def test_serving_comes_off_the_budget():
    plain, served = Question.of(1e9, 1e21), Question.of(1e9, 1e21, serve_tokens=1e11)
    assert served.serve_flops_per_unit == 2
    assert float(served.spent(0.5)) == pytest.approx(2 * 1e9 * 1e11)
    assert float(served.data_seen(0.5)) == pytest.approx(0.8 * float(plain.data_seen(0.5)))
    dense = Question.of(1e9, 1e21, "dense", serve_tokens=1e11)
    assert float(dense.spent(0.5)) == pytest.approx(2 * 2e9 * 1e11)
    assert float(dense.data_seen(0.9)) == 0
    assert float(dense.data_seen(0.5)) == pytest.approx((1e21 - 4e20) / 12e9)
    patches = Question.of(1e9, 1e21, flops_per_unit=6 * 196, serve_tokens=1e8)
    assert float(patches.spent(0.0)) == pytest.approx(2 * 196 * 1e9 * 1e8)
    assert float(Question.of(1e9, 1e21, serve_tokens=1e11, serve_flops_per_unit=0.5).spent(0.0)) == 0.5e20


def test_what_is_not_paid_for_has_no_loss():
    k = {name: float(value[0]) for name, value in random_coefficients(0, 1).items()}
    question = Question.of(1e9, 1e21, costs.Pretrained(counted=True), pretrain_data=5e10)
    levels = xr.DataArray([0.0, 0.69, 0.71, 0.99], dims="S")  # 3e20 at 0, so all of it at 0.7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses = question.loss(SPARSE, k | {"rho": 0.0}, levels)
    assert np.isfinite(losses).to_numpy().tolist() == [True, True, False, False]
    assert (losses[2:] == np.inf).all()
    assert (question.data_seen(levels) >= 0).all()


def test_a_counted_dense_phase_bounds_sparsity():
    k = random_coefficients(1, 200)
    at = over_draws(k | {"rho": np.full(200, 0.3)})
    for base in (costs.Gradual(), costs.Static()):
        counted = Question.of(SIZE, 1e22, costs.Pretrained(base, counted=True), pretrain_data=1e11)
        best, _ = optima(SPARSE, at, counted, "unstructured")
        assert (best < 1 - 6 * SIZE * 1e11 / 1e22).all()
        assert (counted.data_seen(best) > 0).all()
        pattern, _ = optima(SPARSE, at, counted, "1:32")
        assert (pattern == 0).all()  # its dense phase costs more than there is
        assert (optima(SPARSE, at, counted, "2:4")[0] > 0).any()


def test_two_minima_are_seen_and_the_lower_one_taken():
    """Pruned after pretraining, with b_S below 1, a model on no data at all may beat one in between."""
    count = 60
    k = {
        "a_S": np.full(count, SIZE**0.3), "b_S": np.linspace(0.1, 0.9, count), "c_S": np.full(count, 0.05) * SIZE**0.3,
        "b_N": np.full(count, 0.3), "a_D": np.full(count, 1e9), "b_D": np.full(count, 0.7), "c": np.full(count, 1.0),
    }  # fmt: skip
    question = Question.of(SIZE, 6 * SIZE * 1e11, costs.Pretrained(), pretrain_data=1e9)
    best, several = optima(SPARSE, over_draws(k | {"rho": np.full(count, 0.2)}), question, "unstructured")
    t = np.linspace(0, 14, 5001)
    S = -np.expm1(-t)[:, None]
    losses = paper_loss(S, SIZE, 1e11 / cubic(S) + 0.2e9, **k)
    turns = np.sign(np.diff(losses, axis=0))
    inner = ((turns[:-1] < 0) & (turns[1:] > 0)).sum(axis=0)
    minima = inner + (turns[0] > 0) + (turns[-1] < 0)
    assert 0.1 < (minima > 1).mean() < 0.9
    seen = several.to_numpy()[0]
    assert not (seen & (minima == 1)).any()
    assert (seen == (minima > 1)).mean() > 0.95  # two that lie within a step of the search pass for one
    np.testing.assert_allclose(-np.log1p(-best.to_numpy()[0]), t[losses.argmin(axis=0)], atol=2 * t[1])
    assert ((best == LARGEST).to_numpy()[0] == (losses.argmin(axis=0) == 5000)).all()


# --- notes and errors of the public functions -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def posterior():
    return hand_built(random_coefficients(9, 60), [RUN, RUN | {"sparsity": 0.0, "structure": "dense"}])


def test_shares_at_the_ends_are_told(posterior):
    found = bs.optimal_sparsity(posterior, 1e9, [1e19, 1e25], structure="unstructured")
    assert found.attrs["share_at_zero"] == pytest.approx(float((found == 0).mean()))
    assert found.attrs["share_at_zero"] > 0
    free = bs.optimal_sparsity(posterior, 1e9, 1e21, cost="static")
    assert free.attrs["share_at_end"] == 1
    (note,) = [n for n in json.loads(free.attrs["notes"]) if n["code"] == "optimum_unbounded"]
    assert note["about"] == {"modality": "language", "structure": "unstructured"}
    assert note["numbers"] == {"share": 1.0}
    dense = bs.optimal_sparsity(posterior, 1e9, 1e19, cost="dense")
    assert dense.attrs["share_at_end"] == 0
    assert "optimum_unbounded" not in codes(dense.attrs)


def test_a_pretrained_start_may_have_several_minima(starts):
    at = {"modality": "language", "structure": "unstructured", "strategy": "pretrained", "pretrain_data": 2e9}
    found = bs.optimal_sparsity(starts, 1e8, 1e18, **at)
    assert 0 < found.attrs["share_several_minima"] < 1
    (note,) = [n for n in json.loads(found.attrs["notes"]) if n["code"] == "several_minima"]
    assert note["numbers"]["share"] == found.attrs["share_several_minima"]
    rich = bs.optimal_sparsity(starts, 1e8, 1e22, **at)
    assert rich.attrs["share_several_minima"] == 0
    assert "several_minima" not in codes(rich.attrs)
    poor = bs.optimal_sparsity(starts, 1e8, 1e16, **at)  # what little data it buys is best not spent on density
    assert poor.attrs["share_at_end"] > 0.9
    assert bs.optimal_sparsity(starts, 1e8, 1e18, structure="unstructured").attrs["share_several_minima"] == 0


@pytest.mark.parametrize(
    ("size", "budget", "absurd"),
    [
        (1e9, 1e21, False),
        (1e9, 2e10, True),  # 20 tokens per parameter, given for FLOPs
        (1e6, 2e9, True),  # 2,000 of them
        (1e9, 6e9 * 0.9e6, True),  # less than a thousandth of the smallest run's data
        (1e9, 6e9 * 1.1e6, False),
        (1e3, 1e21, True),  # size in millions
        (1e12, 6e12 * 1e13, False),
        (1e12, 6e12 * 1.1e15, True),
    ],
)
def test_budgets_that_nobody_means_earn_a_note(posterior, size, budget, absurd):
    found = bs.optimal_sparsity(posterior, size, budget)
    assert ("absurd_data" in codes(found.attrs)) == absurd
    (answer,) = bs.recommend(posterior, size, budget, structure="2:4").answers
    assert ("absurd_data" in codes(answer.notes)) == absurd


def test_runs_on_little_data_make_little_data_sane():
    tuned = [RUN | {"nonzero_params": 1e9, "data_seen": 1e5}]
    small = hand_built(random_coefficients(9, 20), tuned)
    assert "absurd_data" not in codes(bs.optimal_sparsity(small, 1e9, 6e9 * 1.1e5).attrs)
    assert "absurd_data" in codes(bs.optimal_sparsity(small, 1e9, 6e9 * 0.9e5).attrs)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"train_flops": 1e9}, r"1e\+09, which pays for less than one token .* 1e\+09 non-zero"),
        ({"train_flops": [1e21, 1e9]}, r"1e\+09, which"),
        ({"train_flops": 1e21, "serve_tokens": 1e12}, r"1e\+21, which .* after 2e\+21 FLOPs for serving"),
        ({"train_flops": 1e21, "serve_tokens": -1}, "serve_tokens is -1"),
        ({"train_flops": 1e21, "serve_tokens": float("nan")}, "serve_tokens is nan"),
        ({"train_flops": 1e21, "cost": "pretrained"}, "pretrain_data is 0"),
        ({"train_flops": 1e21, "cost": "measured"}, "no column 'train_flops'"),
    ],
)
def test_budgets_that_buy_nothing(posterior, arguments, words):
    with pytest.raises(InputError, match=words):
        bs.optimal_sparsity(posterior, 1e9, **arguments)
    if not isinstance(arguments["train_flops"], list):
        with pytest.raises(InputError, match=words):
            bs.recommend(posterior, 1e9, **arguments)


# --- recommendations --------------------------------------------------------------------------------------------------


def test_a_recommendation_stays_where_the_budget_reaches(starts):
    before = {"strategy": "pretrained", "pretrain_data": 2e9, "max_sparsity": 0.99}
    size, reach = 1.6e7, 0.6
    budget = 6 * size * 2e9 / (1 - reach)
    counted = costs.Pretrained(counted=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (answer,) = bs.recommend(starts, size, budget, cost=counted, **before).to_dict()["answers"]
        sunk = bs.recommend(starts, size, budget, cost="pretrained", **before).answers[0]
    assert 0 <= answer["recommended"]["sparsity"] < reach
    left = budget - 6 * size * 2e9 / (1 - answer["recommended"]["sparsity"])
    data = left / (6 * size) / cubic(answer["recommended"]["sparsity"])
    assert answer["recommended"]["data_seen"] == pytest.approx(data)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert answer["expected_regret"] >= 0
    assert sunk.loss["median"] < answer["loss"]["median"]
    pattern = bs.recommend(starts, size, budget, structure="1:4", cost=counted, **before).answers[0]
    assert pattern.recommended["sparsity"] == 0
    assert [c["probability_best"] for c in pattern.choices] == [1.0, 0.0]
    with pytest.raises(InputError, match=r"less than one token .* what comes before the data"):
        bs.recommend(starts, size, 0.9 * 6 * size * 2e9, cost=counted, **before)


def test_a_measured_speedup_is_for_its_structure(simulated):
    size, budget = 1.6e7, 3e18
    plain = bs.recommend(simulated, size, budget, "language").answers
    fast = bs.recommend(simulated, size, budget, "language", cost=costs.Hardware(speedup={"2:4": 1.5})).answers
    assert fast[0].to_dict() == plain[0].to_dict()
    assert fast[1].recommended["data_seen"] == pytest.approx(budget / (6 * size) / (1.375 - 0.25 * (1 - 1 / 1.5)))
    assert fast[1].loss["median"] < plain[1].loss["median"]
    assert fast[1].dense_loss == plain[1].dense_loss


def test_serving_makes_sparse_models_worth_more_on_dense_kernels(simulated):
    ask = {"nonzero_params": 1.6e7, "train_flops": 1e19, "modality": "language", "structure": "unstructured"}
    (plain,), (served,), (zeros,) = (
        bs.recommend(simulated, **ask, **more).answers
        for more in ({}, {"serve_tokens": 2e11}, {"serve_tokens": 2e11, "cost": costs.Gradual(serves_sparse=False)})
    )
    assert served.loss["median"] > plain.loss["median"]
    assert zeros.recommended["sparsity"] < served.recommended["sparsity"]
    spent = 2 * 1.6e7 * 2e11
    rest = bs.recommend(simulated, **ask | {"train_flops": 1e19 - spent}).answers[0]
    assert served.recommended == pytest.approx(rest.recommended)


def test_the_command_line_spells_costs(single, command, tmp_path):
    posterior = single.isel(draw=slice(50), missing_dims="ignore")
    runs = posterior["runs"].to_dataset()
    flops = 6 * runs["nonzero_params"] * runs["data_seen"] / (1 - runs["sparsity"])
    posterior["runs"] = xr.DataTree(runs.assign(train_flops=flops))
    path = bs.save(posterior, tmp_path / "posterior.nc")
    at = {"nonzero_params": 1.6e7, "train_flops": 3e18, "structure": "2:4"}
    ask = ("recommend", path, *(word for n, v in at.items() for word in (f"--{n.replace('_', '-')}", v)), "--json")
    speedups = str(tmp_path / "speedups.json")
    Path(speedups).write_text('{"speedup": {"2:4": 1.3}}', encoding="utf-8")
    ways = {
        ("--cost", "static", "--serve-tokens", "1e9"): {"cost": "static", "serve_tokens": 1e9},
        ("--cost", "measured"): {"cost": "measured"},
        ("--speedup", speedups): {"cost": costs.Hardware(speedup={"2:4": 1.3})},
        ("--speedup", "2:4=1.2", "--speedup", "4:8=0.9"): {"cost": costs.Hardware(speedup={"2:4": 1.2, "4:8": 0.9})},
    }
    answers = []
    for options, arguments in ways.items():
        done = command(*ask, *options)
        assert done.status == 0
        expected = bs.recommend(posterior, **at, **arguments).to_dict()
        assert json.loads(done.out) == json.loads(json.dumps(expected))
        answers.append(expected["answers"][0]["recommended"])
    assert answers[1] == pytest.approx(bs.recommend(posterior, **at, cost="dense").answers[0].recommended, rel=1e-9)
    assert all(first != second for first, second in itertools.pairwise(answers))
    for options, words in (
        (("--speedup", "2:4"), "STRUCTURE=TIMES"),
        (("--speedup", "2:4=fast"), "STRUCTURE=TIMES"),
        (("--speedup", "4:2=1.2"), "4:2"),
        (("--speedup", "2:4=0"), "above 0"),
        (("--cost", "pretrained"), "pretrain_data"),
        (("--count-pretraining",), "pretrain_data"),
        (("--serve-tokens", "-1"), "serve_tokens"),
    ):
        done = command(*ask, *options)
        assert done.status == 2
        assert words in done.err


def test_flops_per_unit_are_those_that_dense_runs_recorded():
    dense = RUN | {"structure": "dense", "sparsity": 0.0, "loss": 2.0}
    rows = [dense | {"nonzero_params": n, "train_flops": 96 * n * 1e9} for n in (1e6, 2e6, 4e6)]
    sparse = RUN | {"loss": 2.0, "train_flops": 150 * 1e6 * 1e9}
    runs = bs.load_runs([*rows, sparse])
    assert recorded_per_unit(runs, "language") == 96
    assert recorded_per_unit(runs, "vision") is None
    assert recorded_per_unit(bs.load_runs([sparse]), "language") is None
    assert recorded_per_unit(runs.drop_vars("train_flops"), "language") is None
    assert recorded_per_unit(runs.assign(train_flops=("run", [np.nan] * 4)), "language") is None
