"""An image corpus, ready to train on: images of the training and of the held-out pictures, all of one size.

Whole pictures are on either side of the split, by a hash of their files' content, with all images that are cut from
them. Everything is prepared once, into the user's cache folder, and read from there.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path
from types import ModuleType

import numpy as np

from bayes_scaling.runs import InputError
from runners.data import cache
from runners.data.images import sources, tasks
from runners.data.images.cut import FLAT, centre, decode, is_flat, tiles
from runners.data.images.source import ImageSource
from runners.data.kinds import named, pick_kind
from runners.data.split import content_hash, is_heldout

__all__ = ["ImageCorpus", "Side", "build_corpus", "load_images"]

SIDES = ("train", "heldout")


@dataclass(frozen=True, eq=False)
class Side:
    """Images on one side of the split.

    Attributes
    ----------
    images : numpy.ndarray
        (n, size, size, 3) uint8.
    labels : numpy.ndarray
        (n,) int64, zeros where the pictures have none.
    pictures : numpy.ndarray
        (n,) int64, the number of the picture that each is from.
    """

    images: np.ndarray
    labels: np.ndarray
    pictures: np.ndarray


@dataclass(frozen=True, eq=False)
class ImageCorpus:
    """A corpus, ready to train on.

    Attributes
    ----------
    name : str
        The corpus as the user named it.
    train, heldout : Side
        The two sides of the split.
    task : module
        What is to be predicted, of `runners.data.images.tasks`.
    classes : int
        How many answers there are.
    mean, std : numpy.ndarray
        Of the training pixels, per channel, in units of 0 … 255.
    facts : dict
        What a record says about the corpus.
    """

    name: str
    train: Side
    heldout: Side
    task: ModuleType
    classes: int
    mean: np.ndarray
    std: np.ndarray
    facts: dict[str, str | int]


@once
def load_images(
    corpus: str, image_size: int, *, task: str | None = None, column: str | None = None, limit: int = 0
) -> ImageCorpus:
    """Read, cut, clean and split a corpus, or take it from the cache.

    Parameters
    ----------
    corpus : str
        A folder; ``hf:NAME`` for a Hugging Face data set; ``photographs``, or ``photographs:FOLDER``.
    image_size : int
        Height and width in pixels.
    task : str, optional
        ``labels``, ``hidden`` or ``rotation``; by default what suits the kind of corpus.
    column : str, optional
        Column of the label, where there are several that hold classes.
    limit : int
        Most pictures to take, training and held-out ones together; 0 means all.

    Returns
    -------
    ImageCorpus
        The same object on every call within a process.
    """
    kind, where = pick_kind(sources.__name__, corpus, default="folder")
    chosen = named(tasks.__name__, "task", task or kind.TASK)
    source = kind.open_source(where, column=column, labelled=chosen.labelled)
    return build_corpus(source, chosen, image_size, limit)


def build_corpus(source: ImageSource, task: ModuleType, size: int, limit: int = 0) -> ImageCorpus:
    """Prepare a source's images in the cache, unless they are there, and open them."""
    rules = (source.tiled, source.heldout_fraction, task.labelled)
    folder = cache.place("images", source.kind, source.fingerprint, size, limit, *rules)
    if not folder.is_dir():
        with cache.building(folder) as new:
            facts, moments = _collect(source, not task.labelled, size, limit, new)
            about = {"facts": facts, "classes": source.classes() if task.labelled else (), **moments}
            (new / "facts.json").write_text(json.dumps(about, indent=1))
    about = json.loads((folder / "facts.json").read_text())
    train, heldout = (
        Side(
            cache.map_array(folder / f"{side}.images", "u1", (-1, size, size, 3)),
            np.load(folder / f"{side}.labels.npy"),
            np.load(folder / f"{side}.pictures.npy"),
        )
        for side in SIDES
    )
    classes = task.classes(tuple(about["classes"]))
    facts = about["facts"] | {
        "name": source.name,
        "task": task.KIND,
        "classes": classes,
        "train_examples": len(train.images) * task.VIEWS,
        "heldout_examples": len(heldout.images) * task.VIEWS,
    }
    return ImageCorpus(
        source.name, train, heldout, task, classes, np.array(about["mean"]), np.array(about["std"]), facts
    )


