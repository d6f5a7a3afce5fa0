"""What every kind of image source hands over."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from runners.data.split import HELDOUT_FRACTION

__all__ = ["ImageSource", "Picture"]


@dataclass(frozen=True)
class Picture:
    """One picture: where it is from, the bytes of its file, and the number of its class."""

    name: str
    content: bytes
    label: int = 0


@dataclass(frozen=True)
class ImageSource:
    """Pictures, and what is known about them before they are read.

    Attributes
    ----------
    kind : str
        The module of `runners.data.images.sources` that made it.
    name : str
        The corpus as the user named it.
    fingerprint : str
        Changes whenever the pictures do; part of the key under which a prepared corpus is cached.
    pictures : callable
        Starts a fresh pass over the pictures.
    classes : callable
        Names of the classes, in the order of their numbers; none where the pictures have no labels.
    tiled : bool
        Whether a picture is cut into tiles; otherwise it gives one image.
    duplicates : str
        How pictures that repeat others are dropped, in words.
    heldout_fraction : float
        Of the pictures.
    facts : dict
        What else a record should say.
    """

    kind: str
    name: str
    fingerprint: str
    pictures: Callable[[], Iterator[Picture]]
    classes: Callable[[], tuple[str, ...]]
    tiled: bool = False
    duplicates: str = "pictures and images that are the same to the byte"
    heldout_fraction: float = HELDOUT_FRACTION
    facts: dict[str, str | int] = field(default_factory=dict)
