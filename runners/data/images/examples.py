"""Batches of examples made from images."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from runners.data.images.corpus import ImageCorpus, Side
from runners.data.order import Order

__all__ = ["ImageBatches"]

FLIPS = 1  # keeps the stream of the flips apart from that of the order


class ImageBatches:
    """Images and what is to be predicted from them; `runners.data.batches.Batches` has what each part is.

    An example is an image in one of the task's views: (tile, rotation) where rotations are predicted. An epoch has
    each example once.

    Parameters
    ----------
    images : ImageCorpus
        Where they come from.
    batch_size : int
        Examples per step.
    seed : int
        Of the order and of the flips.
    flips : bool
        Whether each training image is mirrored left to right with probability one half, before the task turns it.
        Mirrored ones do not count as other examples.
    """

    modality = "vision"
    unit = "examples"

    def __init__(self, images: ImageCorpus, batch_size: int, seed: int, flips: bool = False) -> None:
        self.images = images
        self.flips = flips
        self.classes = images.classes
        self.facts: dict[str, Any] = images.facts | {"flips": int(flips)}
        self.parts: Mapping[str, ImageBatches] = {}
        self.units_per_step = batch_size
        self.order = Order(len(images.train.images) * images.task.VIEWS, 1, batch_size, seed)
        # Every value a pixel can have, normalised: a look-up is faster than arithmetic on every pixel.
        self._normalised = ((np.arange(256)[:, None] - images.mean) / images.std).astype(np.float32)

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Normalised images, (batch, 3, size, size) float32, and targets, (batch,) int64, of a step."""
        chosen = self.order.at(step)
        mirrored = np.zeros(len(chosen), dtype=bool)
        if self.flips:
            mirrored = np.random.default_rng((self.order.seed, step, FLIPS)).random(len(chosen)) < 0.5
        return self._examples(self.images.train, chosen, mirrored)

    def epoch(self, step: int) -> int:
        """How often the examples were begun anew before a step."""
        return self.order.epoch(step)

    def unique(self, steps: int) -> int:
        """Distinct examples in the first `steps` steps."""
        return self.order.unique(steps)

    def heldout(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Held-out images and targets, and the number of each one's picture."""
        views = self.images.task.VIEWS
        chosen = np.arange(len(self.images.heldout.images) * views)
        if 0 < count < len(chosen):
            chosen = np.sort(np.random.default_rng(0).permutation(chosen)[:count])
        inputs, targets = self._examples(self.images.heldout, chosen, np.zeros(len(chosen), dtype=bool))
        return inputs, targets, self.images.heldout.pictures[chosen // views]

    def _examples(self, side: Side, chosen: np.ndarray, mirrored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        number, views = np.divmod(chosen, self.images.task.VIEWS)
        images = side.images[number]
        images[mirrored] = images[mirrored, :, ::-1]
        images, targets = self.images.task.examples(images, side.labels[number], views)
        inputs = np.empty((len(images), 3, *images.shape[1:3]), np.float32)
        for channel in range(3):
            inputs[:, channel] = self._normalised[:, channel][images[..., channel]]
        return inputs, targets
