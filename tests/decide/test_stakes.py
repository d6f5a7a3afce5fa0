import numpy as np
import pytest
import xarray as xr
from helpers import TRUTH, hand_built, law_alone, paper_loss, physical, random_coefficients

import bayes_scaling as bs
from bayes_scaling.decide import costs
from bayes_scaling.errors import InputError
from bayes_scaling.intervals import interval

RUN = {
    "modality": "language", "structure": "unstructured", "strategy": "scratch", "sparsity": 0.9,
    "nonzero_params": 1e6, "data_seen": 1e9, "data_unit": "tokens",
}  # fmt: skip
DENSE = RUN | {"sparsity": 0.0, "structure": "dense"}
SIZE, FLOPS = 1e9, 1e21
FINE = -np.expm1(-np.linspace(0, 14, 20_001))


def built(k, structure="unstructured", sparsity=0.9):
    return hand_built(k, [RUN | {"structure": structure, "sparsity": sparsity}, DENSE], structure=structure)


def one(posterior, flops=FLOPS, structure="unstructured", **more):
    (answer,) = bs.recommend(posterior, SIZE, flops, "language", structure, **more).answers
    return answer


def loss(k, S, flops=FLOPS, cost="gradual"):
    return paper_loss(S, SIZE, flops / (6 * SIZE) / costs.get(cost).multiplier(S), **k)


def least(k, largest=1.0):
    return np.min([loss(k, S) for S in np.minimum(FINE, largest)], axis=0)


def test_the_gain_and_its_margin_are_paired():
    k = random_coefficients(1, 400, SIZE)
    answer = one(built(k), margin=0.05)
    gain = loss(k, 0.0) - loss(k, answer.recommended["sparsity"])
    assert answer.gain == pytest.approx(interval(xr.DataArray(gain)))
    assert answer.probability_beats_dense_by_margin == pytest.approx((gain > 0.05).mean())
    assert answer.probability_sparse_beats_dense == pytest.approx((gain > 0).mean())
    assert answer.probability_beats_dense_by_margin < answer.probability_sparse_beats_dense
    assert answer.margin == 0.05
    none = one(built(k))
    assert none.probability_beats_dense_by_margin == none.probability_sparse_beats_dense


def test_a_dense_action_gains_nothing():
    answer = one(built({n: v[:20] for n, v in random_coefficients(2, 20, SIZE).items()}), 1e13)
    assert answer.recommended["sparsity"] == 0
    assert answer.gain == {"median": 0, "lower": 0, "upper": 0}
    assert answer.probability_beats_dense_by_margin == 0


def test_regrets_against_brute_force():
    k = random_coefficients(3, 60, SIZE)
    answer = one(built(k), max_sparsity=0.9999)
    best = least(k)
    worth = answer.stakes["perfect_information"]
    assert answer.stakes["regret_of_dense"] == pytest.approx((loss(k, 0.0) - best).mean(), rel=1e-3)
    assert answer.expected_regret == pytest.approx((loss(k, answer.recommended["sparsity"]) - best).mean(), rel=1e-3)
    # certainty could choose among the same sparsities, up to .9999, and few draws want more
    assert worth["loss"] == pytest.approx(answer.expected_regret, rel=1e-2)
    assert "point" not in answer.stakes


def test_certainty_is_worth_nothing_beyond_what_is_allowed():
    """Regret counts what lies beyond the limit, of which to know would not help."""
    k = random_coefficients(4, 60, SIZE)
    answer = one(built(k), max_sparsity=0.5)
    S, worth = answer.recommended["sparsity"], answer.stakes["perfect_information"]["loss"]
    assert worth == pytest.approx((loss(k, S) - least(k, 0.5)).mean(), rel=1e-3, abs=1e-9)
    assert worth < 0.5 * answer.expected_regret


