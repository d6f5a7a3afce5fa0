"""From a picture of any size to square images of one size."""

import io
from typing import Any

import numpy as np

from bayes_scaling.runs import InputError
from runners.data.extras import need
from runners.data.images.source import Picture

__all__ = ["FLAT", "centre", "decode", "is_flat", "tiles"]

REDUCTION = 2  # a photograph's own pixels are blurred by optics, demosaicing and JPEG
LONGEST = 1536  # of a reduced photograph: the tiles of a very large one would show next to nothing each
FLAT = 6.0


def decode(picture: Picture) -> Any:
    """The picture as an RGB `PIL.Image`, the right way up."""
    pillow = need("PIL.Image", "reading pictures")
    ops = need("PIL.ImageOps", "reading pictures")
    try:
        return ops.exif_transpose(pillow.open(io.BytesIO(picture.content))).convert("RGB")
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
        raise InputError(f"picture {picture.name!r} cannot be read: {error}") from error


def centre(image: Any, size: int) -> np.ndarray:
    """The largest square in the middle, reduced (or enlarged) to `size`: (1, size, size, 3) uint8."""
    ops, pillow = need("PIL.ImageOps", "reading pictures"), need("PIL.Image", "reading pictures")
    return np.asarray(ops.fit(image, (size, size), pillow.Resampling.LANCZOS))[None]


def tiles(image: Any, size: int) -> np.ndarray:
    """Tiles side by side that do not overlap: (n, size, size, 3) uint8.

    The picture is first reduced to half its width and height, and further until its longer side is at most 1,536
    pixels. What does not fill a tile is left out at the edges.
    """
    pillow = need("PIL.Image", "reading pictures")
    scale = min(1 / REDUCTION, LONGEST / max(image.size))
    width, height = (round(length * scale) for length in image.size)
    columns, rows = width // size, height // size
    if not columns or not rows:
        return np.empty((0, size, size, 3), np.uint8)
    pixels = np.asarray(image.resize((width, height), pillow.Resampling.LANCZOS))
    top, left = (height - rows * size) // 2, (width - columns * size) // 2
    pixels = pixels[top : top + rows * size, left : left + columns * size]
    return pixels.reshape(rows, size, columns, size, 3).swapaxes(1, 2).reshape(-1, size, size, 3)


def is_flat(images: np.ndarray) -> np.ndarray:
    """Whether an image shows next to nothing: its grey values have a standard deviation below 6 (of 255)."""
    return images.mean(-1).std((1, 2)) < FLAT
