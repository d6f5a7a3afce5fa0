"""Batches of several texts, mixed by weight."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from runners.data.text.corpus import TextCorpus
from runners.data.text.windows import TextBatches
from runners.mixtures import Mixture

__all__ = ["TextMixture"]

GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, are spread evenly however many there are."""

START = 2  # keeps the stream of the first offset apart from those of orders
STEPS = 4096  # counted at a time


class TextMixture:
    """Windows of several texts; `runners.data.batches.Batches` has what each part is.

    A step's windows are shared out by systematic sampling: points at equal distances on [0, 1), moved by an offset,
    fall into the corpora's shares of it. Offsets of successive steps are multiples of the golden section, so every
    corpus has its weight's share of each step to within one window, and of all steps so far to within a few. Each
    corpus comes in an order of its own, the one that it would have alone, by epochs of its own.

    Parameters
    ----------
    mixture : Mixture
        Names and weights.
    corpora : sequence of TextCorpus
        The texts, in the order of `mixture`, in tokens of one tokenizer.
    context : int
        Tokens predicted per window.
    batch_size : int
        Windows per step, of all corpora together.
    seed : int
        Of the orders, and of the first offset.
    """

    modality = "language"
    unit = "tokens"

    def __init__(
        self, mixture: Mixture, corpora: Sequence[TextCorpus], context: int, batch_size: int, seed: int
    ) -> None:
        self.parts = {
            name: TextBatches(corpus, context, 1, seed) for (name, _), corpus in zip(mixture, corpora, strict=True)
        }
        self.weights = dict(mixture)
        self.context, self.batch_size = context, batch_size
        self.classes = corpora[0].vocabulary
        self.units_per_step = batch_size * context
        self.facts = _facts({name: part.facts for name, part in self.parts.items()})
        shares = np.cumsum([weight for _, weight in mixture])
        self._shares = batch_size * shares / shares[-1]
        self._offset = float(np.random.default_rng((seed, START)).random())
        self._taken = np.zeros((1, len(mixture)), dtype=np.int64)  # windows of each corpus before a step

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of a step, (batch, context) int64 each, one corpus after the other."""
        first, after = self._before(step), self._before(step + 1)
        inputs, targets = zip(
            *(
                part.windows(np.concatenate([part.order.at(item) for item in range(begin, end)]))
                for part, begin, end in zip(self.parts.values(), first, after, strict=True)
                if end > begin
            ),
            strict=True,
        )
        return np.concatenate(inputs), np.concatenate(targets)

    def epoch(self, step: int) -> int:
        """The most often that a corpus of which there is some in the batch has begun anew before."""
        first, after = self._before(step), self._before(step + 1)
        return max(
            part.order.epoch(int(end) - 1)
            for part, begin, end in zip(self.parts.values(), first, after, strict=True)
            if end > begin
        )

    def seen_of(self, steps: int) -> dict[str, int]:
        """Tokens of each corpus in the first `steps` steps, repeats counted."""
        return {name: int(items) * self.context for name, items in zip(self.parts, self._before(steps), strict=True)}

    def unique_of(self, steps: int) -> dict[str, int]:
        """Distinct tokens of each corpus in the first `steps` steps."""
        return {
            name: part.unique(int(items))
            for (name, part), items in zip(self.parts.items(), self._before(steps), strict=True)
        }

    def unique(self, steps: int) -> int:
        """Distinct tokens predicted in the first `steps` steps; what two corpora share counts twice."""
        return sum(self.unique_of(steps).values())

    def heldout(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Held-out windows of all corpora, up to `count` of each, and the number of each one's document."""
        inputs, targets, documents = zip(*(part.heldout(count) for part in self.parts.values()), strict=True)
        firsts = np.cumsum([0, *(numbers.max() + 1 for numbers in documents[:-1])])
        numbers = [first + own for first, own in zip(firsts, documents, strict=True)]
        return np.concatenate(inputs), np.concatenate(targets), np.concatenate(numbers)

    def _before(self, step: int) -> np.ndarray:
        """Windows of each corpus in all steps before that one."""
        while step >= len(self._taken):
            done = len(self._taken) - 1
            offsets = (self._offset + GOLDEN * np.arange(done, done + STEPS)) % 1
            ends = np.clip(np.ceil(self._shares - offsets[:, None]), 0, self.batch_size)
            ends[:, -1] = self.batch_size
            counts = np.diff(ends, axis=1, prepend=0).astype(np.int64)
            self._taken = np.concatenate([self._taken, self._taken[-1] + np.cumsum(counts, axis=0)])
        before: np.ndarray = self._taken[step]
        return before


def _facts(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What a record says about them: the same whatever their weights."""
    one = next(iter(parts.values()))
    digest = hashlib.sha256("".join(facts["sha256"] for facts in parts.values()).encode())
    return {
        "name": " + ".join(parts),
        "kind": "mixture",
        **{key: one[key] for key in ("tokenizer", "tokenizer_sha256", "vocabulary")},
        "corpora": parts,
        "sha256": digest.hexdigest(),
    }
