import json

import numpy as np
import pytest
import xarray as xr
from helpers import codes, hand_built, law_alone, paper_loss, physical, random_coefficients

import bayes_scaling as bs
from bayes_scaling.decide import costs
from bayes_scaling.errors import InputError
from bayes_scaling.intervals import interval

RUN = {
    "modality": "language", "structure": "unstructured", "strategy": "scratch", "sparsity": 0.9,
    "nonzero_params": 1e8, "data_seen": 1e10, "data_unit": "tokens",
}  # fmt: skip
DENSE = RUN | {"sparsity": 0.0, "structure": "dense", "nonzero_params": 1e7, "data_seen": 1e8}
SIZE = 1e9
GRADUAL = costs.Gradual()
CONFIGURATION = {"nonzero_params", "sparsity", "data_seen", "total_params", "train_flops", "probability", "loss"}


def built(k, structure="unstructured", sparsity=0.9):
    return hand_built(k, [RUN | {"structure": structure, "sparsity": sparsity}, DENSE], structure=structure)


def of(name):
    return {n: np.array([v]) for n, v in physical(name).items()}


def alike(seed, count, spread=0.03):
    """Draws of one law, its coefficients a few per cent apart."""
    rng = np.random.default_rng(seed)
    return {n: v * np.exp(spread * rng.standard_normal(count)) for n, v in physical("vit").items()}


def one(posterior, loss, probability=0.89, **more):
    (answer,) = bs.reach(posterior, loss, probability, **more).answers
    return answer


def data_needed(target, N, S, *, a_S, b_S, c_S, b_N, a_D, b_D, c):
    """D at which the loss is the target; infinite where none is enough."""
    left = target - c - (a_S * (1 - S) ** b_S + c_S) * N ** (-b_N)
    with np.errstate(invalid="ignore"):
        return np.where(left > 0, a_D / np.where(left > 0, left, 1.0) ** (1 / b_D), np.inf)


def brute(k, target, sparsities, rank, serve_tokens=0.0, cost=GRADUAL, sizes=(1e6, 1e11)):
    """FLOPs that are enough in all but some of the draws, over sizes and sparsities."""
    N = np.geomspace(*sizes, 1201)
    flops = np.empty((N.size, len(sparsities)))
    for j, S in enumerate(sparsities):
        needed = data_needed(target, N[:, None], S, **k)
        D = np.sort(needed, axis=1)[:, rank]
        flops[:, j] = 6 * N * D * cost.multiplier(S) + 2 * N * serve_tokens * cost.serving(S)
    return N, flops


DENSITIES = -np.expm1(-np.linspace(0, -np.log1p(-0.9), 121))


@pytest.mark.parametrize("serve_tokens", [0.0, 1e11])
@pytest.mark.parametrize("cost", [GRADUAL, costs.Dense()])
def test_one_draw_against_brute_force(cost, serve_tokens):
    k, target = of("vit"), 5.4
    N, flops = brute(k, target, DENSITIES, 0, serve_tokens, cost)
    answer = one(built(k), target, cost=cost, serve_tokens=serve_tokens)
    found = answer.cheapest
    assert found["train_flops"] == pytest.approx(flops.min(), rel=2e-3)
    assert found["train_flops"] <= flops.min() * (1 + 5e-4)
    at = (found["sparsity"], found["nonzero_params"], found["data_seen"])
    assert paper_loss(*at, **k) <= target
    assert paper_loss(*at, **k) == pytest.approx(target, rel=1e-4)
    spent = 6 * at[1] * at[2] * cost.multiplier(at[0]) + 2 * at[1] * serve_tokens * cost.serving(at[0])
    assert found["train_flops"] == pytest.approx(spent)
    assert found["probability"] == 1.0
    assert answer.dense["train_flops"] == pytest.approx(flops[:, 0].min(), rel=2e-3)
    assert answer.dense["sparsity"] == 0
    # the fewest parameters, within a budget and without
    for budget in (2 * flops.min(), 20 * flops.min()):
        small = one(built(k), target, cost=cost, serve_tokens=serve_tokens, train_flops=budget)
        fits = N[(flops <= budget).any(axis=1)].min()
        assert small.smallest["nonzero_params"] == pytest.approx(fits, rel=0.02)
        assert small.smallest["train_flops"] <= budget * (1 + 1e-9)
        assert paper_loss(*(small.smallest[n] for n in ("sparsity", "nonzero_params", "data_seen")), **k) <= target
        assert small.cheapest == found
    N, flops = brute(k, target, DENSITIES, 0, serve_tokens, cost)
    enough = data_needed(target, N[:, None], DENSITIES, **k) <= 1e3 * 1e10  # the most data looked at
    assert answer.smallest["nonzero_params"] == pytest.approx(N[enough.any(axis=1)].min(), rel=0.02)


