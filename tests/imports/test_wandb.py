"""Run folders that W&B's own library wrote offline, in a process of its own, and exports of its web page."""

import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

import bayes_scaling as bs
from bayes_scaling.notes import read_notes

pytest.importorskip("wandb")

NAMES = {"model.n": "nonzero_params", "tokens": "data_seen"}
WRITE = """
import os, sys, wandb
config = {"model": {"n": 1e6}, "sparsity": 0.5, "structure": "2:4", "loss": "cross entropy"}
def run(name, points, **more):
    started = wandb.init(project="p", id=name, name=f"the {name}", group="sweep", config=config | more)
    for step, point in enumerate(points):
        started.log({"eval": {"loss": point}, "eval/loss": point, "tokens": 1e9 * (step + 1)})
        started.log({"lr": 0.1})
    return started
started = run("fine", [4.0, 2.0, 3.0])
started.config.update({"model": {"n": 2e6}}, allow_val_change=True)
started.summary["final"] = 2.5
started.finish()
run("burst", [3.0, float("nan")]).finish()
run("ill", [5.0]).finish(exit_code=3)
run("long", [3.0] * 600, text="x" * 100_000).finish()
run("cut", [5.0])
import time; time.sleep(0.5)
os._exit(0)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five runs: sound, diverged, failed, of many blocks, and killed."""
    root = tmp_path_factory.mktemp("wandb")
    quiet = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "HOME": str(root), "WANDB_DIR": str(root)}
    subprocess.run([sys.executable, "-c", WRITE], env=os.environ | quiet, check=True, capture_output=True, timeout=60)
    return root


def imported(source, loss="last", metric="eval/loss", columns=NAMES, **more):
    return bs.import_runs(source, "wandb", columns, loss, metric=metric, **more)


def left_out(runs):
    return {
        note.about["run_id"]: note.about["reason"] for note in read_notes(runs.attrs) if note.code == "runs_left_out"
    }


def log_of(folder, run_id):
    return next(folder.rglob(f"run-{run_id}.wandb"))


def by_id(runs, column):
    return dict(zip(runs["run_id"].values.tolist(), runs[column].values.tolist(), strict=True))


# --- run folders -----------------------------------------------------------------------------------------------------


def test_run_folders(folder):
    runs = imported(folder, columns=NAMES | {"group": "sweep", "final": "final"})
    assert runs["run_id"].values.tolist() == ["fine", "burst", "long"]  # as they were started
    losses = by_id(runs, "loss")
    assert (losses.pop("fine"), losses.pop("long")) == (3.0, 3.0)
    assert str(losses.pop("burst")) == "nan"
    assert not losses
    assert by_id(runs, "nonzero_params") == {"fine": 2e6, "burst": 1e6, "long": 1e6}
    assert by_id(runs, "data_seen") == {"fine": 3e9, "burst": 2e9, "long": 6e11}
    assert by_id(runs, "final")["fine"] == 2.5
    assert set(runs["structure"].values) == {"2:4"}
    assert set(runs["sweep"].values) == {"sweep"}
    assert by_id(runs, "run_name")["fine"] == "the fine"
    assert left_out(runs) == {"ill": "not finished (exit status 3)", "cut": "not finished (running or cut off)"}


def test_the_rule_reads_the_history(folder):
    assert by_id(imported(folder, "best"), "loss")["fine"] == 2.0
    assert by_id(imported(folder, "mean:2"), "loss")["fine"] == 2.5
    assert by_id(imported(folder, "mean:600"), "loss") == {"long": 3.0}


def test_nested_metrics_are_dotted(folder):
    assert by_id(imported(folder, "best", "eval.loss"), "loss")["fine"] == 2.0


def test_unfinished_runs_on_demand(folder):
    runs = imported(folder, unfinished=True)
    assert by_id(runs, "loss")["ill"] == 5.0
    assert list(left_out(runs)) == ["cut"]  # the library keeps what it has not written yet


def test_one_file(folder):
    assert by_id(imported(log_of(folder, "fine")), "loss") == {"fine": 3.0}


def test_a_resumed_run_is_one_run(folder, tmp_path):
    whole = log_of(folder, "fine").read_bytes()
    for place, content in (("offline-run-20260102_000000-fine", whole), ("run-20260101_000000-fine", whole[:-20])):
        (tmp_path / "wandb" / place).mkdir(parents=True)
        (tmp_path / "wandb" / place / "run-fine.wandb").write_bytes(content)
    runs = imported(tmp_path, "mean:6")  # (4 + 2 + 3) twice over, and the later file says that it finished
    assert by_id(runs, "loss") == {"fine": 3.0}


def test_damaged_files(folder, tmp_path):
    whole = log_of(folder, "fine").read_bytes()
    file = tmp_path / "run-fine.wandb"
    file.write_bytes(whole[:-20])  # its last record, which says that it ended, was cut off
    with pytest.raises(bs.InputError, match=r"1 run not finished \(running or cut off\)"):
        imported(file)
    assert by_id(imported(file, unfinished=True), "loss") == {"fine": 3.0}
    file.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    with pytest.raises(bs.InputError, match=r"run-fine\.wandb is damaged at byte \d+"):
        imported(file)
    file.write_bytes(b"no log at all")
    with pytest.raises(bs.InputError, match="is no run file of W&B: it does not begin with ':W&B'"):
        imported(file)
    file.write_bytes(whole[:6] + b"\1" + whole[7:])
    with pytest.raises(bs.InputError, match="of a version that is not known"):
        imported(file)
    file.write_bytes(b"")
    with pytest.raises(bs.InputError, match=r"has no run that can be used: 1 run not finished"):
        imported(file)