@pytest.mark.parametrize("structure", ["unstructured", "2:4"])
def test_the_budget_that_buys_what_certainty_would(structure):
    k = random_coefficients(5, 80, SIZE)
    flops = FLOPS if structure == "unstructured" else 1e-3 * FLOPS  # where some draws want the pattern
    answer = one(built(k, structure, 0.5 if structure == "2:4" else 0.9), flops, structure)
    S, worth = answer.recommended["sparsity"], answer.stakes["perfect_information"]
    assert worth["train_flops"] > 0
    after = loss(k, S, flops + worth["train_flops"]).mean()
    assert loss(k, S, flops).mean() - after == pytest.approx(worth["loss"], rel=1e-6)
    sure = np.minimum(loss(k, 0.0, flops), loss(k, 0.5, flops)) if structure == "2:4" else least(k, 0.9)
    assert after == pytest.approx(sure.mean(), rel=1e-5)


def test_with_one_draw_there_is_nothing_to_know():
    answer = one(built({n: np.array([v]) for n, v in physical("vit").items()}), max_sparsity=0.999)
    assert answer.stakes["perfect_information"]["loss"] == pytest.approx(0, abs=1e-9)
    assert answer.stakes["perfect_information"]["train_flops"] == pytest.approx(0, abs=1e-6 * FLOPS)


def test_no_budget_buys_what_data_cannot():
    """One draw is short of parameters, the other of data, of which there soon is enough for both."""
    data = FLOPS / (6 * SIZE)
    k = {
        "a_S": np.array([1e-3, 1.0]) * SIZE**0.3, "b_S": np.ones(2), "c_S": np.array([0.5, 0.5]) * SIZE**0.3,
        "b_N": np.full(2, 0.3), "a_D": np.array([0.01, 1e-6]) ** (1 / 3) * data, "b_D": np.full(2, 3.0),
        "c": np.ones(2),
    }  # fmt: skip
    answer = one(built(k))
    S, worth = answer.recommended["sparsity"], answer.stakes["perfect_information"]
    assert 0.1 < S < 0.9
    assert loss(k, S).mean() - worth["loss"] < loss(k, S, 1e12 * FLOPS).mean()
    assert worth["train_flops"] is None
    assert "no budget buys it" in str(bs.recommend(built(k), SIZE, FLOPS))


@pytest.mark.parametrize("cost", ["gradual", "dense"])
def test_the_choice_of_published_coefficients(cost):
    k = random_coefficients(7, 60, SIZE)
    point = bs.laws.get("sparse").published["t5-c4"].coefficients
    answer = one(built(k), point=point, cost=cost)
    levels = FINE[FINE <= 0.9]
    theirs = levels[np.argmin([loss(point, S, cost=cost) for S in levels])]
    found = answer.stakes["point"]
    assert found["sparsity"] == pytest.approx(theirs, abs=1e-3)
    sure = np.min([loss(k, S, cost=cost) for S in FINE], axis=0)
    regret = (loss(k, found["sparsity"], cost=cost) - sure).mean()
    assert found["expected_regret"] == pytest.approx(regret, rel=1e-3)
    assert found["expected_regret"] >= answer.expected_regret - 1e-9


def test_a_point_estimate_keeps_to_the_sparsities_allowed():
    k = random_coefficients(8, 20, SIZE)
    point = bs.laws.get("sparse").published["vit-jft"].coefficients
    assert one(built(k), 1e24, point=point, max_sparsity=0.3).stakes["point"]["sparsity"] == pytest.approx(0.3)
    pattern = one(built(k, "2:4", 0.5), 1e24, "2:4", point=point)
    assert pattern.stakes["point"]["sparsity"] == 0.5
    held = one(built(k, "2:4", 0.5), 1e24, "2:4", point=point, max_sparsity=0.3)
    assert held.stakes["point"]["sparsity"] == 0.0


def test_a_coupled_posterior_takes_coefficients_without_a_power():
    k = random_coefficients(9, 20, SIZE) | {"k": np.linspace(0.5, 1.5, 20)}
    posterior = built(k)
    point = bs.laws.get("sparse").published["t5-c4"].coefficients
    posterior.attrs["law"] = "sparse+coupled"
    default = one(posterior, point=point)
    posterior.attrs["law"] = "coupled"
    assert one(posterior, point=point | {"k": 0.7}).stakes["point"] == pytest.approx(default.stakes["point"])
    with pytest.raises(InputError, match="k, which the law coupled needs"):
        one(posterior, point=point)


