import json

import numpy as np
import pytest
import xarray as xr
from helpers import codes, hand_built, paper_loss, physical, random_coefficients

import bayes_scaling as bs
from bayes_scaling.decide import costs
from bayes_scaling.errors import InputError
from bayes_scaling.intervals import interval

RUN = {
    "modality": "language", "structure": "unstructured", "strategy": "scratch", "sparsity": 0.9,
    "nonzero_params": 1e8, "data_seen": 1e9, "data_unit": "tokens",
}  # fmt: skip
DENSE = RUN | {"sparsity": 0.0, "structure": "dense", "nonzero_params": 1e7}
SIZE, FLOPS = 1e9, 1e21
FINE = -np.expm1(-np.linspace(0, 12, 200_001))


def built(k, structure="unstructured", law="sparse", sparsity=0.9):
    """A posterior of given draws whose largest sparsity trained is that of the structure."""
    if law != "sparse":
        k = k | {"k": np.linspace(0.4, 1.7, np.size(k["b_N"]))}
    runs = [RUN | {"structure": structure, "sparsity": sparsity}, DENSE]
    posterior = hand_built(k, runs, structure=structure)
    posterior.attrs["law"] = law
    return posterior


def of(name):
    return {n: np.array([v]) for n, v in physical(name).items()}


def one(posterior, flops=FLOPS, **more):
    (answer,) = bs.allocate(posterior, flops, **more).answers
    return answer


def draws(answer, name):
    return answer.draws[name].to_numpy().ravel()


def some(seed, count):
    """Plausible laws whose dense compute-optimal sizes lie well inside the sizes looked at."""
    k = random_coefficients(seed, count, SIZE)
    return k | {"b_N": k["b_N"] * 0.5 + 0.2, "b_D": k["b_D"] * 0.5 + 0.2}


def dense_size(C, *, a_S, c_S, b_N, a_D, b_D, **_):
    """Where b_N A N^-b_N = b_D (6 a_D N / C)^b_D."""
    return (b_N * (a_S + c_S) / b_D * (C / (6 * a_D)) ** b_D) ** (1 / (b_N + b_D))


def worth(S, cost, *, a_S, b_S, c_S, b_N, **_):
    """Dense parameters that a non-zero one is worth, over what it costs."""
    equivalent = ((a_S + c_S) / (a_S * (1 - S) ** b_S + c_S)) ** (1 / b_N)
    return equivalent / costs.get(cost).multiplier(S), equivalent


WIDE = {"sizes": (1e3, 1e15), "max_sparsity": 0.99}


@pytest.mark.parametrize("name", ["vit", "t5"])
@pytest.mark.parametrize("flops", [1e18, 1e21, 1e24])
def test_dense_is_the_closed_form(name, flops):
    k = of(name)
    answer = one(built(k), flops, cost="dense", **WIDE)  # for these laws sparsity at dense cost does not pay
    expected = dense_size(flops, **k)
    assert answer.recommended["sparsity"] == 0
    assert draws(answer, "sparsity") == 0
    np.testing.assert_allclose(draws(answer, "nonzero_params"), expected, rtol=1e-5)
    assert answer.recommended["nonzero_params"] == pytest.approx(expected[0], rel=2e-4)
    assert answer.dense["nonzero_params"] == pytest.approx(expected[0], rel=2e-4)
    assert answer.dense["data_seen"] == pytest.approx(flops / (6 * answer.dense["nonzero_params"]))
    assert answer.gain == {"median": 0, "lower": 0, "upper": 0}
    assert answer.probability_beats_dense == 0
    assert codes(answer.notes).count("optimum_at_zero") == 1


def test_sparsity_at_dense_cost_has_a_closed_form():
    """(1 - S)^b_S = b_N c_S / (a_S (b_S - b_N)), where that is below 1, at every budget."""
    k = of("t5 best")
    density = (k["b_N"] * k["c_S"] / (k["a_S"] * (k["b_S"] - k["b_N"]))) ** (1 / k["b_S"])
    assert 0 < density < 1
    for flops in (1e19, 1e23):
        answer = one(built(k), flops, cost="dense", **WIDE)
        np.testing.assert_allclose(draws(answer, "sparsity"), 1 - density, atol=1e-5)
        assert answer.recommended["sparsity"] == pytest.approx(1 - density[0], abs=5e-4)


@pytest.mark.parametrize("law", ["sparse", "coupled"])
@pytest.mark.parametrize("cost", ["gradual", "dense"])
def test_sparsity_is_what_is_worth_most_for_its_cost_at_every_budget(law, cost):
    k = some(1, 12)
    ratio, equivalent = worth(FINE[:, None], cost, **k)
    best, here = ratio.argmax(axis=0), np.arange(12)
    for flops in (1e19, 1e22):
        answer = one(built(k, law=law), flops, cost=cost, sizes=(1e2, 1e18))
        np.testing.assert_allclose(draws(answer, "sparsity"), FINE[best], atol=2e-4)
        size = dense_size(flops * ratio[best, here], **k) / equivalent[best, here]
        np.testing.assert_allclose(draws(answer, "nonzero_params"), size, rtol=5e-3)
        if law == "sparse":
            N = dense_size(flops * ratio[best, here], **k)
            same = paper_loss(0.0, N, flops * ratio[best, here] / (6 * N), **k)
            np.testing.assert_allclose(draws(answer, "loss"), same, rtol=1e-7)


