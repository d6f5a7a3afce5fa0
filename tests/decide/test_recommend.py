import json

import numpy as np
import pytest
from helpers import codes, dense_optimal_flops, hand_built, law_alone, one_modality, paper_loss, random_coefficients

import bayes_scaling as bs
from bayes_scaling.decide import costs
from bayes_scaling.errors import InputError
from bayes_scaling.intervals import interval

KEYS = {
    "modality", "structure", "strategy", "nonzero_params", "train_flops", "recommended", "optimal_sparsity", "loss",
    "dense_loss", "probability_sparse_beats_dense", "dense_equivalent", "expected_regret", "choices", "extrapolation",
    "notes",
}  # fmt: skip
STAKES = {"gain", "margin", "probability_beats_dense_by_margin", "stakes"}
INTERVAL = {"median", "lower", "upper"}
SIZE = 1.6e7


def budget(posterior, times, size=SIZE, modality="language"):
    draws = posterior["posterior"].to_dataset().sel(modality=modality).isel(structure=0)
    k = {n: draws[n].to_numpy().ravel() for n in ("a_S", "c_S", "b_N", "a_D", "b_D")}
    return times * float(np.median(dense_optimal_flops(size, **k)))


def one(posterior, size=SIZE, times=3.0, structure="unstructured", modality="language", **more):
    C = budget(posterior, times, size, modality)
    (answer,) = bs.recommend(posterior, size, C, modality, structure, **more).to_dict()["answers"]
    return answer


def expected_loss(posterior, answer, S, cost="gradual"):
    """Draws of the law at a sparsity, the whole budget spent."""
    draws = posterior["posterior"].to_dataset().sel(modality=answer["modality"], structure=answer["structure"])
    k = {n: draws[n].to_numpy() for n in ("a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c")}
    data = answer["train_flops"] / (6 * answer["nonzero_params"]) / costs.get(cost).multiplier(S)
    return paper_loss(S, answer["nonzero_params"], data, **k)


def test_keys_are_the_contracts(simulated):
    found = bs.recommend(simulated, SIZE, budget(simulated, 3)).to_dict()
    assert set(found) == {"prob", "answers", "comparisons"}
    assert found["prob"] == 0.89
    assert [(a["modality"], a["structure"]) for a in found["answers"]] == [
        ("language", "unstructured"), ("language", "2:4"), ("vision", "unstructured"), ("vision", "2:4"),
    ]  # fmt: skip
    for answer in found["answers"]:
        assert set(answer) == KEYS | STAKES
        assert set(answer["recommended"]) == {"sparsity", "data_seen", "total_params"}
        assert set(answer["optimal_sparsity"]) == INTERVAL | {"probability_zero"}
        for name in ("loss", "dense_loss", "dense_equivalent"):
            assert set(answer[name]) == INTERVAL
            assert answer[name]["lower"] <= answer[name]["median"] <= answer[name]["upper"]
        assert set(answer["extrapolation"]) == {"nonzero_params", "data_seen", "sparsity", "train_flops"}
        for choice in answer["choices"]:
            assert set(choice) == {"structure", "sparsity", "probability_best"}
        for note in answer["notes"]:
            assert set(note) == {"code", "severity", "message"}
        assert answer["strategy"] == "scratch"
        assert 0 <= answer["probability_sparse_beats_dense"] <= 1
        assert answer["expected_regret"] >= 0
        assert sum(choice["probability_best"] for choice in answer["choices"]) == pytest.approx(1)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("structure", ["unstructured", "2:4"])
