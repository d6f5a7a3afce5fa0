"""Real training data: text and images, one kind of source per file.

`load_batches` is the door. Behind it, text and images have the same rooms: sources/ (one kind per file), corpus.py
(read once, cleaned, split, cached), and batches of it in the order of order.py.
"""

from runners.data.batches import Batches
from runners.data.load import load_batches

__all__ = ["Batches", "load_batches"]
