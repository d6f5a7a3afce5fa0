"""The commands of studies, over what tests/studies say of the functions behind them."""

import json

import numpy as np
import pytest
import xarray as xr

import bayes_scaling as bs

STEPS = ["batch_size,steps_to_target,steps_trained", "8,900,", "16,480,", "32,300,", "128,150,", "512,120,", "2048,,60"]


def test_batch_answers_about_groups_and_saves(command, write):
    done = command("batch", write(*STEPS), "--json", "--out", "posterior.nc", "--draws", 500, "--chains", 2)
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert told["law"] == "batch"
    assert told["diagnostics"]["ok"]
    assert [note["code"] for note in told["notes"]] == ["censored_runs"]
    (answer,) = told["answers"]
    assert answer["group"] == "all"
    critical = bs.batch.critical_batch(bs.load("posterior.nc"))
    assert answer["critical_batch"]["median"] == pytest.approx(float(critical.median()))
    assert answer["critical_batch"]["lower"] < 60 < answer["critical_batch"]["upper"]


def test_batch_asked_by_what_the_table_has_not_is_refused_in_a_line(command, write):
    done = command("batch", write(*STEPS), "--nonzero-params", 1e9)
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert "the table has trends over nothing" in done.err


def test_mixture_recommends_a_composition(command, write):
    rows = ["loss,amount_code,amount_text"]
    for code, text in ((1, 1), (0.2, 1), (3, 1), (1, 0.2), (1, 3), (2, 2)):
        loss = 20 * (1 + (code + 2.5) ** -1.5 - 3.5**-1.5 + (text + 3) ** -1.2 - 4**-1.2)
        rows.append(f"{loss},{code},{text}")
    done = command("mixture", write(*rows), "--total", 4, "--json", "--draws", 500, "--chains", 2)
    assert done.status in (0, 1), done.err
    told = json.loads(done.out)
    assert done.status == (0 if told["diagnostics"]["ok"] else 1)
    weights = {row["domain"]: row["recommended_weight"] for row in told["answers"]}
    assert sum(weights.values()) == pytest.approx(1)
    truth = bs.mixture.water_filling([2.5, 3.0], [1.5, 1.2], [1.0, 1.0], 4)
    for row, amount in zip(told["answers"], truth, strict=True):
        assert row["optimal_weight"]["lower"] < amount / 4 < row["optimal_weight"]["upper"]
    assert told["relative_loss"]["upper"] < 1


def test_weights_that_do_not_sum_to_one_are_refused_in_a_line(command, write):
    done = command("mixture", write("loss,weight_a,weight_b,total", "3,0.5,0.5,1", "2.9,0.7,0.4,1"))
    assert done.status == 2
    rows = ("loss,amount_a,amount_b", "3,1,1", "2.9,2,1", "2.8,1,2")
    assert "total is 0.1, less than the floors" in command("mixture", write(*rows), "--total", 0.1).err
    assert done.err.strip().endswith(
        "sweep.csv, line 3, column 'weight_a': the weights of the row sum to 1.1, where they sum to 1"
    )


def test_solvable_writes_a_run_table(command, write):  # noqa: ARG001  (works in its folder)
    sizes = ("--features", 8, "--features", 16, "--samples", 32, "--latent", 100)
    done = command("solvable", *sizes, "--ridge", 0.1, "--out", "runs.csv")
    assert done.status == 0, done.err
    assert "2 runs written to runs.csv" in done.err
    assert bs.load_runs("runs.csv")["ridge"].to_numpy().tolist() == [0.1, 0.1]
    assert command("solvable", *sizes, "--ridge", "much", "--out", "runs.csv").status == 2


