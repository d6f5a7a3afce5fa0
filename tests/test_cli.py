import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer
from helpers import codes, one_modality, two_modalities

import bayes_scaling as bs
from bayes_scaling import cli

COMMANDS = sorted(typer.main.get_command(cli.app).commands)
DIAGNOSTICS = {"max_rhat", "min_ess_bulk", "min_ess_tail", "divergences", "ok"}
ASK = ("--nonzero-params", "1.6e7", "--train-flops", "3e18")


def write_csv(path, rows):
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def in_process_of_its_own(*arguments, cwd):
    """The installed command, as a shell runs it."""
    script = Path(sys.executable).with_name("bayes-scaling")
    start = [str(script)] if script.exists() else [sys.executable, "-m", "bayes_scaling.cli"]
    plain = {key: value for key, value in os.environ.items() if key not in {"FORCE_COLOR", "COLUMNS"}}
    return subprocess.run(
        [*start, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=plain | {"NO_COLOR": "1"},
        check=False,
    )


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A good sweep as a file in the working folder."""
    monkeypatch.chdir(tmp_path)
    return write_csv(Path("sweep.csv"), one_modality()).name


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example(command, name):
    done = command(name, "--help")
    assert done.status == 0
    text = " ".join(done.out.split())
    assert "Example:" in text
    assert f"bayes-scaling {name}" in text.partition("Example:")[2]


def test_the_commands_are_there():
    assert set(COMMANDS) >= {
        "demo", "fit", "update", "predict", "recommend", "compare", "holdout", "datasets", "train", "sweep", "runs",
    }  # fmt: skip


def test_help_of_the_installed_command(tmp_path):
    done = in_process_of_its_own("--help", cwd=tmp_path)
    assert done.returncode == 0
    for name in COMMANDS:
        assert name in done.stdout
    assert "bayes-scaling demo" in done.stdout


# --- fit -------------------------------------------------------------------------------------------------------------


def other_sweep():
    """As many groups as the posteriors of this process have, other runs."""
    return [row | {"loss": 1.3 * row["loss"]} for row in one_modality(sizes=[2e6, 1.6e7, 1.28e8])]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """One fit by the installed command: the folder, what it printed, and its JSON."""
    folder = tmp_path_factory.mktemp("fit")
    write_csv(folder / "sweep.csv", other_sweep())
    done = in_process_of_its_own("fit", "sweep.csv", "--law", "sparse", "--out", "p.nc", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done, json.loads(done.stdout)


def test_fit_prints_one_json_object(fitted):
    _, done, content = fitted
    assert done.stdout.count("\n") == 1
    assert set(content) == {"law", "n_runs", "prob", "summary", "diagnostics", "notes", "seconds"}
    assert content["law"] == "sparse"
    assert content["n_runs"] == 36
    assert content["prob"] == 0.89
    assert set(content["diagnostics"]) >= DIAGNOSTICS
    assert content["diagnostics"]["ok"] is True
    assert set(content["seconds"]) == {"import", "compile", "sample", "total"}
    assert all(value > 0 for value in content["seconds"].values())
    parts = sum(content["seconds"][name] for name in ("import", "compile", "sample"))
    assert parts <= content["seconds"]["total"] + 0.1
    assert content["notes"] == []
    for name in ("b_N[language]", "b_S[language, unstructured]", "a_D[language]", "b_N_population"):
        assert set(content["summary"][name]) == {"mean", "sd", "median", "lower", "upper"}


def test_python_and_command_line_and_json_agree(fitted):
    folder, _, content = fitted
    draws = bs.load(folder / "p.nc")["posterior"]
    for name in ("b_N", "b_D", "c"):
        values = draws[name].to_numpy()
        row = content["summary"][f"{name}[language]"]
        expected = [values.mean(), values.std(), *np.quantile(values, [0.5, 0.055, 0.945])]
        np.testing.assert_allclose([row[k] for k in ("mean", "sd", "median", "lower", "upper")], expected, rtol=1e-9)


def test_draws_do_not_depend_on_what_was_fitted_before(fitted, single):
    """The command fits in a fresh process, this one has compiled the model for another sweep: the same draws."""
    assert single["posterior"].sizes["modality"] == 1  # so that its model, compiled for its runs, is the one in use
    folder, _, _ = fitted
    here = bs.fit(bs.load_runs(folder / "sweep.csv"), law="sparse", seed=0, progressbar=False)
    there = bs.load(folder / "p.nc")
    for name, values in here["posterior"].to_dataset().data_vars.items():
        np.testing.assert_allclose(there["posterior"][name], values, rtol=1e-9, err_msg=name)


def test_fit_for_people(command, table):
    done = command("fit", table, "--law", "sparse", "--prob", "0.8")
    assert done.status == 0
    assert "b_N[language]" in done.out
    assert "80%" in done.out
    assert "passed" in done.out
    assert "--out" in done.out  # the posterior was not kept, and that is said
    assert done.err == ""


def test_a_failed_gate(command, table, single):
    """Status 1, the output written all the same, and every later command says it again."""
    done = command("fit", table, "--law", "sparse", "--draws", 20, "--out", "weak.nc", "--json")
    assert done.status == 1
    content = json.loads(done.out)
    assert content["diagnostics"]["ok"] is False
    errors = [note for note in content["notes"] if note["severity"] == "error"]
    assert "gate_ess_bulk" in codes(errors)
    assert "Do not trust" in done.err
    weak = bs.load("weak.nc")
    assert weak["posterior"].sizes["draw"] == 40  # the refit draws twice as often
    assert json.loads(weak.attrs["settings"])["draws"] == 20
    planned = write_csv(Path("planned.csv"), [{"sparsity": 0.5, "nonzero_params": 1e7, "data_seen": 1e10}])
    for later in (
        ("predict", "weak.nc", planned, "--json"),
        ("predict", "weak.nc", planned),
        ("recommend", "weak.nc", *ASK, "--json"),
        ("recommend", "weak.nc", *ASK),
    ):
        done = command(*later)
        assert done.status == 1, later
        assert "Do not trust" in done.err
        if "--json" in later:
            content = json.loads(done.out)
            notes = content["notes"] if "notes" in content else content["answers"][0]["notes"]
            assert set(codes(errors)) <= set(codes(notes))
        else:
            assert "Do not trust" in " ".join(done.out.split())
    assert json.loads(single.attrs["diagnostics"])["ok"]


def test_update(command, here, single):
    rows = one_modality()
    bs.save(bs.fit(bs.load_runs(rows[:20]), law="sparse", progressbar=False), "old.nc")
    write_csv("more.csv", rows[20:])
    done = command("update", "old.nc", "more.csv", "--out", "new.nc", "--json")
    assert done.status == 0
    content = json.loads(done.out)
    assert content["n_runs"] == 36
    assert content["summary"]["b_N[language]"]["mean"] == pytest.approx(float(single["posterior"]["b_N"].mean()))
    assert bs.load("new.nc")["runs"].sizes["run"] == 36
    done = command("update", "new.nc", "more.csv", "--out", "newer.nc")
    assert (done.status, done.out) == (2, "")
    assert rows[20]["run_id"] in done.err
    assert not Path("newer.nc").exists()
    assert here == Path.cwd()


# --- predict and recommend -------------------------------------------------------------------------------------------

PLANNED = [
    {"run_id": "in", "modality": "language", "structure": "unstructured", "sparsity": 0.6,
     "nonzero_params": 1e7, "data_seen": 1e10},
    {"run_id": "out", "modality": "language", "structure": "2:4", "sparsity": 0.5,
     "nonzero_params": 6.4e8, "data_seen": 3.2e11},
    {"run_id": "dense", "modality": "vision", "structure": "dense", "sparsity": 0.0,
     "nonzero_params": 1e7, "data_seen": 1e9, "data_unit": "examples"},
]  # fmt: skip


@pytest.mark.parametrize("kind", ["new-run", "mean"])
def test_predict_has_the_same_numbers_everywhere(command, here, saved, simulated, kind):
    rows = [{"data_unit": "tokens"} | row for row in PLANNED]
    planned = write_csv("planned.csv", rows)
    done = command("predict", saved["simulated"], planned, "--json", "--prob", "0.8", "--kind", kind)
    assert done.status == 0
    assert done.err == ""
    content = json.loads(done.out)
    assert done.out.count("\n") == 1
    assert set(content) >= {"prob", "kind", "runs"}
    assert (content["prob"], content["kind"]) == (0.8, kind)
    assert [row["run_id"] for row in content["runs"]] == ["in", "out", "dense"]
    draws = bs.predict(simulated, rows, kind=kind)
    shown = command("predict", saved["simulated"], planned, "--prob", "0.8", "--kind", kind)
    assert shown.status == 0
    for i, row in enumerate(content["runs"]):
        assert set(row) == {"run_id", "median", "lower", "upper", "extrapolation"}
        expected = np.quantile(draws.isel(run=i), [0.5, 0.1, 0.9])
        np.testing.assert_allclose([row["median"], row["lower"], row["upper"]], expected, rtol=1e-12)
        for key in ("median", "lower", "upper"):
            assert f"{row[key]:.4f}" in shown.out
        assert set(row["extrapolation"]) == {"nonzero_params", "data_seen", "sparsity", "train_flops"}
    inside, outside, _ = (row["extrapolation"] for row in content["runs"])
    assert set(inside.values()) == {0}
    assert outside["nonzero_params"] == pytest.approx(np.log(10))
    assert outside["data_seen"] == pytest.approx(np.log(10))
    assert "80%" in shown.out
    assert here == Path.cwd()


def test_predict_seed(command, here, saved):
    planned = write_csv("planned.csv", PLANNED[:1])
    runs = [
        command("predict", saved["simulated"], planned, "--json", *more).out
        for more in ((), ("--seed", 0), ("--seed", 1))
    ]
    assert runs[0] == runs[1] != runs[2]
    assert here == Path.cwd()


def test_recommend_has_the_same_numbers_everywhere(command, saved, simulated):
    path = saved["simulated"]
    done = command("recommend", path, *ASK, "--json", "--cost", "dense", "--prob", "0.8", "--flops-per-unit", "12")
    assert (done.status, done.err) == (0, "")
    content = json.loads(done.out)
    assert content == bs.recommend(simulated, 1.6e7, 3e18, cost="dense", prob=0.8, flops_per_unit=12).to_dict()
    assert len(content["answers"]) == 4
    some = ("--modality", "vision", "--structure", "unstructured", "--structure", "2:4")
    (first, second) = json.loads(command("recommend", path, *ASK, "--json", *some).out)["answers"]
    assert (first["modality"], first["structure"], second["structure"]) == ("vision", "unstructured", "2:4")
    shown = command("recommend", path, *ASK, *some)
    assert shown.status == 0
    for answer in (first, second):
        assert f"{answer['recommended']['sparsity']:.3f}" in shown.out
        assert f"{answer['loss']['median']:.4f}" in shown.out
    limited = json.loads(command("recommend", path, *ASK, "--json", "--max-sparsity", "0.5").out)["answers"]
    assert all(answer["recommended"]["sparsity"] <= 0.5 + 1e-12 for answer in limited)


def test_recommend_by_the_installed_command(saved, simulated, tmp_path):
    done = in_process_of_its_own("recommend", saved["simulated"], *ASK, "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    expected = bs.recommend(simulated, 1.6e7, 3e18).to_dict()
    for one, other in zip(found["answers"], expected["answers"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-12)
        assert one["recommended"] == pytest.approx(other["recommended"], rel=1e-9)


# --- tables and data sets --------------------------------------------------------------------------------------------


def test_datasets(command):
    done = command("datasets", "--json")
    assert (done.status, done.err) == (0, "")
    entries = json.loads(done.out)["datasets"]
    assert [entry["name"] for entry in entries] == bs.datasets.names()
    assert {"python-stdlib", "frantar2023"} <= {entry["name"] for entry in entries}
    for entry in entries:
        assert set(entry) == {"name", "description", "reference", "licence"}
        assert all(entry.values())
    shown = command("datasets")
    assert shown.status == 0
    for name in bs.datasets.names():
        assert name in shown.out


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.jsonl", "out.nc"])
def test_runs_writes_another_format(command, table, name):
    done = command("runs", table, "--out", name)
    assert (done.status, done.out) == (0, "")
    assert "36 runs" in done.err
    assert bs.load_runs(name).drop_attrs().identical(bs.load_runs(table).drop_attrs())


def test_runs_of_a_data_set_by_name(command, here):
    assert command("runs", "python-stdlib", "--out", "sweep.csv").status == 0
    assert bs.load_runs("sweep.csv").sizes == bs.datasets.load("python-stdlib").sizes
    assert here == Path.cwd()


@pytest.mark.parametrize("name", ["a[bold]b.csv", "a[red]b[green].csv"])
def test_a_path_with_brackets_is_shown_as_it_is(command, table, name):
    done = command("runs", table, "--out", name)
    assert done.status == 0
    assert Path(name).is_file()
    assert name in done.err


def test_columns_are_renamed(command, here):
    rows = [{"N" if k == "nonzero_params" else k: v for k, v in row.items()} for row in one_modality()]
    write_csv("theirs.csv", rows)
    assert command("runs", "theirs.csv", "--column", "N=nonzero_params", "--out", "ours.csv").status == 0
    assert bs.load_runs("ours.csv")["nonzero_params"].to_numpy()[0] == 1e6
    assert here == Path.cwd()


# --- wrong input -----------------------------------------------------------------------------------------------------


def refused(done, *words):
    """Status 2, one line on stderr that has the words, nothing on stdout."""
    assert done.status == 2
    assert done.out == ""
    assert done.err.count("\n") == 1, done.err
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err, done.err


@pytest.mark.usefixtures("here")
def test_runs_shows_counts_alike(command):
    rows = [row | {"nonzero_params": 1e6 * 10**i, "data_seen": 2e8 * 10**i} for i, row in enumerate(one_modality()[:4])]
    shown = command("runs", write_csv("sweep.csv", rows)).out
    for text in ("200,000,000", "2e+09", "2e+11", "1,000,000", "100,000,000", "1e+09"):
        assert f" {text} " in shown
    assert "000.0 " not in shown


def changed(row=3, **cells):
    """The sweep with cells of a row replaced; rows count as an editor's lines do, the header being line 1."""
    rows = [dict(r) for r in one_modality()]
    rows[row - 2] |= cells
    return rows


def without(column):
    return [{k: v for k, v in row.items() if k != column} for row in one_modality()]


BAD_TABLES = {
    "missing column": (lambda: without("nonzero_params"), ("nonzero_params",)),
    "no loss": (lambda: without("loss"), ("'loss'",)),
    "text for a number": (lambda: changed(data_seen="many"), ("line 3", "data_seen", "many")),
    "NaN sparsity": (lambda: changed(sparsity="nan"), ("line 3", "sparsity")),
    "empty size": (lambda: changed(nonzero_params=""), ("line 3", "nonzero_params")),
    "negative size": (lambda: changed(nonzero_params=-5), ("line 3", "nonzero_params", "-5")),
    "zero data": (lambda: changed(data_seen=0), ("line 3", "data_seen")),
    "percent": (lambda: changed(sparsity=75), ("line 3", "sparsity", "75", "0.75")),
    "sparsity one": (lambda: changed(sparsity=1.0), ("line 3", "sparsity")),
    "not its pattern": (
        lambda: changed(sparsity=0.5, structure="1:4"),
        ("line 3", "sparsity", "0.5", "1:4", "0.75"),
    ),
    "impossible pattern": (lambda: changed(sparsity=0.5, structure="4:2"), ("line 3", "structure", "4:2")),
    "dense and sparse": (lambda: changed(row=4, structure="dense", sparsity=0.5), ("line 4", "structure", "dense")),
    "two units": (lambda: changed(data_unit="examples"), ("line 3", "data_unit", "language", "examples")),
    "unknown strategy": (lambda: changed(strategy="warm"), ("line 3", "strategy", "warm")),
    "no pretraining data": (lambda: changed(strategy="pretrained"), ("pretrain_data",)),
    "duplicate run": (
        lambda: changed(row=5, run_id=one_modality()[0]["run_id"]),
        ("line 5", "run_id", one_modality()[0]["run_id"]),
    ),
    "zero loss": (lambda: changed(loss=0), ("line 3", "loss")),
    "too few": (lambda: one_modality()[:5], ("5 finished runs", "8")),
    "all diverged": (lambda: [row | {"loss": "nan"} for row in one_modality()], ("0 finished runs",)),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables(command, here, case):
    make, words = BAD_TABLES[case]
    write_csv("bad.csv", make())
    refused(command("fit", "bad.csv", "--json", "--out", "p.nc"), "bad.csv", *words)
    assert [path.name for path in here.iterdir()] == ["bad.csv"]


BAD_FILES = {
    "empty.csv": b"",
    "header.csv": b"sparsity,nonzero_params,data_seen,loss\n",
    "binary.csv": bytes(range(256)) * 9,
    "empty.parquet": b"",
    "broken.json": b'[{"sparsity": 0,',
    "table.xlsx": b"PK",
    "text.nc": b"hello",
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(command, here, name):
    (here / name).write_bytes(BAD_FILES[name])
    refused(command("fit", name, "--json"), name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "missing.csv"), ("missing.csv", "python-stdlib")),
        (("fit", "no-such-set"), ("no-such-set", "frantar2023")),
        (("runs", "missing.csv", "--out", "x.csv"), ("missing.csv",)),
        (("fit", "sweep.csv", "--column", "M=nonzero_params"), ("sweep.csv", "'M'")),
        (("fit", "sweep.csv", "--column", "nonzero_params"), ("--column", "THEIRS=OURS")),
        (("fit", "structures", "--column", "N=nonzero_params"), ("--column", "structures", "no renaming")),
        (("runs", "sweep.csv", "--where", "structure = dense"), ("structure == '2:4'", "the columns are")),
        (("fit", "sweep.csv", "--law", "chinchilla"), ("chinchilla", "sparse")),
        (("fit", "sweep.csv", "--group", "corpus"), ("corpus",)),
        (("fit", "sweep.csv", "--prob", "1.5"), ("prob", "1.5")),
        (("fit", "sweep.csv", "--out", "missing/p.nc"), ("missing",)),
        (("fit", "sweep.csv", "--seed", "-1"), ("seed",)),
        (("runs", "sweep.csv", "--out", "sweep.xlsx"), ("sweep.xlsx",)),
        (("predict", "missing.nc", "sweep.csv"), ("missing.nc",)),
        (("recommend", "missing.nc", *ASK), ("missing.nc",)),
        (("recommend", "sweep.csv", *ASK), ("sweep.csv",)),
        (("predict", "sweep.csv", "sweep.csv"), ("sweep.csv",)),
        (("update", "missing.nc", "sweep.csv"), ("missing.nc",)),
    ],
)
def test_bad_arguments(command, table, arguments, words):
    assert Path(table).exists()
    refused(command(*arguments), *words)
    assert [path.name for path in Path().iterdir()] == [table]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--nonzero-params", "0", "--train-flops", "1e20"), ("nonzero_params",)),
        (("--nonzero-params", "-1e9", "--train-flops", "1e20"), ("nonzero_params",)),
        (("--nonzero-params", "1e9", "--train-flops", "0"), ("train_flops",)),
        (("--nonzero-params", "1e9", "--train-flops", "-1e20"), ("train_flops",)),
        (("--nonzero-params", "nan", "--train-flops", "1e20"), ("nonzero_params",)),
        ((*ASK, "--modality", "audio"), ("audio", "language, vision")),
        ((*ASK, "--structure", "4:2"), ("4:2",)),
        ((*ASK, "--prob", "1.5"), ("prob", "1.5")),
        ((*ASK, "--prob", "0"), ("prob",)),
        ((*ASK, "--cost", "cheap"), ("cheap", "dense, gradual")),
        ((*ASK, "--flops-per-unit", "0"), ("flops_per_unit",)),
        ((*ASK, "--max-sparsity", "75"), ("max_sparsity",)),
        ((*ASK, "--strategy", "pretrained"), ("pretrain",)),
        ((*ASK, "--strategy", "warm"), ("warm",)),
    ],
)
def test_bad_questions(command, saved, arguments, words):
    refused(command("recommend", saved["simulated"], *arguments, "--json"), *words)


