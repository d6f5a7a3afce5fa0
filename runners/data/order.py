"""In which order the training data comes: by epochs, each a permutation of its own, known from the step alone."""

from bisect import bisect_right
from functools import lru_cache

import numpy as np

from bayes_scaling.runs import InputError

__all__ = ["Order"]


class Order:
    """Where the items of each step's batch start.

    An epoch cuts positions 0 … size - 1 into pieces of `stride` that do not overlap, in an order drawn from (seed,
    epoch), so nothing repeats before everything was seen; what is left over at its end, less than one batch, is
    dropped. Every epoch cuts at another offset, which leaves out less than one piece at either end.

    Parameters
    ----------
    size : int
        Positions: predicted tokens of a text, or examples.
    stride : int
        Positions of one item: the context of a text, 1 for examples.
    batch_size : int
        Items of one step.
    seed : int
        With the epoch's number it seeds the permutation.
    """

    def __init__(self, size: int, stride: int, batch_size: int, seed: int) -> None:
        if size < stride * batch_size + stride - 1:  # at the largest offset
            of = "examples" if stride == 1 else f"windows of {stride} tokens"
            raise InputError(f"the training data has {size} positions; a batch of {batch_size} {of} needs more")
        self.size = size
        self.stride = stride
        self.batch_size = batch_size
        self.seed = seed
        self._first_steps = [0]  # of the epochs looked at so far: an epoch's length depends on its offset
        self._starts = lru_cache(maxsize=1)(self._draw)

    def at(self, step: int) -> np.ndarray:
        """Start positions of a step's items, (batch_size,) int64."""
        epoch = self.epoch(step)
        begin = (step - self._first_steps[epoch]) * self.batch_size
        return self._starts(epoch)[begin : begin + self.batch_size]

    def epoch(self, step: int) -> int:
        """Number of the epoch that a step belongs to."""
        while step >= self._first_steps[-1]:
            epoch = len(self._first_steps) - 1
            offset = int(self._generator(epoch).integers(self.stride))
            self._first_steps.append(self._first_steps[-1] + self._items(offset) // self.batch_size)
        return bisect_right(self._first_steps, step) - 1

    def unique(self, steps: int) -> int:
        """Distinct positions among those of the first `steps` steps.

        Epochs after the first only add what was left over so far, so that is all that has to be followed.
        """
        if steps == 0 or self.epoch(steps - 1) == 0:
            return steps * self.batch_size * self.stride
        starts = self._starts(0)
        first, last = int(starts.min()), int(starts.max()) + self.stride
        left_over = starts[self._length(0) * self.batch_size :]
        missing = np.concatenate(
            [np.arange(first), (left_over[:, None] + np.arange(self.stride)).ravel(), np.arange(last, self.size)]
        )
        for epoch in range(1, self.epoch(steps - 1) + 1):
            if len(missing) == 0:
                break
            starts = self._starts(epoch)
            offset = int(starts[0]) % self.stride
            done = min(steps - self._first_steps[epoch], self._length(epoch)) * self.batch_size
            seen = np.zeros(len(starts) + 2, dtype=bool)  # by piece; one before the first and one after the last
            seen[1 + (starts[:done] - offset) // self.stride] = True
            missing = missing[~seen[1 + (missing - offset) // self.stride]]
        return self.size - len(missing)

    def _length(self, epoch: int) -> int:
        """Steps of an epoch that was looked at."""
        return self._first_steps[epoch + 1] - self._first_steps[epoch]

    def _draw(self, epoch: int) -> np.ndarray:
        generator = self._generator(epoch)
        offset = int(generator.integers(self.stride))
        return offset + self.stride * generator.permutation(self._items(offset))

    def _generator(self, epoch: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, epoch))

    def _items(self, offset: int) -> int:
        return (self.size - offset) // self.stride