def test_it_is_what_the_joint_optimum_reaches():
    """Allocating the cheapest budget reaches the loss; with one draw nothing else is asked."""
    k = of("t5 best")
    found = one(built(k), 2.0).cheapest
    (same,) = bs.allocate(built(k), found["train_flops"]).answers
    assert same.loss["median"] == pytest.approx(2.0, rel=1e-4)
    assert same.recommended["sparsity"] == pytest.approx(found["sparsity"], abs=0.02)


@pytest.mark.parametrize("probability", [0.5, 0.89, 0.99])
def test_many_draws_against_brute_force(probability):
    k, count = alike(1, 300), 300
    rank = int(np.ceil(probability * count)) - 1
    _, flops = brute(k, 5.4, DENSITIES[::4], rank)
    answer = one(built(k), 5.4, probability)
    assert answer.cheapest["train_flops"] == pytest.approx(flops.min(), rel=5e-3)
    at = [answer.cheapest[n] for n in ("sparsity", "nonzero_params", "data_seen")]
    share = (paper_loss(*at, **k) <= 5.4).mean()
    assert answer.cheapest["probability"] == pytest.approx(share)
    assert probability <= share < probability + 0.01
    assert answer.cheapest["loss"] == pytest.approx(interval(xr.DataArray(paper_loss(*at, **k))))
    assert answer.smallest["probability"] >= probability
    assert answer.smallest["nonzero_params"] < answer.cheapest["nonzero_params"] < answer.dense["nonzero_params"]


def test_surer_is_dearer():
    posterior = built(alike(2, 200))
    flops = [one(posterior, 5.4, p).cheapest["train_flops"] for p in (0.2, 0.5, 0.8, 0.95)]
    assert flops == sorted(flops)
    assert flops[-1] > 1.1 * flops[0]


def test_below_the_irreducible_loss_the_answer_is_no_and_why():
    k = alike(3, 200)
    target = float(np.quantile(k["c"], 0.3))
    answer = one(built(k), target)
    assert answer.cheapest is answer.smallest is answer.dense is answer.extrapolation is None
    assert answer.limit["probability"] == pytest.approx((k["c"] < target).mean())
    assert answer.limit["irreducible_loss"] == pytest.approx(interval(xr.DataArray(k["c"])))
    (note,) = [n for n in answer.notes if n.code == "target_out_of_reach"]
    assert note.numbers["limit"] == answer.limit["probability"]
    assert f"{answer.limit['probability']:.1%}" in note.message
    # asked to be less sure than the limit, there is something that does
    assert one(built(k), target, 0.1, sizes=(1e6, 1e18)).cheapest is not None
    never = one(built(k), 0.5 * float(k["c"].min()))
    assert never.limit["probability"] == 0
    assert never.cheapest is None


def test_out_of_reach_within_the_sizes():
    answer = one(built(of("vit")), 5.0, sizes=(1e5, 1e6))
    assert answer.cheapest is None
    assert answer.limit["probability"] == 1
    (note,) = [n for n in answer.notes if n.code == "target_out_of_reach"]
    assert "looked at" in note.message


def test_a_budget_too_small_leaves_no_smallest_model():
    answer = one(built(of("vit")), 5.4, train_flops=1e15)
    assert answer.smallest is None
    assert answer.cheapest is not None
    assert "target_out_of_reach" not in codes(answer.notes)


