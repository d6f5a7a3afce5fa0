"""What README and docs show: the code runs, and every command has the options that it is shown with."""

import re
import shlex
from pathlib import Path

import pytest
import typer

import bayes_scaling as bs
from bayes_scaling.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
LINES = [
    pytest.param(found.strip(), id=f"{page.stem}: {found.strip()[:60]}")
    for page in PAGES
    for found in re.findall(r"^ +(bayes-scaling (?:\\\n|[^\n])*)", page.read_text(encoding="utf-8"), re.MULTILINE)
]


def test_the_fifteen_lines_run(simulated, tmp_path, monkeypatch, capsys):
    """On a posterior of the same modalities and structures, since fitting takes minutes."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    fitted = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bs, "fit", lambda runs, **_: fitted.append(runs) or simulated)
    exec(code, {})
    (runs,) = fitted
    assert set(runs["strategy"].to_numpy()) == {"scratch"}
    assert set(runs["modality"].to_numpy()) == {"language"}
    assert {path.name for path in tmp_path.iterdir()} == {"posterior.nc", "measured.png"}
    printed = capsys.readouterr().out
    for words in ("train at sparsity", "optimal_sparsity", "b_S[language, 2:4]"):
        assert words in printed
    shown = README.read_text(encoding="utf-8").partition("## How to read an answer")[2]
    assert printed.partition("\n")[0] in shown  # the question


def test_there_are_commands_to_try():
    assert len(LINES) > 60


@pytest.mark.parametrize("line", LINES)
def test_commands_have_the_options_that_are_shown(line):
    words = shlex.split(line.replace("\\\n", " "), comments=True)[1:]
    commands = typer.main.get_command(app).commands
    if not words or words[0].startswith("-") or words[0] == "COMMAND" or "…" in line:
        return
    assert words[0] in commands
    commands[words[0]].make_context(words[0], words[1:])
