"""From text to numbers: bytes, or a tokenizer in the JSON format of the library `tokenizers`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bayes_scaling.runs import InputError
from runners.data.extras import need
from runners.data.split import content_hash

__all__ = ["BYTES", "Tokenizer", "load_tokenizer"]

BYTES = "bytes"
END_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "<|end▁of▁sentence|>", "<eos>", "</s>", "[EOS]")


@dataclass(frozen=True)
class Tokenizer:
    """What turns documents into tokens.

    Attributes
    ----------
    name : str
        ``bytes``, or the name of the file.
    sha256 : str
        Of the file's content; a model goes with the tokenizer that it was trained on and no other.
    vocabulary : int
        One more than the largest token.
    end : str
        The end-of-text token put after every document; empty if the tokenizer has none.
    encode : callable
        Documents in, an array of `dtype` for each out.
    """

    name: str
    sha256: str
    vocabulary: int
    end: str
    encode: Callable[[Sequence[bytes]], list[np.ndarray]]

    @property
    def dtype(self) -> str:
        """The smallest unsigned integer that holds the vocabulary, little-endian."""
        return next(dtype for dtype, bits in (("u1", 8), ("<u2", 16), ("<u4", 32)) if self.vocabulary <= 2**bits)


def load_tokenizer(name: str) -> Tokenizer:
    """Bytes, or the tokenizer in a file.

    With a tokenizer that has an end-of-text token, under one of its usual names, each document ends with it; without
    one, and with bytes, documents follow each other with nothing between. Special tokens that the tokenizer itself
    would add at either end are left out. Bytes that are no UTF-8 become U+FFFD before a tokenizer sees them.

    Parameters
    ----------
    name : str
        ``bytes``, or the path of a ``tokenizer.json``.

    Raises
    ------
    InputError
        If there is no such file, or it holds no tokenizer.
    """
    if name == BYTES:
        return Tokenizer(
            BYTES, content_hash(BYTES.encode()), 256, "", lambda texts: [np.frombuffer(text, "u1") for text in texts]
        )
    path = Path(name)
    if not path.is_file():
        raise InputError(f"tokenizer is {name!r}; allowed are {BYTES!r} and the path of a tokenizer's JSON file")
    library = need("tokenizers", "a tokenizer from a file")
    content = path.read_bytes()
    try:
        tokenizer = library.Tokenizer.from_buffer(content)
    except Exception as error:  # what the library raises has no class of its own
        raise InputError(
            f"tokenizer file {name!r} is not in the format of the library 'tokenizers': {error}"
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    end = next((token for token in END_OF_TEXT if token in vocabulary), "")
    tail = [vocabulary[end]] if end else []
    size = 1 + max(vocabulary.values())

    def encode(texts: Sequence[bytes]) -> list[np.ndarray]:
        decoded = [text.decode(errors="replace") for text in texts]
        encodings = tokenizer.encode_batch_fast(decoded, add_special_tokens=False)
        return [np.array(encoding.ids + tail, dtype=loaded.dtype) for encoding in encodings]

    loaded = Tokenizer(path.name, content_hash(content), size, end, encode)
    return loaded
