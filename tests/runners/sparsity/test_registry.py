import pytest

pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from bayes_scaling.runs import InputError
from runners.sparsity import distributions, methods, schedules, structures

KNOWN = {
    schedules: {"polynomial", "one_shot", "constant", "none"},
    distributions: {"uniform", "erk", "global"},
    methods: {"magnitude", "random", "set", "rigl", "srste", "snip", "pst"},
}


@pytest.mark.parametrize("package", KNOWN)
def test_every_part_is_known_by_its_name(package):
    assert KNOWN[package] <= set(package.names())
    for name in KNOWN[package]:
        assert package.get(name).name == name
    assert {"unstructured", "n:m", "block:RxC"} <= set(structures.names())


@pytest.mark.parametrize(
    ("package", "noun"), [(schedules, "schedule"), (distributions, "distribution"), (methods, "method")]
)
def test_unknown_parts_are_told_the_known_ones(package, noun):
    with pytest.raises(InputError, match=f"^{noun} 'mystery' is not known; the {noun}s are ") as caught:
        package.get("mystery")
    assert all(repr(name) in str(caught.value) for name in KNOWN[package])


def test_unknown_settings_are_told_the_known_ones():
    with pytest.raises(InputError, match=r"^schedule 'one_shot' has no setting 'power'; it has 'at'$"):
        schedules.get("one_shot", power=3)
    with pytest.raises(InputError, match=r"^distribution 'erk' has no setting 'power'; it has none$"):
        distributions.get("erk", power=3)


def test_a_file_in_the_folder_is_all_that_a_part_takes(tmp_path, monkeypatch):
    from runners.registry import load_parts
    from runners.sparsity.schedules.base import SCHEDULES

    monkeypatch.setattr(SCHEDULES, "_parts", dict(SCHEDULES._parts))
    folder = tmp_path / "more_schedules"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "late.py").write_text(
        "from dataclasses import dataclass\n"
        "from runners.sparsity.schedules.base import SCHEDULES\n"
        "from runners.sparsity.schedules.polynomial import Polynomial\n"
        "@SCHEDULES.register\n@dataclass(frozen=True)\nclass Late(Polynomial):\n"
        "    name = 'late'\n    start: float = 0.9\n    end: float = 1.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    load_parts("more_schedules", [str(folder)])
    assert schedules.get("late", every=2).start == 0.9
