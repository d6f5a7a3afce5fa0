"""A text corpus, ready to train on: tokens of the training and of the held-out documents.

Whole documents are on either side of the split, by a hash of their content. Small corpora of bytes stay in memory; all
others are tokenised once, into the user's cache folder, and read from there.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache as once
from itertools import batched
from typing import BinaryIO

import numpy as np

from bayes_scaling.runs import InputError
from runners.data import cache
from runners.data.kinds import pick_kind
from runners.data.split import content_hash, is_heldout
from runners.data.text import sources
from runners.data.text.source import TextSource
from runners.data.text.tokens import BYTES, Tokenizer, load_tokenizer

__all__ = ["TextCorpus", "build_corpus", "heldout_windows", "load_corpus"]

DOCUMENTS = 256  # tokenised at a time


@dataclass(frozen=True, eq=False)
class TextCorpus:
    """A corpus, ready to train on.

    Attributes
    ----------
    name : str
        The corpus as the user named it.
    train, heldout : numpy.ndarray
        Tokens of the training and of the held-out documents, one document after the other; uint8, uint16 or uint32.
    heldout_ends : numpy.ndarray
        Where in `heldout` each document ends.
    vocabulary : int
        One more than the largest token there can be.
    facts : dict
        What a record says about the corpus.
    """

    name: str
    train: np.ndarray
    heldout: np.ndarray
    heldout_ends: np.ndarray
    vocabulary: int
    facts: dict[str, str | int]


@once
def load_corpus(
    corpus: str, suffix: str = ".py", *, column: str = "text", tokenizer: str = BYTES, limit: int = 0
) -> TextCorpus:
    """Read, clean, split and tokenise a corpus, or take it from the cache.

    Parameters
    ----------
    corpus : str
        ``stdlib``; folders or Parquet files, separated by commas; ``hf:NAME`` for a Hugging Face data set. A kind may
        be named before a colon (``parquet:FOLDER``).
    suffix : str
        Ending of the files to read from folders; ``.parquet`` means Parquet.
    column : str
        Column of the text, where there are columns.
    tokenizer : str
        ``bytes``, or the path of a tokenizer's JSON file.
    limit : int
        Most tokens to take, training and held-out ones together; 0 means all.

    Returns
    -------
    TextCorpus
        The same object on every call within a process.
    """
    parquet = suffix == ".parquet" or corpus.endswith(".parquet")
    kind, where = pick_kind(sources.__name__, corpus, default="parquet" if parquet else "folders")
    source = kind.open_source(where, suffix=suffix, column=column)
    return build_corpus(source, load_tokenizer(tokenizer), limit)


def build_corpus(source: TextSource, tokenizer: Tokenizer, limit: int = 0) -> TextCorpus:
    """Split and tokenise a source's documents, in memory or into the cache."""
    if source.small and tokenizer.name == BYTES:
        train, heldout = _Side(io.BytesIO()), _Side(io.BytesIO())
        facts = _collect(source, tokenizer, limit, train, heldout)
        tokens = (np.frombuffer(side.content(), tokenizer.dtype) for side in (train, heldout))
        return TextCorpus(source.name, next(tokens), next(tokens), np.array(heldout.ends), tokenizer.vocabulary, facts)

    folder = cache.place("text", source.kind, source.fingerprint, tokenizer.sha256, limit)
    if not folder.is_dir():
        with cache.building(folder) as new:
            with (new / "train").open("wb") as train_file, (new / "heldout").open("w+b") as heldout_file:
                heldout = _Side(heldout_file)
                facts = _collect(source, tokenizer, limit, _Side(train_file), heldout)
            np.save(new / "heldout_ends.npy", heldout.ends)
            (new / "facts.json").write_text(json.dumps(facts, indent=1))
    facts = json.loads((folder / "facts.json").read_text())
    return TextCorpus(
        source.name,
        cache.map_array(folder / "train", tokenizer.dtype),
        cache.map_array(folder / "heldout", tokenizer.dtype),
        np.load(folder / "heldout_ends.npy"),
        tokenizer.vocabulary,
        facts | {"name": source.name, "tokenizer": tokenizer.name},  # the same content may go by other names
    )


