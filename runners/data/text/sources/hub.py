"""A Hugging Face data set, streamed."""

from collections.abc import Iterator

from bayes_scaling.runs import InputError
from runners.data.hub import features, fingerprint, open_dataset
from runners.data.text.source import TextSource

__all__ = ["KIND", "open_source"]

KIND = "hf"


def open_source(where: str, *, suffix: str, column: str) -> TextSource:  # noqa: ARG001
    """Split `train` of a data set, named ``owner/name``, ``owner/name:configuration``, or by a local folder."""
    return TextSource(
        kind=KIND,
        name=f"{KIND}:{where}",
        fingerprint=f"{fingerprint(where)}/{column}",
        documents=lambda: documents(where, column),  # opened when read: what is cached needs no network
        small=False,
        duplicates="exact copies",
        facts={"column": column},
    )


def documents(where: str, column: str) -> Iterator[bytes]:
    """The rows in the order of the data set; missing ones are left out."""
    dataset = open_dataset(where)
    columns = features(dataset, where)
    if column not in columns:
        raise InputError(f"corpus 'hf:{where}' has no column {column!r}; it has {sorted(columns)}")
    if getattr(columns[column], "dtype", None) not in {"string", "large_string"}:
        raise InputError(f"corpus 'hf:{where}' has {columns[column]} in column {column!r}; text is needed")
    for row in dataset.select_columns([column]):
        if row[column] is not None:
            yield row[column].encode()
