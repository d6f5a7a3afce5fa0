"""What the pages about experiments say of their plans."""

import re
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from runners.plan import expand, load_plan

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("mixtures", "transfer", "batch_size", "regularisers")


def page(name):
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_plans_on_the_page_are_plans(name):
    for block in re.findall(r"```toml\n(.*?)```", page(name), re.DOTALL):
        plan = tomllib.loads(block if block.startswith("[[grid]]") else f"[[grid]]\n{block}")
        assert len(expand(plan).configs) >= 2


@pytest.mark.parametrize("name", PAGES)
def test_the_page_counts_the_runs_of_its_plan(name):
    assert f"bayes-scaling sweep {name} --store" in page(name)
    configs = load_plan(name).configs
    starts = {config.start for config in configs} - {None}
    (count,) = re.findall(r"(\d+) runs", page(name).split("**The shipped plan**")[-1])
    assert len(configs) == int(count) + len(starts)
    assert len(starts) == (4 if name == "transfer" else 0)
