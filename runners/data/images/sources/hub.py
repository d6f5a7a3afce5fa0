"""A Hugging Face data set of pictures, streamed; columns are found by what they hold."""

from collections.abc import Iterator
from typing import Any

from bayes_scaling.runs import InputError
from runners.data.extras import need
from runners.data.hub import features, fingerprint, open_dataset
from runners.data.images.source import ImageSource, Picture

__all__ = ["KIND", "TASK", "open_source"]

KIND = "hf"
TASK = "labels"


def open_source(where: str, *, column: str | None, labelled: bool) -> ImageSource:
    """Split `train` of a data set; `column` names the label where there are several of classes."""

    def columns(dataset: Any) -> tuple[str, str | None]:
        found = features(dataset, where)
        return _image_column(found, where), _label_column(found, where, column) if labelled else None

    def pictures() -> Iterator[Picture]:
        dataset = open_dataset(where)
        image, label = columns(dataset)
        library = need("datasets", "a Hugging Face data set")
        rows = dataset.select_columns([image, label] if label else [image])
        # Bytes as they are stored: what decides about the split is the file, not a decoder's version.
        for number, row in enumerate(rows.cast_column(image, library.Image(decode=False))):
            yield Picture(f"{KIND}:{where}, row {number}", _content(row[image]), row[label] if label else 0)

    def classes() -> tuple[str, ...]:
        dataset = open_dataset(where)
        label = columns(dataset)[1]
        return tuple(features(dataset, where)[label].names) if label else ()

    return ImageSource(
        kind=KIND,
        name=f"{KIND}:{where}",
        fingerprint=f"{fingerprint(where)}/{column if labelled else None}",
        pictures=pictures,
        classes=classes,
    )


def _image_column(found: dict[str, Any], where: str) -> str:
    names = [name for name, feature in found.items() if type(feature).__name__ == "Image"]
    if not names:
        raise InputError(f"corpus 'hf:{where}' has no column of pictures; it has {sorted(found)}")
    return names[0]


def _label_column(found: dict[str, Any], where: str, column: str | None) -> str:
    names = [name for name, feature in found.items() if type(feature).__name__ == "ClassLabel"]
    if column in names or (column is None and len(names) == 1):
        return column or names[0]
    raise InputError(
        f"corpus 'hf:{where}' has the columns of classes {names}, and column is {column!r}; one of them is needed "
        "(the tasks 'hidden' and 'rotation' need none)"
    )


def _content(stored: dict[str, Any]) -> bytes:
    if stored["bytes"] is not None:
        return bytes(stored["bytes"])
    with open(stored["path"], "rb") as file:
        return file.read()
