import itertools

import pytest

from runners.data.split import content_hash, is_heldout
from runners.data.text.duplicates import OVERLAP, drop_duplicates, shingles
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
    kept = drop_duplicates(messy)
    heldout = [text for text in kept if is_heldout(content_hash(text), 0.3)]
    train = [text for text in kept if not is_heldout(content_hash(text), 0.3)]
    assert train
    assert heldout
    for a, b in itertools.product(map(shingles, train), map(shingles, heldout)):
        assert len(a & b) < OVERLAP * min(len(a), len(b))


def test_what_stays_depends_on_content_alone(messy):
    assert drop_duplicates(messy) == drop_duplicates(list(reversed(messy)))


def test_short_files_are_left_out():
    assert drop_duplicates([b"x = 1\ny = 2\n"]) == []
