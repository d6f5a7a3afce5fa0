"""Hugging Face data sets, streamed: by id and configuration, or from a local folder."""

from pathlib import Path
from typing import Any

from bayes_scaling.runs import InputError
from runners.data import cache
from runners.data.extras import need

__all__ = ["features", "fingerprint", "open_dataset"]

SPLIT = "train"


def open_dataset(where: str) -> Any:
    """Split `train` of a data set, as a `datasets.IterableDataset`.

    Parameters
    ----------
    where : str
        ``owner/name``, ``owner/name:configuration``, or a local folder: one that `Dataset.save_to_disk` wrote, or one
        that `datasets.load_dataset` takes.
    """
    datasets = need("datasets", "a Hugging Face data set")
    try:
        if (Path(where) / "state.json").is_file() or (Path(where) / "dataset_dict.json").is_file():
            saved = datasets.load_from_disk(where)
            return (saved[SPLIT] if isinstance(saved, datasets.DatasetDict) else saved).to_iterable_dataset()
        name, configuration = (where, None) if Path(where).exists() else _split_configuration(where)
        return datasets.load_dataset(name, configuration, split=SPLIT, streaming=True)
    except Exception as error:  # the library raises its own, its file systems' and its HTTP client's
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"corpus 'hf:{where}' could not be opened as a Hugging Face data set: {reason}") from error


def features(dataset: Any, where: str) -> dict[str, Any]:
    """Columns of a data set and their types."""
    if dataset.features is None:  # a stream may not know before it was read
        dataset = dataset._resolve_features()
    if not dataset.features:
        raise InputError(f"corpus 'hf:{where}' has no rows in its split {SPLIT!r}")
    return dict(dataset.features)


def fingerprint(where: str) -> str:
    """What a cache may know the data set by. A remote one that changes keeps its name and so stays as it was."""
    if Path(where).is_dir():
        return cache.stamp(sorted(path for path in Path(where).rglob("*") if path.is_file()))
    return f"{where}/{SPLIT}"


def _split_configuration(where: str) -> tuple[str, str | None]:
    name, _, configuration = where.partition(":")
    return name, configuration or None
