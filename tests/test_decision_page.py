"""docs/decisions.md shows code that runs and prints what is under it; benchmarks/decision_page.py puts that there."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest
import typer

import bayes_scaling as bs
from bayes_scaling import cli

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
SHELL = re.findall(r"`bayes-scaling ([^`]*)`", PAGE)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("decision_page", ROOT / "benchmarks" / "decision_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_block_that_prints_has_its_output():
    assert len(CODE) > 8
    for block in re.finditer(r"```python\n(.*?)```\n(\n```text\n)?", PAGE, flags=re.DOTALL):
        ast.parse(block[1])
        assert ("print(" in block[1]) == bool(block[2])


def test_the_names_that_it_uses_are_public():
    used = set(re.findall(r"\bbs\.(\w+)", PAGE))
    assert {"recommend", "allocate", "reach", "optimal_map", "budget_for"} <= used
    assert used <= set(bs.__all__)


def test_the_commands_and_options_that_it_shows_exist():
    commands = typer.main.get_command(cli.app).commands
    assert SHELL
    for line in SHELL:
        name, *rest = line.split()
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options


def test_the_pictures_are_small():
    names = re.findall(r"\]\((\w+\.png)\)", PAGE)
    assert names
    assert all(0 < (ROOT / "docs" / name).stat().st_size < 100_000 for name in names)


def test_output_is_put_under_its_code_once(script):
    page = "# Page\n\n```python\na = 2\n```\n\nText.\n\n```python\nprint(a + 1, '  ')\n```\n\nMore.\n"
    once = script.refreshed(page)
    assert once == page.replace("  ')\n```\n", "  ')\n```\n\n```text\n3\n```\n")
    assert script.refreshed(once) == once
    assert script.refreshed(once.replace("\n3\n", "\n4\n")) == once
