"""`bayes-scaling holdout` and `compare`."""

import inspect
import json
from dataclasses import replace

import pytest
from helpers import one_modality

import bayes_scaling as bs
from bayes_scaling.notes import Note

BOTH = ("--law", "sparse", "--law", "coupled")


@pytest.fixture
def table(write):
    """A good sweep as a file in the working folder."""
    path = write("")
    bs.save_runs(bs.load_runs(one_modality()), path)
    return path


@pytest.fixture(scope="module")
def compared():
    """Two laws on that sweep."""
    return bs.compare(one_modality(), ["sparse", "coupled"], by="data_seen", folds=2, prob=0.8, progressbar=False)


@pytest.fixture
def asked(monkeypatch, compared):
    """What `bs.compare` was asked, which answers with two laws compared before."""
    arguments, real = {}, inspect.signature(bs.compare)

    def compare(*args, **kwargs):
        arguments.update(real.bind(*args, **kwargs).arguments)
        return compared

    monkeypatch.setattr(bs, "compare", compare)
    return arguments


def test_holdout(command, table):
    asked = ("--law", "sparse", "--by", "data_seen", "--no-bootstrap")
    done = command("holdout", table, *asked, "--json")
    assert done.status == 0
    found = json.loads(done.out)
    same = bs.holdout(table, "sparse", by="data_seen", against=(), progressbar=False).to_dict()
    assert found == json.loads(json.dumps(same))
    assert {row["predicted_by"] for row in found["scores"]} == {"posterior"}
    assert "data_seen" in command("holdout", table, *asked).out
    folds = json.loads(command("holdout", table, "--law", "sparse", "--folds", 3, "--no-bootstrap", "--json").out)
    assert sum(fit["held_out"] for fit in folds["fits"]) == len(one_modality())


def test_compare_prints_one_json_object(command, table, compared, asked):
    done = command("compare", table, *BOTH, "--by", "data_seen", "--folds", 2, "--prob", "0.8", "--json")
    assert (done.status, done.err) == (0, "")
    assert done.out.count("\n") == 1
    assert json.loads(done.out) == json.loads(json.dumps(compared.to_dict()))
    assert asked.pop("runs").equals(bs.load_runs(table))
    assert asked == {
        "laws": ["sparse", "coupled"], "by": "data_seen", "levels": None, "fraction": None, "folds": 2, "prob": 0.8,
        "seed": 0, "group": "modality", "discrepancy": True,
    }  # fmt: skip


def test_compare_for_people(command, table, asked):
    done = command(
        "compare", table, "--levels", 2, "--fraction", "0.2", "--seed", 3, "--group", "structure", "--no-discrepancy"
    )
    assert (done.status, done.err) == (0, "")
    del asked["runs"]
    assert asked == {
        "laws": None, "by": "nonzero_params", "levels": 2, "fraction": 0.2, "folds": 5, "prob": 0.89, "seed": 3,
        "group": "structure", "discrepancy": False,
    }  # fmt: skip
    text = " ".join(done.out.split())
    for words in ("weight by the scale held out", "chance of that, if this law is right", "level of data_seen"):
        assert words in text


@pytest.mark.parametrize("as_json", [True, False])
def test_refits_that_did_not_converge_are_not_to_be_trusted(command, table, compared, monkeypatch, as_json):
    note = Note("refit_not_converged", "warning", "The refit's chains disagree.")
    monkeypatch.setattr(bs, "compare", lambda *_, **__: replace(compared, notes=[note]))
    done = command("compare", table, *(["--json"] if as_json else []))
    assert done.status == 1
    assert "chains disagree" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("holdout", "--by", "nothing"), "by is 'nothing'"),
        (("holdout", "--law", "cubic"), "'cubic'"),
        (("holdout", "--folds", "1"), "folds is 1"),
        (("compare", "--law", "sparse"), "two or more"),
        (("compare", "--law", "sparse", "--law", "cubic"), "'cubic'"),
        (("compare", "--by", "nothing"), "by is 'nothing'"),
        (("compare", "--folds", "1"), "folds is 1"),
        (("compare", "--prob", "1.5"), "prob is 1.5"),
        (("compare", "--column", "M=nonzero_params"), "'M'"),
    ],
)
def test_wrong_input(command, table, arguments, words):
    name, *options = arguments
    done = command(name, table, *options, "--json")
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert words in done.err
