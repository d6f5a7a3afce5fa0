"""Batches of windows of text."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_scaling.runs import InputError
from runners.data.order import Order
from runners.data.text.corpus import TextCorpus, heldout_windows

__all__ = ["TextBatches"]


class TextBatches:
    """Windows of a text and, shifted by one, their targets; `runners.data.batches.Batches` has what each part is.

    Windows run across the ends of documents. Every token is predicted once per epoch, but for what is left over at its
    ends (`runners.data.order`).

    Parameters
    ----------
    corpus : TextCorpus
        Where they come from.
    context : int
        Tokens predicted per window.
    batch_size : int
        Windows per step.
    seed : int
        Of the order.
    unique_data : int
        Most training tokens to predict, the first ones; 0 means all.
    """

    modality = "language"
    unit = "tokens"

    def __init__(self, corpus: TextCorpus, context: int, batch_size: int, seed: int, unique_data: int = 0) -> None:
        if len(corpus.heldout) <= context:
            raise InputError(
                f"corpus {corpus.name!r} has {len(corpus.heldout)} held-out tokens; a context of {context} needs more"
            )
        size = len(corpus.train) - 1
        if unique_data > size:
            raise InputError(f"unique_data is {unique_data}; corpus {corpus.name!r} has {size} tokens to train on")
        self.corpus = corpus
        self.context = context
        self.classes = corpus.vocabulary
        self.facts: dict[str, Any] = dict(corpus.facts)
        self.parts: Mapping[str, TextBatches] = {}
        self.units_per_step = batch_size * context
        self.order = Order(unique_data or size, context, batch_size, seed)
        self._window = np.arange(context + 1)

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of a step, (batch, context) int64 each."""
        return self.windows(self.order.at(step))

    def windows(self, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of the windows that start there."""
        windows = self.corpus.train[starts[:, None] + self._window].astype(np.int64)
        return windows[:, :-1], windows[:, 1:]

    def epoch(self, step: int) -> int:
        """How often the text was begun anew before a step."""
        return self.order.epoch(step)

    def unique(self, steps: int) -> int:
        """Distinct tokens predicted in the first `steps` steps."""
        return self.order.unique(steps)

    def heldout(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Held-out inputs and targets, and the number of each window's document."""
        windows, documents = heldout_windows(self.corpus, self.context, count)
        windows = windows.astype(np.int64)
        return windows[:, :-1], windows[:, 1:], documents
