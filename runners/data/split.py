"""Which side of the split a document or picture is on: its content decides, whatever its name and place."""

import hashlib

__all__ = ["HELDOUT_FRACTION", "content_hash", "is_heldout"]

HELDOUT_FRACTION = 0.05


def content_hash(content: bytes) -> str:
    """SHA-256, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def is_heldout(digest: str, fraction: float = HELDOUT_FRACTION) -> bool:
    """Whether a content hash, as a number in [0, 1), is below `fraction`."""
    return int(digest[:12], 16) < fraction * 16**12