def _collect(
    source: ImageSource, turned: bool, size: int, limit: int, folder: Path
) -> tuple[dict[str, str | int], dict[str, list[float]]]:
    """Write the images of both sides; the facts, and the moments of the training pixels."""
    seen: set[str] = set()
    found = flat = 0
    labels: dict[str, list[int]] = {side: [] for side in SIDES}
    pictures: dict[str, list[int]] = {side: [] for side in SIDES}
    counts = dict.fromkeys(SIDES, 0)  # of pictures
    sums = np.zeros((2, 3))
    digests = {side: hashlib.sha256() for side in SIDES}
    with (folder / "train.images").open("wb") as train, (folder / "heldout.images").open("wb") as heldout:
        files = {"train": train, "heldout": heldout}
        for picture in source.pictures():
            if limit and found == limit:
                break
            found += 1
            digest = content_hash(picture.content)
            if digest in seen:
                continue
            seen.add(digest)
            side = "heldout" if is_heldout(digest, source.heldout_fraction) else "train"
            images = (tiles if source.tiled else centre)(decode(picture), size)
            if source.tiled:
                flat += int((level := is_flat(images)).sum())
                images = images[~level]
            images = images[[_is_new(image, turned, seen) for image in images]]
            if len(images) == 0:
                continue
            files[side].write(images.tobytes())
            digests[side].update(images.tobytes())
            labels[side] += [picture.label] * len(images)
            pictures[side] += [counts[side]] * len(images)
            counts[side] += 1
            if side == "train":
                pixels = images.reshape(-1, 3).astype(np.float64)
                sums += [pixels.sum(0), (pixels**2).sum(0)]
    if not all(counts.values()):
        raise InputError(
            f"corpus {source.name!r} has {found} pictures, of which {counts['train']} are left to train on and "
            f"{counts['heldout']} to hold out once duplicates, flat and too small ones are gone; at least one of each "
            "is needed"
        )
    for side in SIDES:
        np.save(folder / f"{side}.labels.npy", np.array(labels[side], np.int64))
        np.save(folder / f"{side}.pictures.npy", np.array(pictures[side], np.int64))
    facts: dict[str, str | int] = {
        "name": source.name,
        "kind": source.kind,
        **source.facts,
        "pictures_found": found,
        "duplicates": f"dropped: {source.duplicates}",
        "limit": limit,
        "image_size": size,
        "train_pictures": counts["train"],
        "train_images": len(labels["train"]),
        "heldout_pictures": counts["heldout"],
        "heldout_images": len(labels["heldout"]),
        "sha256": content_hash((digests["train"].hexdigest() + digests["heldout"].hexdigest()).encode()),
    }
    if source.tiled:
        facts |= {"flat_tiles": f"{flat} dropped: standard deviation of grey below {FLAT:g} of 255"}
    pixel_count = len(labels["train"]) * size * size
    mean = sums[0] / pixel_count
    std = np.sqrt(np.maximum(sums[1] / pixel_count - mean**2, 1.0))  # 1 of 255: nothing is divided by zero
    return facts, {"mean": mean.tolist(), "std": std.tolist()}


def _is_new(image: np.ndarray, turned: bool, seen: set[str]) -> bool:
    """Whether no image like this one was seen; with `turned`, also none that is a rotation of it, itself included.

    So all rotations of all tiles are distinct.
    """
    digests = [content_hash(np.rot90(image, turns).tobytes()) for turns in range(4 if turned else 1)]
    if len(set(digests)) < len(digests) or not seen.isdisjoint(digests):
        return False
    seen.add(min(digests))
    return True