@pytest.mark.parametrize("serve_tokens", [0.0, 1e11])
@pytest.mark.parametrize("cost", ["gradual", costs.Dense(), costs.Static()])
def test_draws_against_brute_force(cost, serve_tokens):
    k = some(2, 6)
    answer = one(built(k), cost=cost, serve_tokens=serve_tokens)
    low, high = answer.sizes
    t = np.linspace(0, 14, 401)[:, None]
    S, model = -np.expm1(-t), costs.get(cost)
    N = np.geomspace(low, high, 1501)
    left = FLOPS - 2 * N * serve_tokens * model.serving(S)
    D = np.where(left > 0, left, np.nan) / (6 * N) / model.multiplier(S)
    for i in range(6):
        loss = paper_loss(S, N, D, **{name: v[i] for name, v in k.items()})
        assert draws(answer, "loss")[i] <= np.nanmin(loss) * (1 + 1e-9)
        assert draws(answer, "loss")[i] >= np.nanmin(loss) * (1 - 1e-3)
        found = {name: draws(answer, name)[i] for name in ("nonzero_params", "sparsity", "data_seen", "loss")}
        at = (found["sparsity"], found["nonzero_params"], found["data_seen"])
        assert found["loss"] == pytest.approx(paper_loss(*at, **{name: v[i] for name, v in k.items()}))
        spent = 6 * at[1] * at[2] * model.multiplier(at[0]) + 2 * at[1] * serve_tokens * model.serving(at[0])
        assert spent == pytest.approx(FLOPS)


@pytest.mark.parametrize("cost", ["gradual", "dense"])
def test_a_pattern_is_taken_or_left_at_its_own_best_size(cost):
    k = some(3, 40)
    answer = one(built(k, "2:4", sparsity=0.5), cost=cost)
    each = []
    for S in (0.0, 0.5):
        N = np.geomspace(*answer.sizes, 20_001)[:, None]
        loss = paper_loss(S, N, FLOPS / (6 * N) / costs.get(cost).multiplier(S), **k)
        each.append((loss.min(axis=0), N[loss.argmin(axis=0), 0]))
    sparse = each[1][0] < each[0][0]
    assert 0 < sparse.sum() < 40
    np.testing.assert_array_equal(draws(answer, "sparsity"), np.where(sparse, 0.5, 0.0))
    np.testing.assert_allclose(draws(answer, "nonzero_params"), np.where(sparse, each[1][1], each[0][1]), rtol=1e-3)
    assert answer.optimal["sparsity"]["probability_zero"] == pytest.approx((~sparse).mean())
    assert answer.recommended["sparsity"] in (0.0, 0.5)


def expected_losses(k, N, S, serve_tokens=0.0, flops=FLOPS):
    data = (flops - 2 * N * serve_tokens) / (6 * N) / costs.Gradual().multiplier(S)
    return paper_loss(S, N, data, **k)


@pytest.mark.parametrize("serve_tokens", [0.0, 1e11])
def test_the_action_has_the_least_expected_loss(serve_tokens):
    k = some(4, 50)
    answer = one(built(k), serve_tokens=serve_tokens)
    at = answer.recommended
    mine = expected_losses(k, at["nonzero_params"], at["sparsity"], serve_tokens)
    ends = answer.sizes[0], min(answer.sizes[1], 0.999 * FLOPS / max(2 * serve_tokens, 1e-9))
    N = np.geomspace(*ends, 301)
    for S in -np.expm1(-np.linspace(0, -np.log1p(-0.9), 41)):
        assert (
            mine.mean()
            <= expected_losses({n: v[:, None] for n, v in k.items()}, N, S, serve_tokens).mean(0).min() + 1e-9
        )
    dense = expected_losses(k, answer.dense["nonzero_params"], 0.0, serve_tokens)
    assert (
        dense.mean()
        <= expected_losses({n: v[:, None] for n, v in k.items()}, N, 0.0, serve_tokens).mean(0).min() + 1e-9
    )
    assert answer.expected_regret == pytest.approx((mine - draws(answer, "loss")).mean())
    assert answer.expected_regret > 0
    assert at["total_params"] == pytest.approx(at["nonzero_params"] / (1 - at["sparsity"]))


def test_the_gain_is_paired():
    k = some(5, 200)
    answer = one(built(k), margin=0.01)
    mine = expected_losses(k, answer.recommended["nonzero_params"], answer.recommended["sparsity"])
    dense = expected_losses(k, answer.dense["nonzero_params"], 0.0)
    assert answer.gain == pytest.approx(interval(xr.DataArray(dense - mine)))
    assert answer.probability_beats_dense == pytest.approx((dense - mine > 0.01).mean())
    assert answer.probability_beats_dense < one(built(k)).probability_beats_dense


