import re

import pytest
import typer
from helpers import one_modality

import bayes_scaling as bs
from bayes_scaling import cli
from bayes_scaling.cli import completion
from bayes_scaling.cli.app import PANELS


@pytest.fixture
def complete(monkeypatch, capsys):
    """What bash is offered for the last word of a command line."""

    def complete(*words):
        monkeypatch.setenv("_BAYES_SCALING_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join(("bayes-scaling", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        with pytest.raises(SystemExit):
            cli.main()
        return capsys.readouterr().out.split()

    return complete


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("reco",), ["recommend"]),
        (("fit", "--law", "sp"), ["sparse", "sparse+coupled", "sparse_repeated"]),
        (("fit", "frantar"), ["frantar2023"]),
        (("recommend", "p.nc", "--cost", "gr"), ["gradual"]),
        (("recommend", "p.nc", "--strategy", ""), ["scratch", "pretrained"]),
        (("sweep", "first"), ["first_sweep"]),
        (("next", "p.nc", "c.csv", "--target", "o"), ["optimal-sparsity"]),
        (("holdout", "sweep.csv", "--by", "n"), ["nonzero_params"]),
        (("recommend", "no-such-file.nc", "--modality", ""), []),
    ],
)
def test_words_that_were_begun_are_completed(complete, words, offered):
    assert complete(*words) == offered


def test_names_of_a_posterior_are_completed_from_its_file(complete, saved, monkeypatch):
    monkeypatch.chdir(saved["simulated"].parent)
    assert complete("recommend", "simulated.nc", "--modality", "") == ["language", "vision"]
    assert complete("recommend", "simulated.nc", "--structure", "un") == ["unstructured"]
    assert complete("recommend", "single.nc", "--modality", "v") == []


def test_tables_beside_data_sets_are_completed(tmp_path, monkeypatch):
    bs.save_runs(bs.load_runs(one_modality()), tmp_path / "structured.csv")
    (tmp_path / "structured.txt").touch()
    monkeypatch.chdir(tmp_path)
    assert completion.tables("struct") == ["structures", "structured.csv"]
    assert completion.tables(f"{tmp_path}/str") == [f"{tmp_path}/structured.csv"]
    assert completion.tables("no/such/folder/x") == []


def test_every_command_has_its_place_in_help_and_every_place_a_command():
    group = typer.main.get_command(cli.app)
    placed = [name for names in PANELS.values() for name in names]
    assert group.list_commands(None)[: len(placed)] == placed


def test_help_speaks_of_files_and_numbers_not_of_python_s_types(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for name in typer.main.get_command(cli.app).commands:
        text = command(name, "--help").out
        options = [line for line in text.splitlines() if re.match(r"│[ *]+--", line)]
        assert options
        others = [line for line in options if "--help" not in line]
        assert not [line for line in others if re.search(r"<\w+|list\[|BOOLEAN", line)], name
        assert max(map(len, text.splitlines())) <= 80, name
