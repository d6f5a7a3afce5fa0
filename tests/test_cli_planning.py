"""`bayes-scaling next`."""

import json

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling import targets

LINES = (
    "run_id,nonzero_params,data_seen,sparsity",
    *(f"n{n}d{d}s{s},{n},{d},{s}" for n in ("2e6", "1.6e7") for d in ("1e9", "1.6e10") for s in ("0", "0.6", "0.8")),
)


@pytest.fixture
def planned(write):
    """Candidates as a file in the working folder."""
    return write(*LINES, name="candidates.csv")


def test_json_is_what_python_says(command, saved, planned):
    done = command("next", saved["single"], planned, "--budget-flops", "1e18", "--count", 3, "--json", "--prob", "0.8")
    assert (done.status, done.err) == (0, "")
    assert done.out.count("\n") == 1
    same = bs.next_runs(bs.load(saved["single"]), planned, 1e18, count=3, prob=0.8).to_dict()
    assert json.loads(done.out) == json.loads(json.dumps(same))


@pytest.mark.parametrize(
    ("options", "target"),
    [
        (
            ("optimal-sparsity", "--nonzero-params", "1e7", "--train-flops", "1e19"),
            targets.OptimalSparsity(1e7, 1e19, "language", "unstructured"),
        ),
        (
            ("loss", "--nonzero-params", "1e8", "--data-seen", "4e9", "--sparsity", "0.75"),
            targets.Loss(1e8, 4e9, 0.75, "language", "unstructured"),
        ),
        (("coefficient", "--name", "b_N", "--modality", "language"), targets.Coefficient("b_N", "language")),
        (
            ("regret", "--nonzero-params", "6.4e7", "--train-flops", "3e18", "--structure", "unstructured"),
            targets.Regret(6.4e7, 3e18, "language", "unstructured"),
        ),
    ],
)
def test_targets(command, saved, planned, options, target):
    done = command(
        "next", saved["single"], planned, "--budget-flops", "1e18", "--count", 1, "--json", "--target", *options
    )
    assert done.status == 0
    assert json.loads(done.out)["target"] == target.to_dict()


def test_the_table_and_the_file(command, saved, planned, tmp_path):
    done = command("next", saved["single"], planned, "--budget-flops", "1e18", "--count", 2, "--out", "next.csv")
    assert done.status == 0
    assert "Which runs to train next" in done.out
    assert "2 runs written to next.csv" in done.err
    assert "Train them: bayes-scaling sweep next.csv --store runs/next" in done.err
    runs = bs.load_runs(tmp_path / "next.csv", need_loss=False)
    np.testing.assert_array_equal(runs["rank"], [1, 2])
    assert float(runs["train_flops"].sum()) <= 1e18
    assert "loss" not in runs
    assert runs["run_id"].values.tolist() != bs.load_runs(planned, need_loss=False)["run_id"].values[:2].tolist()[::-1]


def test_nothing_to_train(command, saved, planned, tmp_path):
    done = command("next", saved["single"], planned, "--budget-flops", "1e9", "--out", "next.csv")
    assert done.status == 0
    assert "nothing_affordable" in done.out
    assert "nothing written" in done.err
    assert not (tmp_path / "next.csv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--budget-flops", "0"), "budget_flops is 0"),
        (("--budget-flops", "1e18", "--target", "speed"), "--target is 'speed'"),
        (("--budget-flops", "1e18", "--target", "loss", "--nonzero-params", "1e7"), "--target loss needs --data-seen"),
        (("--budget-flops", "1e18", "--target", "regret", "--name", "c"), "--target regret needs --nonzero-params"),
        (
            ("--budget-flops", "1e18", "--target", "coefficient", "--name", "c", "--sparsity", "0.5"),
            "takes no --sparsity",
        ),
        (("--budget-flops", "1e18", "--train-flops", "1e19"), "--train-flops without --target"),
        (("--budget-flops", "1e18", "--modality", "audio"), "--modality without --target"),
        (("--budget-flops", "1e18", "--out", "nowhere/next.csv"), "cannot be written"),
        (("--budget-flops", "1e18", "--column", "x"), "no renaming"),
    ],
)
def test_what_is_refused(command, saved, planned, options, message):
    done = command("next", saved["single"], planned, *options)
    assert done.status == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""


def test_candidates_that_are_not_there(command, saved, here_is_nothing):
    done = command("next", saved["single"], here_is_nothing, "--budget-flops", "1e18")
    assert done.status == 2
    assert "does not exist" in done.err


@pytest.fixture
def here_is_nothing(tmp_path):
    return tmp_path / "candidates.csv"