def test_serving_makes_models_smaller_and_sparser():
    k = of("vit")
    found = [one(built(k), serve_tokens=tokens, max_sparsity=0.999) for tokens in (0.0, 1e10, 1e12)]
    sizes, sparsities = ([a.recommended[name] for a in found] for name in ("nonzero_params", "sparsity"))
    assert sizes[0] > sizes[1] > sizes[2]
    assert sparsities[0] < sparsities[1] < sparsities[2]


def test_the_largest_sparsity_is_the_largest_trained_unless_said():
    k = of("vit")
    held = one(built(k, sparsity=0.3), serve_tokens=1e12)
    assert held.recommended["sparsity"] == pytest.approx(0.3)
    assert "optimum_at_largest_sparsity" in codes(held.notes)
    free = one(built(k, sparsity=0.3), serve_tokens=1e12, max_sparsity=0.6)
    assert 0.3 < free.recommended["sparsity"] <= 0.6
    # the draws' own optima are not held
    assert held.optimal["sparsity"] == free.optimal["sparsity"]
    assert held.optimal["sparsity"]["median"] > 0.6


def test_optima_at_the_ends_of_the_sizes_are_said_with_their_share():
    k = some(6, 100)
    own = draws(one(built(k), sizes=(1e2, 1e18)), "nonzero_params")
    low, high = np.quantile(own, [0.3, 0.9])
    answer = one(built(k), sizes=(low, high))
    notes = {n.about["end"]: n for n in answer.notes if n.code == "size_at_edge"}
    assert notes["smallest"].numbers["share"] == pytest.approx((own <= low).mean(), abs=0.01)
    assert notes["largest"].numbers["share"] == pytest.approx((own >= high).mean(), abs=0.01)
    assert low * (1 - 1e-9) <= answer.recommended["nonzero_params"] <= high * (1 + 1e-9)
    assert not {"size_at_edge"} & set(codes(one(built(k), sizes=(1e2, 1e18)).notes))
    tight = one(built(k), sizes=(1e3, 2e3))
    (note,) = [n for n in tight.notes if n.code == "size_at_edge"]
    assert "and so does the recommendation" in note.message
    assert tight.recommended["nonzero_params"] == pytest.approx(2e3)


def test_sizes_are_around_those_trained():
    assert one(built(of("vit"))).sizes == pytest.approx([1e6, 1e11])  # trained: 1e7 and 1e8


def test_losses_carry_what_the_law_may_miss(simulated):
    for structure in ("unstructured", "2:4"):
        answer = one(simulated, 1e21, modality="language", structure=structure)
        at, dense = answer.recommended, answer.dense
        sparse = {name: at[name] for name in ("nonzero_params", "data_seen", "sparsity")}
        rows = [
            {"modality": "language", "structure": answer.structure if at["sparsity"] else "dense"} | sparse,
            {"modality": "language", "structure": "dense", "sparsity": 0.0, "nonzero_params": dense["nonzero_params"],
             "data_seen": dense["data_seen"]},
        ]  # fmt: skip
        losses = bs.predict(simulated, rows)
        assert answer.loss == pytest.approx(interval(losses.isel(run=0)), rel=1e-9)
        assert dense["loss"] == pytest.approx(interval(losses.isel(run=1)), rel=1e-9)
        gain = losses.isel(run=1).drop_vars("run") - losses.isel(run=0).drop_vars("run")
        assert answer.gain == pytest.approx(interval(gain), rel=1e-6, abs=1e-9)
        assert answer.extrapolation["nonzero_params"] > 0
        assert "extrapolation" in codes(answer.notes)


def test_json_and_the_table(simulated):
    found = bs.allocate(simulated, 1e20, "vision", prob=0.8)
    plain = found.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["prob"] == 0.8
    assert [a["structure"] for a in plain["answers"]] == ["unstructured", "2:4"]
    assert "draws" not in plain["answers"][0]
    text = str(found)
    assert "80%" in text
    for word in ("1e+20 FLOPs", "at sparsity", "optimal data", "flops_per_example"):
        assert word in text
    assert str(bs.allocate(simulated, 1e20, modality=[])) == "nothing asked"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_flops": 0}, "train_flops"),
        ({"train_flops": [1e20, 1e21]}, "one budget"),
        ({"train_flops": 1e3}, "less than one token"),
        ({"serve_tokens": 1e30}, "less than one token"),
        ({"modality": "audio"}, "audio"),
        ({"structure": "dense"}, "dense"),
        ({"cost": "cheap"}, "dense, gradual"),
        ({"sizes": (1e9, 1e6)}, "sizes"),
        ({"sizes": (0, 1e6)}, "sizes"),
        ({"sizes": [1e6]}, "sizes"),
        ({"margin": -1}, "margin"),
        ({"margin": float("nan")}, "margin"),
        ({"max_sparsity": 1}, "max_sparsity"),
        ({"prob": 0}, "prob"),
    ],
)
def test_questions_that_make_no_sense(arguments, message):
    with pytest.raises(InputError, match=message):
        bs.allocate(built(of("vit")), **{"train_flops": 1e21} | arguments)