@pytest.mark.parametrize("times", [0.3, 3.0, 20.0])
@pytest.mark.parametrize("cost", ["gradual", "dense"])
def test_everything_is_at_the_action(simulated, structure, times, cost):
    answer = one(simulated, times=times, structure=structure, cost=cost)
    S = answer["recommended"]["sparsity"]
    data = answer["train_flops"] / (6 * SIZE) / costs.get(cost).multiplier(S)
    assert answer["recommended"]["data_seen"] == pytest.approx(data)
    assert answer["recommended"]["total_params"] == pytest.approx(SIZE / (1 - S))
    row = {"modality": "language", "structure": structure, "nonzero_params": SIZE}
    at_action = bs.predict(
        simulated, [row | {"structure": structure if S else "dense", "sparsity": S, "data_seen": data}]
    )
    dense = bs.predict(
        simulated, [row | {"structure": "dense", "sparsity": 0, "data_seen": answer["train_flops"] / (6 * SIZE)}]
    )
    assert answer["loss"] == pytest.approx(interval(at_action), rel=1e-9)
    assert answer["dense_loss"] == pytest.approx(interval(dense), rel=1e-9)
    paired = at_action.isel(run=0, drop=True) - dense.isel(run=0, drop=True)
    expected = float((paired < 0).mean()) if S else 0.0
    assert answer["probability_sparse_beats_dense"] == pytest.approx(expected, abs=2e-3)
    times_dense = bs.dense_equivalent(simulated, S, "language", structure)
    assert answer["dense_equivalent"] == pytest.approx(interval(times_dense), rel=1e-9)
    own = bs.optimal_sparsity(simulated, SIZE, answer["train_flops"], "language", structure, cost=cost)
    asked = answer["optimal_sparsity"]
    assert asked["probability_zero"] == pytest.approx(float((own == 0).mean()))
    assert {k: asked[k] for k in INTERVAL} == pytest.approx(interval(own), abs=1e-9)
    best = expected_loss(simulated, answer, own.to_numpy(), cost)
    regret = (expected_loss(simulated, answer, S, cost) - best).mean()
    assert answer["expected_regret"] == pytest.approx(regret, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("modality", ["language", "vision"])
@pytest.mark.parametrize("times", [0.05, 1.0, 3.0, 100.0])
def test_the_action_has_the_least_expected_loss(simulated, modality, times):
    answer = one(law_alone(simulated), times=times, modality=modality)
    S = answer["recommended"]["sparsity"]
    largest = {"language": 0.875, "vision": 0.9}[modality]
    assert 0 <= S <= largest + 1e-12
    grid = np.linspace(0, largest, 3001)
    means = np.array([expected_loss(simulated, answer, s).mean() for s in grid[::20]])
    near = grid[max(0, 20 * means.argmin() - 20) : 20 * means.argmin() + 21]
    least = min(expected_loss(simulated, answer, s).mean() for s in near)
    assert expected_loss(simulated, answer, S).mean() <= least * (1 + 1e-9)
    assert near[0] - 1e-9 <= S <= near[-1] + 1e-9


def test_a_pattern_is_taken_or_left(simulated):
    for times in (0.01, 0.1, 0.5, 1.0, 3.0, 30.0):
        answer = one(simulated, times=times, structure="2:4")
        losses = {S: expected_loss(simulated, answer, S).mean() for S in (0.0, 0.5)}
        assert answer["recommended"]["sparsity"] == min(losses, key=losses.get)
        assert [(c["structure"], c["sparsity"]) for c in answer["choices"]] == [("dense", 0.0), ("2:4", 0.5)]
        share = (expected_loss(simulated, answer, 0.5) < expected_loss(simulated, answer, 0.0)).mean()
        assert answer["choices"][1]["probability_best"] == pytest.approx(share, abs=1e-3)
    both = {one(simulated, times=t, structure="2:4")["recommended"]["sparsity"] for t in (0.01, 30.0)}
    assert both == {0.0, 0.5}


def test_choices_are_the_sparsities_trained(simulated):
    answer = one(simulated)
    menu = [choice["sparsity"] for choice in answer["choices"]]
    assert menu == pytest.approx([0, 0.5, 0.75, 0.875])
    assert [c["structure"] for c in answer["choices"]] == ["dense"] + 3 * ["unstructured"]
    losses = np.array([expected_loss(simulated, answer, S) for S in menu])
    share = [(losses.argmin(axis=0) == i).mean() for i in range(4)]
    assert [c["probability_best"] for c in answer["choices"]] == pytest.approx(share, abs=1e-3)


def test_a_dense_action_beats_nothing(simulated):
    answer = one(simulated, times=0.005)
    assert answer["recommended"]["sparsity"] == 0
    assert answer["probability_sparse_beats_dense"] == 0
    assert answer["loss"] == answer["dense_loss"]
    assert answer["dense_equivalent"] == pytest.approx({"median": 1, "lower": 1, "upper": 1})
    assert "optimum_at_zero" in codes(answer["notes"])


def test_edges_are_said_where_the_action_stands_on_one(simulated):
    inner, top = one(simulated, times=2.0), one(simulated, times=3000.0)
    assert not {"optimum_at_zero", "optimum_at_largest_sparsity"} & set(codes(inner["notes"]))
    assert top["recommended"]["sparsity"] == pytest.approx(0.875)
    assert "optimum_at_largest_sparsity" in codes(top["notes"])
    # a pattern has no edge but dense to stand on
    for times, expected in ((0.005, {"optimum_at_zero"}), (3000.0, set())):
        pattern = one(simulated, times=times, structure="2:4")
        assert {"optimum_at_zero", "optimum_at_largest_sparsity"} & set(codes(pattern["notes"])) == expected


def test_the_largest_sparsity_allowed(simulated):
    free = one(simulated, times=100.0)
    assert free["recommended"]["sparsity"] > 0.6
    held = one(simulated, times=100.0, max_sparsity=0.6)
    assert held["recommended"]["sparsity"] == pytest.approx(0.6)
    assert "optimum_at_largest_sparsity" in codes(held["notes"])
    assert all(choice["sparsity"] <= 0.6 for choice in held["choices"])
    beyond = one(simulated, times=3000.0, max_sparsity=0.95)
    assert 0.875 < beyond["recommended"]["sparsity"] <= 0.95
    assert beyond["extrapolation"]["sparsity"] > 0
    assert "extrapolation" in codes(beyond["notes"])


def test_a_pattern_beyond_the_largest_sparsity_allowed(simulated):
    answer = one(simulated, times=30.0, structure="2:4", max_sparsity=0.3)
    assert answer["recommended"]["sparsity"] == 0.0
    assert [choice["sparsity"] for choice in answer["choices"]] == [0.0]
    assert "pattern_not_allowed" in codes(answer["notes"])


def test_a_limit_below_the_runs_does_not_claim_that_there_are_none(simulated):
    answer = one(simulated, times=100.0, max_sparsity=0.6)
    (note,) = [n for n in answer["notes"] if n["code"] == "optimum_at_largest_sparsity"]
    assert "no run" not in note["message"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"train_flops": 1e3}, "less than one token"), ({"train_flops": 1e20, "pretrain_data": 1e6}, "'pretrained'")],
)
def test_questions_without_an_answer(simulated, arguments, words):
    with pytest.raises(InputError, match=words):
        bs.recommend(simulated, 1e8, **arguments)


