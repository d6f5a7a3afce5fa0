"""Parts of the standard library and of installed packages as corpora."""

import numpy as np
import pytest

from bayes_scaling.runs import InputError
from runners.data.split import content_hash
from runners.data.text.corpus import load_corpus
from runners.data.text.patterns import chooser
from runners.data.text.sources import stdlib
from tests.runners.conftest import source_text


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        ("test/*", {"test/a.py", "test/deep/b.py"}),
        ("!test/*", {"a.py", "json/c.py", "json/tests.txt"}),
        ("*.py,!*/deep/*", {"a.py", "test/a.py", "json/c.py"}),
        ("json/*,a.py", {"a.py", "json/c.py", "json/tests.txt"}),
    ],
)
def test_patterns_choose_paths(patterns, chosen):
    paths = ["a.py", "test/a.py", "test/deep/b.py", "json/c.py", "json/tests.txt"]
    assert set(filter(chooser(patterns), paths)) == chosen


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A small standard library: 60 files of its own, 60 tests, and a copy of each third file among the tests."""
    root = tmp_path / "lib"
    (root / "test").mkdir(parents=True)
    for seed in range(60):
        (root / f"own{seed}.py").write_text(source_text(seed))
        (root / "test" / f"test{seed}.py").write_text(source_text(100 + seed))
        if seed % 3 == 0:
            (root / "test" / f"copy{seed}.py").write_text(source_text(seed))
    monkeypatch.setattr(stdlib.sysconfig, "get_path", lambda name: str(root))  # noqa: ARG005
    stdlib._by_path.cache_clear()
    yield root
    stdlib._by_path.cache_clear()


def test_parts_of_the_library_share_nothing_and_keep_their_side_of_the_split(library):
    whole, own, tests = (load_corpus(name) for name in ("stdlib", "stdlib:!test/*", "stdlib:test/*"))
    texts = {content_hash((library / f"own{seed}.py").read_bytes()) for seed in range(60)}
    assert own.facts["train_documents"] + own.facts["heldout_documents"] == len(texts) == 60
    assert tests.facts["train_documents"] + tests.facts["heldout_documents"] == 60  # the copies are the library's
    assert tests.facts["documents_found"] == 80
    for side in ("train", "heldout"):
        both = np.concatenate([getattr(own, side), getattr(tests, side)])
        assert sorted(both.tolist()) == sorted(getattr(whole, side).tolist())
    with pytest.raises(InputError, match=r"'stdlib:idle/\*': no file of the standard library here matches"):
        load_corpus("stdlib:idle/*")


def test_files_of_an_installed_package():
    corpus = load_corpus("package:numpy/lib/*.py,!*/tests/*")
    assert corpus.facts["kind"] == "package"
    assert corpus.facts["version"] == np.__version__
    assert b"import numpy" in bytes(corpus.train)
    assert corpus.facts["documents_found"] == len(
        [path for path in _numpy().glob("lib/**/*.py") if "tests" not in path.parts]
    )
    with pytest.raises(InputError, match="there is no package 'no_such_package' installed here"):
        load_corpus("package:no_such_package")
    with pytest.raises(InputError, match=r"the package 'numpy' has no files that match '\*.xyz'"):
        load_corpus("package:numpy", ".xyz")


def _numpy():
    from pathlib import Path

    return Path(np.__file__).parent
