"""Stores that MLflow's own client filled."""

import math
import os
import sqlite3
import subprocess
import sys

import pytest

import bayes_scaling as bs
from bayes_scaling.notes import read_notes

mlflow = pytest.importorskip("mlflow")

NAMES = {"model.n": "nonzero_params", "tokens": "data_seen"}
POINTS = {"fine": [4.0, 2.0, 3.0], "ill": [5.0], "burst": [3.0, math.inf], "bare": []}


def fill(client):
    """Four runs of an experiment ``sweep``, one of them failed, and one run of another experiment."""
    sweep = client.create_experiment("sweep")
    for i, (name, points) in enumerate(POINTS.items()):
        run = client.create_run(sweep, run_name=name, start_time=1_000_000 + i, tags={"machine": "m1"}).info.run_id
        for key, value in {"model.n": 1e6, "sparsity": 0.5, "structure": "2:4", "fused": True, "lr": 1e-3}.items():
            client.log_param(run, key, value)
        for step, point in reversed(list(enumerate(points))):  # as a late worker would
            client.log_metric(run, "eval/loss", point, step=step)
        client.log_metric(run, "tokens", 1e9)
        client.set_terminated(run, "FAILED" if name == "ill" else "FINISHED")
    client.set_terminated(client.create_run(client.create_experiment("other")).info.run_id)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder mlruns."""
    path = tmp_path_factory.mktemp("mlflow") / "mlruns"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        fill(mlflow.MlflowClient(tracking_uri=path.as_uri()))
    return path


def imported(source, loss="last", columns=NAMES, **more):
    return bs.import_runs(source, "mlflow", columns, loss, metric="eval/loss", **more)


def check(source):
    runs = imported(source, "best", NAMES | {"fused": "fused", "lr": "lr", "machine": "machine"}, experiments="sweep")
    assert runs["run_name"].values.tolist() == ["fine", "burst"]
    assert runs["loss"].values[0] == 2.0
    assert math.isnan(runs["loss"].values[1])
    assert runs["data_seen"].values.tolist() == [1e9, 1e9]
    assert runs["structure"].values.tolist() == ["2:4", "2:4"]
    assert (runs["fused"].dtype, runs["lr"].values[0], runs["machine"].values[0]) == (bool, 1e-3, "m1")
    told = [note for note in read_notes(runs.attrs) if note.code == "runs_left_out"]
    assert [note.about["reason"] for note in told] == ["not finished (failed)", "without 'eval/loss'"]
    assert told[0].message.endswith("(ill).")
    assert imported(source)["loss"].values[0] == 3.0
    assert imported(source, "mean:2", unfinished=True)["run_name"].values.tolist() == ["fine", "burst"]


def test_a_folder(folder, monkeypatch):
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    before = sorted(folder.rglob("*"))
    check(folder)
    check(folder.as_uri())
    assert sorted(folder.rglob("*")) == before
    assert "MLFLOW_ALLOW_FILE_STORE" not in os.environ


def test_a_database(tmp_path):
    pytest.importorskip("alembic")
    fill(mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}"))
    check(f"sqlite:///{tmp_path / 'mlflow.db'}")
    check(tmp_path / "mlflow.db")


def test_a_database_without_what_it_needs(tmp_path):
    with sqlite3.connect(tmp_path / "mlflow.db") as file:
        file.execute("create table experiments (name text)")
    code = (
        "import sys\nsys.modules['alembic'] = None\nimport bayes_scaling as bs\n"
        "try:\n    bs.import_runs('mlflow.db', 'mlflow')\nexcept bs.InputError as error:\n    print(error)"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert told == "reading mlflow.db needs the package alembic: pip install alembic\n"


def test_experiments_and_filters(folder):
    with pytest.raises(bs.InputError, match=r"has no runs that the filter lets through"):
        imported(folder, filter="params.structure = '1:4'")
    assert imported(folder, filter="tags.machine = 'm1' and attributes.run_name = 'fine'").sizes["run"] == 1
    with pytest.raises(bs.InputError, match=r"has no metric 'eval/loss' in any run"):
        imported(
            folder, columns=None, experiments=["other"], constants=dict.fromkeys(NAMES.values(), 1) | {"sparsity": 0}
        )
    with pytest.raises(bs.InputError, match=r"has no experiment 'third' \(there are: .*sweep"):
        imported(folder, experiments=["sweep", "third"])
    with pytest.raises(bs.InputError, match="cannot be read by MLflow") as told:
        imported(folder, filter="loss is low")
    assert "\n" not in str(told.value)
    with pytest.raises(bs.InputError, match="where MLflow takes a text"):
        imported(folder, filter={"state": "finished"})


def test_a_server_that_does_not_answer():
    with pytest.raises(bs.InputError, match=r"http://127\.0\.0\.1:9 does not answer \(ConnectionError\)"):
        imported("http://127.0.0.1:9")


def test_what_is_no_store_is_left_as_it_was(tmp_path):
    with pytest.raises(bs.InputError, match="holds no MLflow experiments"):
        imported(tmp_path)
    for missing in ("mlflow.db", "sqlite:///mlflow.db", "mlruns"):
        with pytest.raises(bs.InputError, match=f"{missing} does not exist; MLflow's runs are at an address, in a"):
            imported(missing)
    (tmp_path / "notes.txt").write_text("no database")
    with pytest.raises(bs.InputError, match="is no SQLite file"):
        imported(tmp_path / "notes.txt")
    with pytest.raises(bs.InputError, match="source is a int"):
        imported(3)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_without_the_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(bs.InputError, match=r"pip install 'bayes-scaling\[mlflow\]'"):
        imported(folder)
