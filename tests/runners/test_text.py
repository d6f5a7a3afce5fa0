import itertools

import numpy as np
import pytest

pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from bayes_scaling.runs import InputError
from runners.data import text as text_data
from runners.data.text import batches, build_corpus, drop_duplicates, heldout_windows, load_corpus, split
from tests.runners.conftest import source_text


@pytest.fixture
def messy() -> list[bytes]:
    """Sixty files, copies of some, and some with a few lines changed, indented or put behind a licence."""
    plain = [source_text(seed).encode() for seed in range(60)]
    edited = [b"# edited\n" + text.replace(b"alpha", b"omega", 3) for text in plain[:15]]
    indented = [b"\n".join(b"    " + line for line in text.splitlines()) for text in plain[15:30]]
    half = [b"\n".join(text.splitlines()[:50]) for text in plain[30:40]]
    return plain + plain[:20] + edited + indented + half


def test_every_copy_goes_and_one_of_each_stays(messy):
    assert len(drop_duplicates(messy)) == 60


def test_nothing_straddles_the_split(messy):
    train, heldout = split(drop_duplicates(messy), fraction=0.3)
    assert train
    assert heldout
    for a, b in itertools.product(map(text_data.shingles, train), map(text_data.shingles, heldout)):
        assert len(a & b) < text_data.OVERLAP * min(len(a), len(b))


def test_split_ignores_order_and_depends_on_content_alone(messy):
    kept = drop_duplicates(messy)
    assert split(kept) == split(reversed(kept))
    assert drop_duplicates(messy) == drop_duplicates(list(reversed(messy)))


def test_the_real_corpus_is_the_standard_library():
    files = text_data.stdlib_files()
    assert any(path.name == "argparse.py" for path in files)
    assert not any("site-packages" in path.parts for path in files)


def test_short_files_are_left_out():
    assert drop_duplicates([b"x = 1\ny = 2\n"]) == []


def test_an_epoch_predicts_every_byte_once():
    text = np.arange(250, dtype=np.uint8)
    context, batch = 8, 3
    epoch = list(itertools.islice(batches(text, context, batch, seed=1), 250 // 8 // 3))
    targets = np.concatenate([windows[:, 1:].ravel() for windows in epoch])
    assert len(np.unique(targets)) == len(targets)
    assert all((windows[:, 1:] == windows[:, :-1] + 1).all() for windows in epoch)


def test_order_follows_the_seed():
    text = np.random.default_rng(0).integers(256, size=5000, dtype=np.uint8)
    first = [next(batches(text, 16, 4, seed)) for seed in (0, 0, 1)]
    assert (first[0] == first[1]).all()
    assert (first[0] != first[2]).any()


def test_heldout_windows_are_the_same_for_everyone(corpus_folder):
    corpus = load_corpus(str(corpus_folder))
    a, files = heldout_windows(corpus, 16, 20)
    b, _ = heldout_windows(corpus, 16, 20)
    assert a.shape == (20, 17)
    assert (a == b).all()
    assert files.max() < corpus.facts["heldout_files"]
    assert len(heldout_windows(corpus, 16, 0)[0]) == (len(corpus.heldout) - 1) // 16


def test_unusable_corpora():
    with pytest.raises(InputError, match="'nowhere' is none"):
        load_corpus("nowhere")
    with pytest.raises(InputError, match="at least one of each"):
        build_corpus("empty", [])
    with pytest.raises(InputError, match="needs more"):
        next(batches(np.zeros(10, dtype=np.uint8), 8, 4, 0))
