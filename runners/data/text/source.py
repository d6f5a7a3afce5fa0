"""What every kind of text source hands over."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["TextSource"]


@dataclass(frozen=True)
class TextSource:
    """Documents, and what is known about them before they are read.

    Attributes
    ----------
    kind : str
        The module of `runners.data.text.sources` that made it.
    name : str
        The corpus as the user named it.
    fingerprint : str
        Changes whenever the documents do; part of the key under which a prepared corpus is cached.
    documents : callable
        Starts a fresh pass over the documents, each as bytes; text is UTF-8.
    small : bool
        Whether all documents are in memory anyway.
    duplicates : str
        How documents that repeat others are dropped, in words.
    facts : dict
        What else a record should say.
    """

    kind: str
    name: str
    fingerprint: str
    documents: Callable[[], Iterator[bytes]]
    small: bool
    duplicates: str
    facts: dict[str, str | int]
