"""`bayes-scaling import`, on tables; what it reads from trackers is tested with each of them."""

import json

import pytest

import bayes_scaling as bs

ROWS = [
    "run_id,step,N,D,sparsity,state,val/loss",
    "a,0,1000,5000,0.5,done,4.0",
    "a,1,1000,5000,0.5,done,3.0",
    "a,2,1000,5000,0.5,done,3.5",
    "b,0,2000,5000,0.5,done,",
]
MAPPED = ("--column", "N=nonzero_params", "--column", "D=data_seen")
METRIC = ("--metric", "val/loss")


def test_a_table_of_steps_becomes_a_table_of_runs(command, write):
    done = command(
        "import", "table", write(*ROWS, name="steps.csv"), *MAPPED, *METRIC, "--loss-rule", "best", "--constant",
        "modality=language", "--out", "sweep.csv",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert done.out == ""
    assert "warning: 1 of 2 runs of steps.csv left out, without 'val/loss': b." in done.err
    assert "1 runs written to sweep.csv" in done.err
    assert "Fit them: bayes-scaling fit sweep.csv --out posterior.nc" in done.err
    runs = bs.load_runs("sweep.csv")
    assert (runs["loss"].item(), runs["modality"].item(), runs["loss_rule"].item()) == (
        3.0,
        "language",
        "best val/loss",
    )


def test_json_says_the_same(command, write):
    done = command(
        "import", "table", write(*ROWS, name="steps.csv"), *MAPPED, *METRIC, "--out", "sweep.parquet", "--json"
    )
    told = json.loads(done.out)
    notes = told.pop("notes")
    assert told == {
        "kind": "table", "source": "steps.csv", "loss_rule": "last", "out": "sweep.parquet", "runs": 1,
    }  # fmt: skip
    assert [(note["code"], note["about"]["run_id"]) for note in notes] == [("runs_left_out", "b")]
    assert bs.load_runs("sweep.parquet")["loss"].item() == 3.5


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--loss-rule", "least"), "loss is 'least', which is no rule"),
        (("--constant", "modality"), "--constant modality is no constant; it takes OURS=VALUE"),
        (("--column", "N"), "--column N is no renaming"),
        (("--filter", "x"), "filter is 'x', which the kind 'table' does not take"),
        (("--experiment", "x"), "experiments is ['x'], which the kind 'table' does not take"),
        (("--metric", "loss"), "steps.csv has no metric 'loss' in any run"),
        (("--out", "none/sweep.csv"), "--out none/sweep.csv cannot be written"),
        (("--out", "sweep.xlsx"), "--out sweep.xlsx has no ending that a run table can be written to"),
    ],
)
def test_mistakes_are_one_line(command, write, more, message):
    done = command("import", "table", write(*ROWS, name="steps.csv"), *MAPPED, *METRIC, "--out", "sweep.csv", *more)
    assert done.status == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_an_unknown_kind(command):
    done = command("import", "neptune", "here", "--out", "sweep.csv")
    assert done.status == 2
    assert "the kinds of sources are mlflow, table, tensorboard, wandb" in done.err