def test_ends_of_what_was_looked_at_are_said():
    found = one(built(of("vit")), 5.4, sizes=(1e10, 1e11))
    assert found.cheapest["nonzero_params"] == pytest.approx(1e10, rel=0.02)
    (note,) = [n for n in found.notes if n.code == "target_at_edge"]
    assert (note.about["end"], note.numbers) == ("smallest", {"nonzero_params": pytest.approx(1e10)})
    assert "target_at_edge" not in codes(one(built(of("vit")), 5.4).notes)


def test_a_pattern_is_taken_or_left():
    k = of("vit")
    answer = one(built(k, "2:4", sparsity=0.5), 5.4)
    _, flops = brute(k, 5.4, [0.0, 0.5], 0)
    assert answer.cheapest["sparsity"] == 0.5
    assert answer.cheapest["train_flops"] == pytest.approx(flops[:, 1].min(), rel=1e-3)
    assert answer.dense["train_flops"] == pytest.approx(flops[:, 0].min(), rel=1e-3)
    dear = one(built(k, "2:4", sparsity=0.5), 5.4, cost="dense")
    assert dear.cheapest == dear.dense
    assert one(built(k, "2:4", sparsity=0.5), 5.4, max_sparsity=0.3).cheapest == answer.dense


def test_losses_carry_what_the_law_may_miss(simulated):
    answer = one(simulated, 1.4, modality="language", structure="unstructured")
    alone = one(law_alone(simulated), 1.4, modality="language", structure="unstructured")
    for found, posterior in ((answer, simulated), (alone, law_alone(simulated))):
        columns = {n: found.cheapest[n] for n in ("sparsity", "nonzero_params", "data_seen")}
        losses = bs.predict(posterior, [{"modality": "language", "structure": "unstructured"} | columns])
        assert found.cheapest["probability"] == pytest.approx(float((losses <= 1.4).mean()), abs=1e-3)
        assert 0.89 <= found.cheapest["probability"] < 0.9
        assert found.cheapest["loss"] == pytest.approx(interval(losses), rel=1e-9)
    assert answer.cheapest["train_flops"] > alone.cheapest["train_flops"]
    assert answer.extrapolation["train_flops"] > 0
    assert "extrapolation" in codes(answer.notes)


def test_json_and_the_table():
    k = random_coefficients(7, 30, SIZE)
    found = bs.reach(built(k), float(np.median(k["c"])) + 2.0, 0.5, prob=0.8, train_flops=1e24)
    plain = found.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    (answer,) = plain["answers"]
    for name in ("cheapest", "smallest", "dense"):
        assert set(answer[name]) == CONFIGURATION
    assert answer["train_flops"] == 1e24
    text = str(found)
    for word in ("with probability 0.5", "80%", "cheapest dense: FLOPs", "costs 1e+24 FLOPs at most"):
        assert word in text
    assert "–" in str(bs.reach(built(k), 1e-6))
    assert str(bs.reach(built(k), 2.0, structure=[])) == "nothing asked"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": 0}, "loss is 0"),
        ({"loss": float("inf")}, "loss"),
        ({"probability": 1}, "probability"),
        ({"probability": 0}, "probability"),
        ({"prob": 2}, "prob"),
        ({"modality": "audio"}, "audio"),
        ({"structure": "dense"}, "dense"),
        ({"cost": "cheap"}, "dense, gradual"),
        ({"train_flops": -1}, "train_flops"),
        ({"train_flops": [1e18, 1e19]}, "one budget"),
        ({"serve_tokens": -1}, "serve_tokens"),
        ({"max_sparsity": 1.5}, "max_sparsity"),
        ({"sizes": (5, 5)}, "sizes"),
    ],
)
def test_questions_that_make_no_sense(arguments, message):
    with pytest.raises(InputError, match=message):
        bs.reach(built(of("vit")), **{"loss": 5.4} | arguments)


def test_a_loss_is_of_one_modality(simulated):
    with pytest.raises(InputError, match="language, vision"):
        bs.reach(simulated, 2.5)