def test_inside_the_runs_nothing_is_extrapolated(simulated):
    size = 8e6
    (answer,) = bs.recommend(simulated, size, 6 * size * 8e9, "language", "unstructured").to_dict()["answers"]
    assert answer["extrapolation"] == {"nonzero_params": 0, "data_seen": 0, "sparsity": 0, "train_flops": 0}
    assert codes(answer["notes"]) == []


def test_beyond_the_runs_it_is_said_how_far(simulated):
    size = 6.4e9
    (answer,) = bs.recommend(simulated, size, 6 * size * 1e10, "language", "unstructured").to_dict()["answers"]
    assert answer["extrapolation"]["nonzero_params"] == pytest.approx(np.log(100))
    assert answer["extrapolation"]["train_flops"] > 0
    (note,) = [note for note in answer["notes"] if note["code"] == "extrapolation"]
    assert "100 times in nonzero_params" in note["message"]


def test_an_unseen_pair_is_said(simulated):
    answers = bs.recommend(simulated, SIZE, budget(simulated, 3)).to_dict()["answers"]
    said = {(a["modality"], a["structure"]): "unseen_pair" in codes(a["notes"]) for a in answers}
    (misspelt,) = bs.recommend(simulated, 1e7, 1e19, "language", "unstructred").answers
    (note,) = (note for note in misspelt.notes if note.code == "unseen_pair")
    assert "had structure unstructred (they had 2:4, unstructured)" in note.message
    assert said == {
        ("language", "unstructured"): False,
        ("language", "2:4"): False,
        ("vision", "unstructured"): False,
        ("vision", "2:4"): True,
    }
    new = one(simulated, structure="1:4")
    assert "unseen_pair" in codes(new["notes"])
    assert new["recommended"]["sparsity"] in (0.0, 0.75)


