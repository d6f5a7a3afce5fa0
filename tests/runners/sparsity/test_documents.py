import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from runners.sparsity import distributions, methods, schedules, structures  # noqa: E402
from runners.sparsity.methods.base import METHODS  # noqa: E402

PAGE = (Path(__file__).parents[3] / "docs" / "sparsity.md").read_text(encoding="utf-8")


def test_the_example_of_a_new_method_works_as_it_stands(training, monkeypatch):
    monkeypatch.setattr(METHODS, "_parts", dict(METHODS._parts))
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(example, "docs/sparsity.md", "exec"), {"__name__": "example"})
    run = training(sparsity=0.75, method=methods.get("largest"))
    before = run.masks()
    for step in range(run.steps):
        run.step(step)
        assert all((old | ~new).all() for old, new in zip(before, run.masks(), strict=True))
        before = run.masks()
    assert [int(mask.sum()) for mask in before] == [128, 64]
    usual = training(sparsity=0.75)
    for step in range(usual.steps):
        usual.step(step)
    sizes = [each.weights[0].dense.detach().abs()[each.weights[0].mask].mean() for each in (run, usual)]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("package", [schedules, structures, distributions, methods])
def test_the_page_names_every_part(package):
    assert all(f"`{name}`" in PAGE for name in package.names())
