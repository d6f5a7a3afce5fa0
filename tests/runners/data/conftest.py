"""Real files of every format, and a cache folder of the tests' own."""

import io
from pathlib import Path

import numpy as np
import pytest

from tests.runners.conftest import WORDS, source_text


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh cache folder for each test, and nothing remembered from the one before."""
    from runners.data import cache
    from runners.data.text import corpus as text_corpus

    folder = tmp_path / "cache"
    monkeypatch.setattr(cache, "root", lambda: folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    text_corpus.load_corpus.cache_clear()
    return folder


def documents(count: int, start: int = 0) -> list[str]:
    """Documents of which no two are alike."""
    return [source_text(seed, lines=12) for seed in range(start, start + count)]


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real byte-level BPE tokenizer of 400 tokens, trained here, with an end-of-text token."""
    tokenizers = pytest.importorskip("tokenizers", reason="needs bayes-scaling[runners]")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents(20), trainer)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def picture(seed: int, width: int = 40, height: int = 30) -> np.ndarray:
    """A picture of coloured noise, no two alike: (height, width, 3) uint8."""
    coarse = np.random.default_rng(seed).integers(256, size=(6, 8, 3))
    return coarse.repeat(-(-height // 6), 0).repeat(-(-width // 8), 1)[:height, :width].astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """The content of a PNG file."""
    image = pytest.importorskip("PIL.Image", reason="needs bayes-scaling[runners]")
    file = io.BytesIO()
    image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Sixty pictures in the three sub-folders `ant`, `bee` and `cat`, and copies of some."""
    root = tmp_path / "pictures"
    for seed in range(60):
        folder = root / ("ant", "bee", "cat")[seed % 3]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{seed}.png").write_bytes(png(picture(seed)))
        if seed < 9:
            (folder / f"copy{seed}.png").write_bytes(png(picture(seed)))
    return root


__all__ = ["WORDS", "documents", "picture", "png"]