@pytest.mark.parametrize(
    ("row", "more", "words"),
    [
        ({"modality": "audio"}, (), ("planned.csv", "audio", "language, vision")),
        ({"sparsity": 75}, (), ("planned.csv", "line 2", "sparsity")),
        ({"nonzero_params": "big"}, (), ("planned.csv", "line 2", "nonzero_params", "big")),
        ({"structure": "1:4"}, (), ("planned.csv", "line 2", "1:4")),
        ({}, ("--prob", "1.5"), ("prob",)),
        ({}, ("--kind", "median"), ("median", "new-run")),
        ({}, ("--seed", "-1"), ("seed",)),
    ],
)
def test_bad_plans(command, here, saved, row, more, words):
    write_csv("planned.csv", [PLANNED[0] | row])
    refused(command("predict", saved["simulated"], "planned.csv", "--json", *more), *words)
    assert here == Path.cwd()


def test_a_truncated_posterior(command, here, saved):
    (here / "cut.nc").write_bytes(saved["simulated"].read_bytes()[:5000])
    refused(command("recommend", "cut.nc", *ASK, "--json"), "cut.nc")


def test_wrong_input_to_the_installed_command(tmp_path):
    write_csv(tmp_path / "bad.csv", changed(sparsity=75))
    done = in_process_of_its_own("fit", "bad.csv", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "bad.csv, line 3, column 'sparsity'" in done.stderr


def test_help_on_a_missing_option(command):
    done = command("recommend", "posterior.nc", "--train-flops", "1e20")
    assert done.status == 2
    assert done.out == ""
    assert "--nonzero-params" in done.err
    assert "Traceback" not in done.err


def test_an_interrupted_fit_leaves_nothing(tmp_path, simulated):  # noqa: ARG001 (whose model is compiled then)
    bs.save_runs(bs.load_runs(two_modalities()), tmp_path / "sweep.csv")
    out = tmp_path / "posterior.nc"
    command = [sys.executable, "-m", "bayes_scaling.cli", "fit", tmp_path / "sweep.csv", "--law", "sparse"]
    running = subprocess.Popen(
        [*command, "--draws", "200000", "--out", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts something in the background has it ignore interrupts, and what that starts as well.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        time.sleep(12)
        assert running.poll() is None
        # While modules are imported an interrupt can get lost; a person would try again.
        for _ in range(20):
            time.sleep(3)
            if running.poll() is not None:
                break
            running.send_signal(signal.SIGINT)
        printed, said = running.communicate(timeout=30)
    finally:
        running.kill()
    # Before the command line has taken over, Python answers the signal by itself.
    assert running.returncode in (130, -signal.SIGINT)
    assert "interrupted" in said or running.returncode != 130
    assert printed == ""
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.csv"]
