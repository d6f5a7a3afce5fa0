"""Pictures that are the same at several resolutions, or saved again: one of them is enough."""

from collections.abc import Sequence

import numpy as np

from runners.data.extras import need
from runners.data.images.cut import decode
from runners.data.images.source import Picture
from runners.data.split import content_hash

__all__ = ["ALIKE", "distinct"]

SIDE = 24
ALIKE = 0.995


def distinct(pictures: Sequence[Picture]) -> list[Picture]:
    """Pictures of which no two look the same; of those that do the largest stays.

    Two look the same when their thumbnails of 24 x 24 pixels, stretched to a square, correlate by more than .995.

    Returns
    -------
    list of Picture
        In the order of the hashes of their contents.
    """
    pillow = need("PIL.Image", "reading pictures")
    looks = []
    for picture in pictures:
        image = decode(picture)
        thumbnail = np.asarray(image.resize((SIDE, SIDE), pillow.Resampling.BOX), dtype=np.float64).ravel()
        thumbnail -= thumbnail.mean()
        looks.append((image.width * image.height, content_hash(picture.content), picture, thumbnail))
    kept: list[tuple[str, Picture]] = []
    thumbnails = np.empty((0, SIDE * SIDE * 3))
    for _, digest, picture, thumbnail in sorted(looks, key=lambda look: (-look[0], look[1])):
        look = thumbnail / max(float(np.linalg.norm(thumbnail)), 1.0)
        if (thumbnails @ look > ALIKE).any():
            continue
        thumbnails = np.vstack([thumbnails, look])
        kept.append((digest, picture))
    return [picture for _, picture in sorted(kept, key=lambda pair: pair[0])]
