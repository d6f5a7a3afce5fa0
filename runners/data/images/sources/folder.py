"""A folder of pictures, one sub-folder per class, as torchvision's `ImageFolder` has it."""

from collections.abc import Iterator
from pathlib import Path

from bayes_scaling.runs import InputError
from runners.data import cache
from runners.data.images.source import ImageSource, Picture

__all__ = ["ENDINGS", "KIND", "TASK", "open_source", "pictures_below", "read"]

KIND = "folder"
TASK = "labels"
ENDINGS = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}  # torchvision's


def open_source(where: str, *, column: str | None, labelled: bool) -> ImageSource:  # noqa: ARG001
    """All pictures below a folder; with labels, those of its sub-folders, whose names are the classes."""
    root = Path(where)
    if not root.is_dir():
        raise InputError(
            f"corpus is {where!r}; allowed are existing folders, 'hf:NAME' for a Hugging Face data set, and "
            "'photographs'"
        )
    classes: tuple[str, ...] = ()
    if labelled:
        classes = tuple(sorted(path.name for path in root.iterdir() if path.is_dir() and pictures_below(path)))
        if len(classes) < 2:
            raise InputError(
                f"corpus {where!r} has {len(classes)} sub-folders with pictures; labels need one for each of at least "
                "two classes (the tasks 'hidden' and 'rotation' need none)"
            )
    files = pictures_below(root)
    if not files:
        raise InputError(f"corpus {where!r} has no pictures; their names end in {', '.join(sorted(ENDINGS))}")
    numbers = {name: number for number, name in enumerate(classes)}

    def pictures() -> Iterator[Picture]:
        for path in files:
            name = path.relative_to(root).parts[0]
            if not labelled or name in numbers:
                yield Picture(str(path), read(path), numbers.get(name, 0))

    return ImageSource(
        kind=KIND, name=where, fingerprint=cache.stamp(files), pictures=pictures, classes=lambda: classes
    )


def pictures_below(root: Path) -> list[Path]:
    """Files below a folder whose names end as those of pictures do."""
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())


def read(path: Path) -> bytes:
    """A file's content, or an error that names it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"picture {str(path)!r} cannot be read: {error.strerror}") from error
