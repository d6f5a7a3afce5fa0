"""What a training loop asks of its data, the same for text and images."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

__all__ = ["Batches"]


class Batches(Protocol):
    """Batches of training data by number of the step, and the held-out data.

    A batch depends on the seed and the step alone, so a run that goes on from step k needs k and nothing else.

    Attributes
    ----------
    modality : str
        ``language`` or ``vision``.
    unit : str
        ``tokens`` or ``examples``: what `units_per_step` and `unique` count.
    classes : int
        How many logits there are: the vocabulary, or the labels.
    facts : dict
        What a record says about the data: name, kind, counts, SHA-256, how duplicates went.
    units_per_step : int
        Tokens or examples of one batch.
    parts : mapping of str to Batches
        The corpora of a mixture by name, for their held-out data; empty where there is one corpus.
    """

    modality: str
    unit: str
    classes: int
    facts: dict[str, Any]
    units_per_step: int

    @property
    def parts(self) -> "Mapping[str, Batches]":
        """As above: an attribute, or a property."""
        ...

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of a step, counted from 0.

        Text: (batch, context) int64 twice. Images: (batch, 3, height, width) float32, normalised, and (batch,) int64.
        """
        ...

    def epoch(self, step: int) -> int:
        """How often the data was begun anew before a step."""
        ...

    def unique(self, steps: int) -> int:
        """Distinct units among those of the first `steps` steps."""
        ...

    def heldout(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Held-out inputs, targets, and for each the number of the document or picture it is from; 0 means all.

        The same for every run and seed. What comes from one document or picture resembles itself, so standard errors
        take these as clusters.
        """
        ...
