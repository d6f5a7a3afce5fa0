"""A small corpus of generated source text, and the smallest run that still prunes."""

import signal
from pathlib import Path

import numpy as np
import pytest

WORDS = ("alpha", "beta", "gamma", "delta", "weight", "loss", "train", "mask", "sparse", "dense", "layer", "token")


def source_text(seed: int, lines: int = 80) -> str:
    """Lines that look a little like source and share no three in a row with those of another seed."""
    rng = np.random.default_rng(seed)
    return "\n".join(
        f"{rng.choice(WORDS)}_{rng.integers(10_000)} = {rng.choice(WORDS)}({rng.integers(10_000)})"
        for _ in range(lines)
    )


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard():
    """A shell that starts tests in the background has them ignore Ctrl-C, and so would all that they start."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for seed in range(60):
        (folder / f"file{seed}.py").write_text(source_text(seed))
    return folder


@pytest.fixture(scope="session")
def tiny(corpus_folder: Path) -> dict[str, object]:
    """Settings of a run that takes well under a second."""
    return {
        "corpus": str(corpus_folder),
        "nonzero_params": 3072,
        "data_seen": 24 * 4 * 16,
        "context": 16,
        "batch_size": 4,
        "prune_every": 3,
        "heldout_items": 32,
        "device": "cpu",
    }