def test_a_point_fit(simulated):
    from helpers import two_modalities

    fitted = bs.point_fit(bs.load_runs(two_modalities()), "sparse", starts=4)
    found = bs.recommend(law_alone(simulated), 1.6e7, 3e18, structure="unstructured", point=fitted)
    for answer in found.answers:
        true = TRUTH[answer.modality, "unstructured"]
        own = bs.optimal_sparsity(hand_built({n: np.array([v]) for n, v in true.items()}, [RUN]), 1.6e7, 3e18)
        assert answer.stakes["point"]["sparsity"] == pytest.approx(float(own.squeeze()), abs=0.05)
        assert answer.stakes["point"]["expected_regret"] >= answer.expected_regret
    with pytest.raises(InputError, match=r"structure '1:4'; it has .*unstructured"):
        bs.recommend(simulated, 1.6e7, 3e18, "language", "1:4", point=fitted)


def test_structures_side_by_side(simulated):
    found = bs.recommend(simulated, 1.6e7, 3e18, prob=0.8)
    assert [c["modality"] for c in found.comparisons] == ["language", "vision"]
    for comparison in found.comparisons:
        answers = {a.structure: a for a in found.answers if a.modality == comparison["modality"]}
        rows = [("dense", 0.0, 3e18 / (6 * 1.6e7))]
        rows += [(s, a.recommended["sparsity"], a.recommended["data_seen"]) for s, a in answers.items()]
        about = {"modality": comparison["modality"], "nonzero_params": 1.6e7}
        asked = [about | {"structure": s, "sparsity": S, "data_seen": D} for s, S, D in rows]
        losses = bs.predict(simulated, asked).to_numpy().reshape(-1, 3)
        options = comparison["options"]
        assert [(o["structure"], o["sparsity"]) for o in options] == [(s, S) for s, S, _ in rows]
        first = losses.mean(axis=0).argmin()
        assert comparison["best"] == rows[first][0]
        for i, option in enumerate(options):
            assert option["probability_best"] == pytest.approx((losses.argmin(axis=1) == i).mean(), abs=2e-3)
            expected = interval(xr.DataArray(losses[:, i] - losses[:, first]), 0.8)
            assert option["difference"] == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert sum(option["probability_best"] for option in options) == pytest.approx(1)


def test_a_structure_that_is_best_left_dense_is_dense(simulated):
    (comparison,) = bs.recommend(simulated, 1.6e7, 1e14, "language").comparisons
    assert comparison == {
        "modality": "language",
        "best": "dense",
        "options": [
            {
                "structure": "dense",
                "sparsity": 0.0,
                "probability_best": 1.0,
                "difference": {"median": 0.0, "lower": 0.0, "upper": 0.0},
            }
        ],
    }


def test_one_structure_is_compared_with_nothing(simulated):
    assert bs.recommend(simulated, 1.6e7, 3e18, "language", "2:4").comparisons == []


def test_the_table_says_what_is_at_stake(simulated):
    point = bs.laws.get("sparse").published["t5-c4"].coefficients
    text = str(bs.recommend(simulated, 1.6e7, 3e18, "language", margin=0.02, point=point))
    for row in ("gain over dense", "chance of more than 0.02", "chance it is the best", "expected regret of dense",
                "of the point estimate", "worth of certainty", "% of FLOPs"):  # fmt: skip
        assert row in text, row
    plain = str(bs.recommend(simulated, 1.6e7, 3e18, "language", "unstructured"))
    assert "chance it is the best" not in plain
    assert "chance of more" not in plain
    assert "point estimate" not in plain


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin": -0.1}, "margin"),
        ({"margin": float("nan")}, "margin"),
        ({"point": {"a_S": 1.0}}, "point has no b_S"),
    ],
)
def test_questions_that_make_no_sense(arguments, message):
    with pytest.raises(InputError, match=message):
        one(built(random_coefficients(1, 5, SIZE)), **arguments)


def test_coefficients_are_of_one_modality(simulated):
    with pytest.raises(InputError, match="language, vision"):
        bs.recommend(simulated, 1.6e7, 3e18, point=bs.laws.get("sparse").published["t5-c4"].coefficients)