def test_examples_without_a_say_earn_a_note(simulated):
    answers = bs.recommend(simulated, SIZE, 1e18).to_dict()["answers"]
    assert ["flops_per_example" in codes(a["notes"]) for a in answers] == [False, False, True, True]
    answers = bs.recommend(simulated, SIZE, 1e18, flops_per_unit=6 * 196).to_dict()["answers"]
    assert not any("flops_per_example" in codes(a["notes"]) for a in answers)
    patches = bs.recommend(simulated, SIZE, 196e18, "vision", flops_per_unit=6 * 196).to_dict()["answers"]
    tokens = bs.recommend(simulated, SIZE, 1e18, "vision").to_dict()["answers"]
    for one_way, other in zip(patches, tokens, strict=True):
        assert one_way["recommended"] == pytest.approx(other["recommended"], rel=1e-6)


def test_a_broken_posterior_says_so_in_every_answer():
    note = {"code": "gate_rhat", "severity": "error", "message": "Do not trust this posterior: R-hat is 1.2."}
    posterior = hand_built(random_coefficients(2, 50, SIZE), one_modality(), notes=[note])
    answer = one(posterior)
    assert note in answer["notes"]


def test_choices_of_a_single_posterior_draw():
    """With one draw the action is that draw's optimum, and there is nothing to regret."""
    k = {name: value[:1] for name, value in random_coefficients(3, 1, SIZE).items()}
    posterior = hand_built(k, one_modality())
    answer = one(posterior, times=1.0, max_sparsity=0.999)
    own = float(bs.optimal_sparsity(posterior, SIZE, answer["train_flops"], "language", "unstructured").squeeze())
    assert answer["recommended"]["sparsity"] == pytest.approx(own, abs=1e-4)
    assert answer["expected_regret"] == pytest.approx(0, abs=1e-8)


def test_pretrained(starts):
    found = bs.recommend(starts, SIZE, 1e18, strategy="pretrained", pretrain_data=2e9).to_dict()["answers"]
    assert [a["strategy"] for a in found] == ["pretrained"]
    scratch = bs.recommend(starts, SIZE, 1e18).to_dict()["answers"]
    assert found[0]["loss"]["median"] < scratch[0]["loss"]["median"]


def test_dense_is_no_structure_to_prune_to(simulated):
    """Asked for a dense model, the answer is dense, or an error; never a sparsity."""
    try:
        answer = one(simulated, times=10.0, structure="dense")
    except InputError:
        return
    assert answer["recommended"]["sparsity"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nonzero_params": 0}, "nonzero_params"),
        ({"train_flops": 0}, "train_flops"),
        ({"train_flops": -1}, "train_flops"),
        ({"train_flops": [1e20, 1e21]}, "one size and one budget"),
        ({"modality": "audio"}, r"audio.*language, vision"),
        ({"structure": "4:2"}, "4:2"),
        ({"prob": 1.5}, "prob"),
        ({"prob": 0}, "prob"),
        ({"max_sparsity": 1.0}, "max_sparsity"),
        ({"max_sparsity": 75}, "max_sparsity"),
        ({"cost": "cheap"}, "dense, gradual"),
        ({"flops_per_unit": -6}, "flops_per_unit"),
        ({"strategy": "pretrained"}, "pretrain"),
        ({"strategy": "pretrained", "pretrain_data": 1e9}, "pretrained"),
    ],
)
def test_questions_that_make_no_sense(simulated, arguments, message):
    with pytest.raises(InputError, match=message):
        bs.recommend(simulated, **{"nonzero_params": 1e9, "train_flops": 1e21} | arguments)


def test_it_prints_as_a_table(simulated):
    text = str(bs.recommend(simulated, SIZE, budget(simulated, 3), prob=0.8))
    assert "language" in text
    assert "80%" in text
    assert text == repr(bs.recommend(simulated, SIZE, budget(simulated, 3), prob=0.8))
