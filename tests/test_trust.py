"""The page on trust and the codes in the source are one list."""

import ast
import re
from pathlib import Path

import pytest

from bayes_scaling.diagnostics import gate_notes

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
GATE = ("max_rhat", "min_ess_bulk", "min_ess_tail", "divergences", "max_treedepth", "min_ebfmi")
ENDINGS = {
    "gate_": [note.code.removeprefix("gate_") for note in gate_notes(dict.fromkeys(GATE, float("nan")))],
    "one_level_": ["nonzero_params", "data_seen"],
    "two_levels_": ["nonzero_params", "data_seen"],
}
"""Codes that the source puts together, by how they begin."""


def in_source():
    """Severities of every code that a `Note` is made with; a code that is handed on is none."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "bayes_scaling").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Note"):
                continue
            given = [*node.args, *(word.value for word in node.keywords if word.arg in ("code", "severity"))]
            if len(given) < 2 or not isinstance(given[1], ast.Constant):
                continue
            if isinstance(given[0], ast.Constant):
                codes = [given[0].value]
            else:
                assert isinstance(given[0], ast.JoinedStr), f"{path.name}:{node.lineno}: write the code out"
                start = given[0].values[0].value
                codes = [start + ending for ending in ENDINGS[start]]
            for code in codes:
                found.setdefault(code, set()).add(given[1].value)
    return found


def on_page():
    """Severities by code, from the rows of the page's tables."""
    rows = re.findall(r"^\| (`[^|]*`) \| (\w+) \|", PAGE, flags=re.MULTILINE)
    return {code: severity for codes, severity in rows for code in re.findall(r"`(\w+)`", codes)}


def test_every_code_is_on_the_page_and_every_code_of_the_page_exists():
    source, page = in_source(), on_page()
    assert len(source) > 30
    assert sorted(page) == sorted(source)


def test_severities_agree():
    for code, severities in in_source().items():
        assert severities == {on_page()[code]}, code


def test_a_code_has_one_row():
    rows = re.findall(r"^\| (`[^|]*`) \|", PAGE, flags=re.MULTILINE)
    codes = [code for row in rows for code in re.findall(r"`(\w+)`", row)]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("row", [line for line in PAGE.splitlines() if line.startswith("| `")])
def test_every_row_says_what_it_means_and_what_to_do(row):
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 4
    assert all(cells)