def test_transfer_answers_about_sizes_and_amounts(command, tmp_path):
    out = tmp_path / "posterior.nc"
    asked = ("--nonzero-params", 24576, "--finetune-data", 8192, "--finetune-data", 1e8)
    done = command("transfer", "transfer", *asked, "--json", "--out", out, "--draws", 250)
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert told["law"] == "transfer"
    near, far = told["answers"]
    assert (near["group"], near["nonzero_params"], near["finetune_data"]) == ("all", 24576, 8192)
    assert 8 < near["data_multiplier"]["lower"] < near["data_multiplier"]["upper"] < 20
    assert 1 < far["data_multiplier"]["median"] < 1.2
    assert far["extrapolation_finetune_data"] > 3
    assert bs.load(out).attrs["law"] == "transfer"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("transfer", "transfer", "--nonzero-params", 0), "nonzero_params is 0; it is a finite number above 0"),
        (("transfer", "transfer", "--law", "sparse"), "law is 'sparse'; the law from scratch is one of"),
        (("transfer", "nowhere.csv"), "nowhere.csv does not exist"),
        (("effects", "regularisers", "--knob", "luck"), "there is no knob 'luck'; runs differ in weight_decay"),
        (("effects", "regularisers", "--nearer", "data"), "data, data, weight_decay are not 3 different knobs"),
    ],
)
def test_questions_that_cannot_be_answered_are_refused_before_a_fit(command, arguments, message):
    done = command(*arguments)
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert message in done.err


def test_rectified_predicts_every_curve(command, write):
    rows = ["model,unique_data,loss"]
    for model, floor in (("a", 1.0), ("b", 1.4)):
        for data in (100, 400, 1600, 6400, 25600, 102400):
            loss = bs.rectified.loss(data, start=3.0, floor=floor, half_data=2000.0, beta=0.6)
            rows.append(f"{model},{data},{loss * (1 + 0.004 * (-1) ** len(rows))}")
    assert command("rectified", write(*rows), "--finetune-data", -1).status == 2
    done = command("rectified", write(*rows), "--finetune-data", 1e6, "--json", "--draws", 300)
    assert done.status in (0, 1), done.err
    told = json.loads(done.out)
    assert done.status == (0 if told["diagnostics"]["ok"] else 1)
    first, second = told["answers"]
    assert (first["group"], second["group"]) == ("a", "b")
    truth = bs.rectified.loss(1e6, start=3.0, floor=1.0, half_data=2000.0, beta=0.6)
    assert first["loss"]["lower"] < truth < first["loss"]["upper"]
    assert first["probability_best"] > 0.8
    assert first["probability_best"] + second["probability_best"] == pytest.approx(1)


def test_effects_say_what_resembles_what(command, monkeypatch):
    """The fit stands in for a long one: draws of another table's effects, which tests/studies asks for the truth."""
    knobs, figures = ["weight_decay", "dropout", "input_noise", "sparsity", "data"], ["a", "b", "c"]
    draws = np.random.default_rng(0).normal(size=(2, 50, 5, 3))
    over = {"chain": [0, 1], "draw": range(50), "knob": knobs, "figure": figures}
    effect = xr.DataArray(draws, over, tuple(over))
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset({"effect": effect})})
    gate = {"max_rhat": 1.0, "min_ess_bulk": 1e3, "min_ess_tail": 1e3, "divergences": 0, "max_treedepth": 0}
    tree.attrs = {"law": "effects", "settings": "{}", "diagnostics": json.dumps(gate | {"min_ebfmi": 1.0, "ok": True})}
    monkeypatch.setattr(bs.effects, "fit", lambda *_, **__: tree)
    done = command("effects", "regularisers", "--json")
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert [(row["knob"], row["figure"]) for row in told["answers"]] == [(k, f) for k in knobs for f in figures]
    assert {row["knob"] for row in told["similarity"]} == set(knobs) - {"data"}
    claim = bs.effects.probability_closer(tree, "data", "dropout", "weight_decay")
    assert told["claim"] == {"knob": "data", "nearer": "dropout", "farther": "weight_decay", "probability": claim}
    shown = " ".join(command("effects", "regularisers").out.split())
    assert f"than like weight_decay: {claim:.3f}" in shown
