"""Text corpora as bytes: folders of files, cleaned of duplicates and split into training and held-out files.

Bytes are the tokens. Whole files are either training or held-out text, by a hash of their content, so the split
depends neither on file names nor on the order of a directory listing. Before the split, files that repeat others go:
exact copies, and near-duplicates, found by their overlap in shingles of three consecutive non-blank lines (stripped).
A file goes when at least half of the shingles of the smaller of the two also occur in a larger file that stays; so no
two files that stay share half of either, and none such can straddle the split. Files with fewer than eight shingles
are too short to judge and go too.
"""

import hashlib
import platform
import sysconfig
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from bayes_scaling.runs import InputError

__all__ = ["Corpus", "batches", "drop_duplicates", "heldout_windows", "load_corpus", "shingles", "split"]

SHINGLE_LINES = 3
MIN_SHINGLES = 8
OVERLAP = 0.5
HELDOUT_FRACTION = 0.05


@dataclass(frozen=True, eq=False)
class Corpus:
    """A corpus, ready to train on.

    Attributes
    ----------
    name : str
        ``stdlib`` or the folders.
    train, heldout : numpy.ndarray
        Bytes (uint8) of the training and of the held-out files, each concatenated in the order of content hashes.
    heldout_file : numpy.ndarray
        For every held-out byte the number of its file.
    facts : dict
        What a record says about the corpus: name, version, counts, SHA-256.
    """

    name: str
    train: np.ndarray
    heldout: np.ndarray
    heldout_file: np.ndarray
    facts: dict[str, str | int]


def stdlib_files() -> list[Path]:
    """Source files of the running Python's own standard library, its test package included where present.

    Third-party packages are left out, and so are the files that a build writes about itself.
    """
    root = Path(sysconfig.get_path("stdlib"))
    foreign = {"site-packages", "dist-packages", "__pycache__"}
    return [
        path
        for path in root.rglob("*.py")
        if not foreign & set(path.relative_to(root).parts) and not path.name.startswith("_sysconfigdata")
    ]


def content_hash(text: bytes) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(text).hexdigest()


def shingles(text: bytes) -> frozenset[int]:
    """Hashes of all runs of three consecutive non-blank, stripped lines."""
    lines = [stripped for line in text.splitlines() if (stripped := line.strip())]
    return frozenset(
        zlib.crc32(b"\n".join(lines[i : i + SHINGLE_LINES])) for i in range(len(lines) - SHINGLE_LINES + 1)
    )


def drop_duplicates(texts: Iterable[bytes]) -> list[bytes]:
    """The files that stay, larger ones first; the module's docstring has the rule."""
    unique = {content_hash(text): text for text in texts}
    kept: list[tuple[bytes, int]] = []
    holders: defaultdict[int, list[int]] = defaultdict(list)  # shingle -> positions in `kept`
    for _, text in sorted(unique.items(), key=lambda item: (-len(item[1]), item[0])):
        own = shingles(text)
        if len(own) < MIN_SHINGLES:
            continue
        shared = Counter(position for shingle in own for position in holders.get(shingle, ()))
        if any(count >= OVERLAP * min(len(own), kept[position][1]) for position, count in shared.items()):
            continue
        for shingle in own:
            holders[shingle].append(len(kept))
        kept.append((text, len(own)))
    return [text for text, _ in kept]


def split(texts: Iterable[bytes], fraction: float = HELDOUT_FRACTION) -> tuple[list[bytes], list[bytes]]:
    """Training and held-out files: the latter have a content hash that, as a number in [0, 1), is below `fraction`."""
    train: list[bytes] = []
    heldout: list[bytes] = []
    for digest, text in sorted((content_hash(text), text) for text in texts):
        (heldout if int(digest[:12], 16) < fraction * 16**12 else train).append(text)
    return train, heldout


@cache
def load_corpus(name: str, suffix: str = ".py") -> Corpus:
    """Read, clean and split a corpus.

    Parameters
    ----------
    name : str
        ``stdlib`` for the running Python's standard library, or one or more folders, separated by commas.
    suffix : str
        Ending of the files to read from folders.

    Returns
    -------
    Corpus
        The same corpus object on every call within a process.
    """
    if name == "stdlib":
        files = stdlib_files()
    else:
        files = []
        for folder in name.split(","):
            if not Path(folder).is_dir():
                raise InputError(
                    f"corpus is {name!r}; allowed are 'stdlib' and existing folders, and {folder!r} is none"
                )
            files += [path for path in Path(folder).rglob(f"*{suffix}") if path.is_file()]
    return build_corpus(name, [path.read_bytes() for path in files])


def build_corpus(name: str, texts: list[bytes]) -> Corpus:
    """Clean and split the contents of files."""
    train, heldout = split(drop_duplicates(texts))
    if not train or not heldout:
        raise InputError(
            f"corpus {name!r} has {len(texts)} files, of which {len(train)} are left to train on and {len(heldout)} "
            "to hold out once duplicates and very short files are gone; at least one of each is needed"
        )
    facts: dict[str, str | int] = {
        "name": name,
        "python": platform.python_version() if name == "stdlib" else "",
        "token": "byte",
        "files_found": len(texts),
        "bytes_found": sum(map(len, texts)),
        "files": len(train) + len(heldout),
        "bytes": sum(map(len, train)) + sum(map(len, heldout)),
        "train_files": len(train),
        "train_bytes": sum(map(len, train)),
        "heldout_files": len(heldout),
        "heldout_bytes": sum(map(len, heldout)),
        "sha256": content_hash(b"".join(train) + b"".join(heldout)),
    }
    return Corpus(
        name,
        np.frombuffer(b"".join(train), dtype=np.uint8),
        np.frombuffer(b"".join(heldout), dtype=np.uint8),
        np.repeat(np.arange(len(heldout)), [len(text) for text in heldout]),
        facts,
    )


def batches(text: np.ndarray, context: int, batch: int, seed: int) -> Iterator[np.ndarray]:
    """Endless batches of windows, (batch, context + 1) bytes: inputs and, shifted by one, their targets.

    An epoch cuts the text into windows that predict every byte once, in an order drawn from the seed, so nothing
    repeats before everything was seen (but for the less than one batch at an epoch's end that is left over); every
    epoch cuts at another offset.
    """
    if len(text) < context * (batch + 1) + 1:
        raise InputError(f"the training text has {len(text)} bytes; a batch of {batch} windows of {context} needs more")
    epoch = 0
    while True:
        rng = np.random.default_rng((seed, epoch))
        offset = int(rng.integers(context))
        starts = offset + context * rng.permutation((len(text) - 1 - offset) // context)
        for i in range(0, len(starts) - batch + 1, batch):
            yield text[starts[i : i + batch, None] + np.arange(context + 1)]
        epoch += 1


def heldout_windows(corpus: Corpus, context: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The fixed held-out windows, the same for every run and seed, and the number of each one's file.

    Parameters
    ----------
    corpus : Corpus
        Its held-out text is cut into windows that do not overlap.
    context : int
        Bytes predicted per window.
    count : int
        How many windows, drawn once and for all; 0 means all.
    """
    starts = np.arange(0, len(corpus.heldout) - context, context)
    if 0 < count < len(starts):
        starts = np.sort(np.random.default_rng(0).permutation(starts)[:count])
    return corpus.heldout[starts[:, None] + np.arange(context + 1)], corpus.heldout_file[starts]
