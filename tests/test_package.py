import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import bayes_scaling as bs

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"pymc", "pytensor", "arviz", "nutpie", "matplotlib", "torch", "numba"}


def loaded_after(code):
    script = f"{code}\nimport sys, json\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_import_is_lean():
    loaded = loaded_after("import bayes_scaling")
    assert not HEAVY & loaded
    assert "scipy.stats" not in loaded


@pytest.mark.parametrize(
    "code",
    [
        "import bayes_scaling as bs; bs.laws.names(); bs.costs.names(); bs.datasets.names()",
        "import bayes_scaling as bs; bs.datasets.load('python-stdlib')",
        "import bayes_scaling.cli",
    ],
)
def test_looking_things_up_is_lean(code):
    assert not HEAVY & loaded_after(code)


def test_public_names():
    assert sorted(bs.__all__) == bs.__all__
    for name in bs.__all__:
        assert getattr(bs, name) is not None
    contract = {
        "load_runs", "fit", "update", "predict", "optimal_sparsity", "dense_equivalent", "recommend",
        "laws", "datasets", "save", "load",
    }  # fmt: skip
    assert contract <= set(bs.__all__)
    for name in set(bs.__all__) - {"laws", "datasets", "costs", "InputError"}:
        assert inspect.getdoc(getattr(bs, name)), name


FUNCTIONS = ["fit", "point_fit", "predict", "recommend", "optimal_sparsity", "update", "save", "load"]


def test_functions_are_not_hidden_by_modules():
    code = (
        "import bayes_scaling as bs\nimport bayes_scaling.predict, bayes_scaling.fit, bayes_scaling.plots\n"
        "import bayes_scaling.store, bayes_scaling.decide.recommend, bayes_scaling.model, bayes_scaling.cli\n"
        "from bayes_scaling.groups import coefficients\nfrom bayes_scaling.fit import update\n"
        "import inspect\n"
        f"hidden = [name for name in {FUNCTIONS} if not inspect.isfunction(getattr(bs, name))]\n"
        "assert not hidden, hidden"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    for name in FUNCTIONS:
        assert inspect.isfunction(getattr(bs, name)), name


def imports(folder):
    """Every module that a package's files import, with the file."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                yield from ((path, module, alias.name) for alias in node.names)


def test_the_package_never_imports_torch():
    found = list(imports("bayes_scaling"))
    assert len(found) > 100
    assert not [
        (path.name, module) for path, module, _ in found if module.partition(".")[0] in {"torch", "torchvision"}
    ]


def test_runners_know_the_run_table_and_nothing_else():
    found = list(imports("runners"))
    assert found
    assert not [(path.name, module) for path, module, _ in found if module.startswith(".")], "imports are absolute"
    ours = {(module, name) for _, module, name in found if module.partition(".")[0] == "bayes_scaling"}
    allowed = {(module, name) for module, name in ours if module == "bayes_scaling.runs"} | {("bayes_scaling", "runs")}
    assert ours <= allowed


def test_the_package_reaches_the_runners_from_the_command_line_only():
    users = {path.parent.name for path, module, _ in imports("bayes_scaling") if module.partition(".")[0] == "runners"}
    assert users <= {"cli"}


def test_types_are_announced():
    for package in ("bayes_scaling", "runners"):
        assert (ROOT / package / "py.typed").is_file()