class _Side:
    """One side of the split as it is written: a file of tokens, and where in it each document ends."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.ends: list[int] = []
        self.tokens = 0

    def add(self, tokens: np.ndarray) -> None:
        self.file.write(tokens.tobytes())
        self.tokens += len(tokens)
        self.ends.append(self.tokens)

    def content(self) -> bytes:
        self.file.seek(0)
        return self.file.read()


def _collect(
    source: TextSource, tokenizer: Tokenizer, limit: int, train: _Side, heldout: _Side
) -> dict[str, str | int]:
    """Write the tokens of both sides, and return the facts."""
    found = {"documents_found": 0, "bytes_found": 0}
    digest = hashlib.sha256()  # of the training tokens, then the held-out ones
    for text, tokens in _tokenised(_unique(source, limit, found), tokenizer):
        if limit and train.tokens + heldout.tokens + len(tokens) > limit:
            break
        if is_heldout(content_hash(text)):
            heldout.add(tokens)
        else:
            train.add(tokens)
            digest.update(tokens.tobytes())
    if not train.tokens or not heldout.tokens:
        raise InputError(
            f"corpus {source.name!r} has {source.facts.get('documents_found', found['documents_found'])} documents, "
            f"of which {len(train.ends)} are left to train on and {len(heldout.ends)} to hold out once duplicates"
            f"{', very short files' if source.small else ''} and what is beyond the limit ({limit or 'none'}) are "
            "gone; at least one of each is needed"
        )
    digest.update(heldout.content())
    return {
        "name": source.name,
        "kind": source.kind,
        **found,
        **source.facts,
        "duplicates": f"dropped: {source.duplicates}",
        "limit": limit,
        "tokenizer": tokenizer.name,
        "tokenizer_sha256": tokenizer.sha256,
        "end_of_text": tokenizer.end,
        "vocabulary": tokenizer.vocabulary,
        "train_documents": len(train.ends),
        "train_tokens": train.tokens,
        "heldout_documents": len(heldout.ends),
        "heldout_tokens": heldout.tokens,
        "sha256": digest.hexdigest(),
    }


def _unique(source: TextSource, limit: int, found: dict[str, int]) -> Iterator[bytes]:
    """The documents without exact copies and empty ones; `found` counts all of them."""
    documents = source.documents()
    if source.small and limit:  # hash order has the held-out documents in front, which would take all of the limit
        documents = iter(sorted(documents, key=lambda text: content_hash(text)[::-1]))
    seen: set[bytes] = set()
    for text in documents:
        found["documents_found"] += 1
        found["bytes_found"] += len(text)
        key = bytes.fromhex(content_hash(text)[:32])  # half of it will do, for there may be many
        if text and key not in seen:
            seen.add(key)
            yield text


def _tokenised(texts: Iterator[bytes], tokenizer: Tokenizer) -> Iterator[tuple[bytes, np.ndarray]]:
    """Each document and its tokens."""
    for some in batched(texts, DOCUMENTS):
        yield from zip(some, tokenizer.encode(some), strict=True)


def heldout_windows(corpus: TextCorpus, context: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The fixed held-out windows, the same for every run and seed, and the number of each one's document.

    Parameters
    ----------
    corpus : TextCorpus
        Its held-out text is cut into windows that do not overlap.
    context : int
        Tokens predicted per window.
    count : int
        How many windows, drawn once and for all; 0 means all.
    """
    starts = np.arange(0, len(corpus.heldout) - context, context)
    if 0 < count < len(starts):
        starts = np.sort(np.random.default_rng(0).permutation(starts)[:count])
    documents = np.searchsorted(corpus.heldout_ends, starts, side="right")
    return corpus.heldout[starts[:, None] + np.arange(context + 1)], documents