def test_without_the_extra(folder, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "wandb"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(bs.InputError, match=r"pip install 'bayes-scaling\[wandb\]'"):
        imported(folder)
    with pytest.raises(bs.InputError, match=r"pip install 'bayes-scaling\[wandb\]'"):
        imported("team/project")


# --- exports of the web page -----------------------------------------------------------------------------------------

EXPORT = """"Name","State","Created","Runtime","Tags","model.n","sparsity","tokens","eval/loss"
"fine","finished","2026-01-01T00:00:00.000Z","12","","1000000","0.5","1000000000","3"
"burst","finished","2026-01-01T00:00:00.000Z","12","","1000000","0.5","1000000000","NaN"
"ill","crashed","2026-01-01T00:00:00.000Z","12","a, b","1000000","0.5","1000000000","5"
"bare","finished","2026-01-01T00:00:00.000Z","12","","1000000","0.5","",""
"""


def test_an_export(write):
    name = write(EXPORT, end="")
    runs = imported(name, columns=NAMES | {"Tags": "tags"})
    assert runs["run_id"].values.tolist() == ["fine", "burst"]
    assert str(runs["loss"].values.tolist()) == "[3.0, nan]"
    assert left_out(runs) == {"ill": "not finished (crashed)", "bare": "without 'tokens'"}
    with pytest.raises(
        bs.InputError, match=r"sweep\.csv holds one value of a metric and not its history, which .*'best'"
    ):
        imported(name, "best")


def test_an_export_with_ids_or_with_names_that_repeat(write):
    rows = ["Name,ID,model.n,sparsity,tokens,eval/loss", "same,a1,1e6,0,1e9,3", "same,a2,1e6,0,1e9,2"]
    assert by_id(imported(write(*rows)), "loss") == {"a1": 3.0, "a2": 2.0}
    runs = imported(write(*(row.replace(",a1", "").replace(",a2", "").replace(",ID", "") for row in rows)))
    assert by_id(runs, "run_name") == {"run-0001": "same", "run-0002": "same"}


def test_another_table_is_no_export(write):
    with pytest.raises(bs.InputError, match=r"has no column 'Name', as W&B's export .* is of the kind 'table'"):
        imported(write("Step,fine - eval/loss", "0,3.0"))


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "more", "message"),
    [
        ("project", {}, "project is neither a file or folder nor a project of W&B, written entity/project"),
        ("a/b/c", {}, "a/b/c is neither a file"),
        (3, {}, "source is a int, where W&B's are a project or a path"),
        ("team/project", {"filter": "state = finished"}, "filter is 'state = finished', where W&B takes JSON such as"),
        ("team/project", {"filter": "[1]"}, "where W&B takes JSON"),
        (".", {}, "the folder . holds no runs of W&B (run-*.wandb)"),
        (".", {"filter": "{}"}, "filter is for W&B's API alone"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, monkeypatch, source, more, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(bs.InputError) as told:
        imported(source, **more)
    assert message in str(told.value)


class _Refusing(http.server.BaseHTTPRequestHandler):
    """A service that lets nobody in. (One that is not there at all the library tries for as long as it likes.)"""

    def do_POST(self):
        self.send_response(401)
        self.end_headers()
        self.wfile.write(b'{"errors": [{"message": "no such key"}]}')

    def log_message(self, *_):
        pass


def test_a_service_that_refuses(tmp_path):
    code = (
        "import bayes_scaling as bs\n"
        "try:\n    bs.import_runs('team/project', 'wandb')\nexcept bs.InputError as error:\n    print(error)"
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{service.server_port}"
        there = {"WANDB_BASE_URL": address, "WANDB_API_KEY": "0" * 40, "HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | there,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        service.shutdown()
    assert "team/project cannot be read from W&B (Failed to verify credentials" in done.stdout
    assert "no such key" in done.stdout


def test_the_api_of_the_library(tmp_path, loopback):
    """The real client, whose queries a server on this machine answers as their schema says; no run of the service."""
    code = (
        "import sys, json, bayes_scaling as bs\nfrom bayes_scaling.notes import read_notes\n"
        "runs = bs.import_runs('team/project', 'wandb', json.loads(sys.argv[1]), sys.argv[2], metric='eval/loss',\n"
        "    filter={'group': 'sweep'})\n"
        "print(json.dumps([runs[name].values.tolist() for name in ('run_id', 'run_name', 'nonzero_params', 'loss')]))\n"
        "print([note.message for note in read_notes(runs.attrs)])"
    )
    here = {"WANDB_BASE_URL": loopback.address, "WANDB_API_KEY": "0" * 40, "HOME": str(tmp_path)}
    here |= {"WANDB_CACHE_DIR": str(tmp_path), "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(NAMES), "best"],
        env=os.environ | here, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, told = done.stdout.splitlines()
    assert json.loads(found.replace("NaN", "null")) == [["r1", "r2"], ["one", "two"], [1e6, 1e6], [2.0, None]]
    assert "1 of 3 runs of team/project left out, not finished (crashed): r3 (three)." in told
    asked = loopback.asked["Runs"][0]
    assert (asked["entity"], asked["project"], json.loads(asked["filters"])) == ("team", "project", {"group": "sweep"})
