"""Parquet files with a column of text, read row group by row group."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bayes_scaling.runs import InputError
from runners.data import cache
from runners.data.text.source import TextSource

__all__ = ["KIND", "open_source"]

KIND = "parquet"
ROWS = 1024  # held in memory at a time


def open_source(where: str, *, suffix: str, column: str) -> TextSource:  # noqa: ARG001
    """Parquet files, or folders of them, separated by commas; every row of `column` is a document."""
    files: list[Path] = []
    for part in map(Path, where.split(",")):
        if not part.exists():
            raise InputError(f"corpus names {str(part)!r}, which does not exist; a Parquet file or a folder is needed")
        files += sorted(part.rglob("*.parquet")) if part.is_dir() else [part]
    if not files:
        raise InputError(f"corpus {where!r} holds no file that ends in '.parquet'")
    for path in files:
        check(path, column)
    return TextSource(
        kind=KIND,
        name=where,
        fingerprint=f"{cache.stamp(files)}/{column}",
        documents=lambda: documents(files, column),
        small=False,
        duplicates="exact copies",
        facts={"files": len(files), "column": column},
    )


def check(path: Path, column: str) -> None:
    """That the file is Parquet and has the column, as text."""
    pyarrow = _pyarrow()
    try:
        schema = pyarrow.parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"corpus file {str(path)!r} cannot be read as Parquet: {error}") from error
    if column not in schema.names:
        raise InputError(f"corpus file {str(path)!r} has no column {column!r}; it has {schema.names}")
    kind = schema.field(column).type
    if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
        raise InputError(f"corpus file {str(path)!r} has {kind} in column {column!r}; text is needed")


def documents(files: list[Path], column: str) -> Iterator[bytes]:
    """The rows, one after the other; missing ones are left out."""
    pyarrow = _pyarrow()
    for path in files:
        with pyarrow.parquet.ParquetFile(path) as file:
            for rows in file.iter_batches(batch_size=ROWS, columns=[column]):
                yield from (text.encode() for text in rows.column(0).to_pylist() if text is not None)


def _pyarrow() -> Any:
    """Imported only where Parquet is read, for it takes a while."""
    import pyarrow
    import pyarrow.parquet

    return pyarrow
