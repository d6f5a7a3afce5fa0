"""Rotation prediction: by how many quarter turns was the picture rotated? (Gidaris et al., 2018, arXiv:1803.07728)

Self-supervised: it takes no labels, but what is up in a picture and what an object is must be understood to answer.
Every image makes four examples, one per rotation. Unlike there, the four need not be in the same batch.
"""

import numpy as np

__all__ = ["KIND", "VIEWS", "classes", "examples", "labelled"]

KIND = "rotation"
VIEWS = 4
labelled = False


def classes(names: tuple[str, ...]) -> int:  # noqa: ARG001
    """Four, whatever the pictures show."""
    return VIEWS


def examples(images: np.ndarray, labels: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # noqa: ARG001
    """Images, (n, side, side, 3), turned counter-clockwise `views` times by 90 degrees, and `views`."""
    turned = images.copy()
    for turns in range(1, VIEWS):
        chosen = views == turns
        turned[chosen] = np.rot90(images[chosen], turns, axes=(1, 2))
    return turned, views.astype(np.int64)
