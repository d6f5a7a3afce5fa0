"""The page about laws is true: its code runs and gives what it says."""

import re
from pathlib import Path

import pytest

import bayes_scaling as bs
from bayes_scaling import laws

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "laws.md").read_text(encoding="utf-8")


def test_every_law_is_in_the_table_and_the_table_has_no_others():
    named = re.findall(r"^\| `([^`]+)` \|", PAGE, flags=re.MULTILINE)
    assert sorted(named) == [name for name in laws.names() if name != "precision"]


def test_a_law_of_ones_own_is_fitted(monkeypatch):
    monkeypatch.setattr(laws, "_LAWS", dict(laws._LAWS))
    space: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(block, "docs/laws.md", "exec"), space)
    assert "precision" in bs.laws.names()
    assert float(space["found"].coefficients["gamma"][0]) == pytest.approx(3.0, rel=1e-3)
    with pytest.raises(bs.InputError, match="has no 'bits'"):
        bs.point_fit([{k: v for k, v in run.items() if k != "bits"} for run in space["runs"]], law="precision")
