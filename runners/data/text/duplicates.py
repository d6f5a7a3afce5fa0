"""Near-duplicates among files: dropped before the split, so that none straddles it.

Two files are near-duplicates by their overlap in shingles of three consecutive non-blank lines (stripped). A file goes
when at least half of the shingles of the smaller of the two also occur in a larger file that stays; so no two files
that stay share half of either. Files with fewer than eight shingles are too short to judge and go too.
"""

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable

from runners.data.split import content_hash

__all__ = ["MIN_SHINGLES", "OVERLAP", "RULE", "drop_duplicates", "shingles"]

SHINGLE_LINES = 3
MIN_SHINGLES = 8
OVERLAP = 0.5
RULE = "exact copies; files that share half of their runs of 3 lines with a larger one; files under 10 lines"


def shingles(text: bytes) -> frozenset[int]:
    """Hashes of all runs of three consecutive non-blank, stripped lines."""
    lines = [stripped for line in text.splitlines() if (stripped := line.strip())]
    return frozenset(
        zlib.crc32(b"\n".join(lines[i : i + SHINGLE_LINES])) for i in range(len(lines) - SHINGLE_LINES + 1)
    )


def drop_duplicates(texts: Iterable[bytes]) -> list[bytes]:
    """The files that stay, larger ones first; the module's docstring has the rule."""
    unique = {content_hash(text): text for text in texts}
    kept: list[tuple[bytes, int]] = []
    holders: defaultdict[int, list[int]] = defaultdict(list)  # shingle -> positions in `kept`
    for _, text in sorted(unique.items(), key=lambda item: (-len(item[1]), item[0])):
        own = shingles(text)
        if len(own) < MIN_SHINGLES:
            continue
        shared = Counter(position for shingle in own for position in holders.get(shingle, ()))
        if any(count >= OVERLAP * min(len(own), kept[position][1]) for position, count in shared.items()):
            continue
        for shingle in own:
            holders[shingle].append(len(kept))
        kept.append((text, len(own)))
    return [text for text, _ in kept]
