"""`bayes-scaling batch`, `mixture` and `solvable`, over what tests/studies say of the functions behind them."""

import json

import pytest

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
