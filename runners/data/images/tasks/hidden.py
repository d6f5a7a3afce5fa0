"""Masked image modelling with one hidden cell: which colour does it have?

Images are divided into 4 x 4 cells, one of which is painted grey; to be predicted is its mean colour, as one of 64:
four levels each of red, green and blue. Self-supervised like BEiT (Bao et al., 2021, arXiv:2106.08254), which predicts
discrete tokens of hidden patches, but with a coarse palette for tokens (as iGPT has it: Chen et al., ICML 2020) and one
hidden cell at a time, so that an example has one answer. Every image makes sixteen examples.

Neighbouring pixels tell much of the answer in any picture, so it can be learnt from few photographs and carries over to
others. Their orientation does not: docs/data.md has the numbers.
"""

import numpy as np

__all__ = ["KIND", "VIEWS", "classes", "examples", "labelled"]

KIND = "hidden"
SIDE = 4
VIEWS = SIDE**2
LEVELS = 4
GREY = 128
labelled = False


def classes(names: tuple[str, ...]) -> int:  # noqa: ARG001
    """The size of the palette."""
    return LEVELS**3


def examples(images: np.ndarray, labels: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # noqa: ARG001
    """Images, (n, side, side, 3) uint8, with cell number `views` painted grey, and the number of its colour."""
    count, side = images.shape[:2]
    cell = side // SIDE
    hidden = images.copy()
    rows = (views // SIDE * cell)[:, None] + np.arange(cell)
    columns = (views % SIDE * cell)[:, None] + np.arange(cell)
    where = np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]
    levels = images[where].mean((1, 2)).astype(np.int64) * LEVELS // 256
    hidden[where] = GREY
    return hidden, levels @ [LEVELS**2, LEVELS, 1]
