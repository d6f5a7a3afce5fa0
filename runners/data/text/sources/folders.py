"""Folders of text files, near-duplicates dropped."""

from collections.abc import Iterable
from pathlib import Path

from bayes_scaling.runs import InputError
from runners.data.split import content_hash
from runners.data.text.duplicates import RULE, drop_duplicates
from runners.data.text.source import TextSource

__all__ = ["KIND", "clean_source", "open_source", "read", "source_of"]

KIND = "folders"


def open_source(where: str, *, suffix: str, column: str) -> TextSource:  # noqa: ARG001
    """All files below one or more folders, separated by commas, whose names end in `suffix`."""
    files: list[Path] = []
    for folder in where.split(","):
        if not Path(folder).is_dir():
            raise InputError(
                f"corpus is {where!r}; allowed are 'stdlib', existing folders, Parquet files, 'package:NAME' for an "
                f"installed package and 'hf:NAME' for a Hugging Face data set, and {folder!r} is none"
            )
        files += [path for path in Path(folder).rglob(f"*{suffix}") if path.is_file()]
    if not files:
        found = sorted({path.suffix for folder in where.split(",") for path in Path(folder).rglob("*.*")})[:8]
        raise InputError(f"corpus {where!r} has no files that end in suffix {suffix!r}; there are {found}")
    return clean_source(KIND, where, map(read, files), {"suffix": suffix})


def read(path: Path) -> bytes:
    """A file's content, or an error that names it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"corpus file {str(path)!r} cannot be read: {error.strerror}") from error


def clean_source(kind: str, name: str, texts: Iterable[bytes], facts: dict[str, str | int]) -> TextSource:
    """Texts without near-duplicates, in the order of their content hashes, whatever order they came in."""
    texts = list(texts)
    found: dict[str, str | int] = {"documents_found": len(texts), "bytes_found": sum(map(len, texts))}
    return source_of(kind, name, drop_duplicates(texts), facts | found)


def source_of(kind: str, name: str, texts: Iterable[bytes], facts: dict[str, str | int]) -> TextSource:
    """Texts that are clean, in the order of their content hashes."""
    kept = sorted((content_hash(text), text) for text in texts)
    return TextSource(
        kind=kind,
        name=name,
        fingerprint=content_hash("".join(digest for digest, _ in kept).encode()),
        documents=lambda: (text for _, text in kept),
        small=True,
        duplicates=RULE,
        facts=facts,
    )
