import gzip
import json
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bayes_scaling.runs import InputError
from runners.data import load_batches
from runners.data.kinds import kinds
from runners.data.split import content_hash, is_heldout
from runners.data.text import sources
from runners.data.text.corpus import build_corpus, heldout_windows, load_corpus
from runners.data.text.source import TextSource
from runners.data.text.sources.stdlib import stdlib_files
from runners.data.text.tokens import load_tokenizer
from tests.runners.data.conftest import documents


@pytest.fixture
def parquet_folder(tmp_path):
    """Two Parquet files of several row groups: 120 documents, 20 of them copies, and one missing."""
    folder = tmp_path / "parquet"
    folder.mkdir()
    texts = documents(100)
    for name, own in (("a", [*texts[:50], None, *texts[:20]]), ("b", texts[50:])):
        pq.write_table(pa.table({"text": own, "url": own}), folder / f"{name}.parquet", row_group_size=16)
    return folder


def saved_dataset(folder, texts):
    datasets = pytest.importorskip("datasets", reason="needs bayes-scaling[runners]")
    datasets.Dataset.from_dict({"text": texts, "number": list(range(len(texts)))}).save_to_disk(folder)
    return folder


def sides(corpus):
    return bytes(corpus.train), bytes(corpus.heldout)


def test_the_kinds_of_sources_are_the_files_that_there_are():
    assert sorted(kinds(sources.__name__)) == ["folders", "hf", "package", "parquet", "stdlib"]


def test_the_real_corpus_is_the_standard_library():
    files = stdlib_files()
    assert any(path.name == "argparse.py" for path in files)
    assert not any("site-packages" in path.parts for path in files)


def test_a_folder_becomes_its_files_in_the_order_of_their_hashes(corpus_folder):
    corpus = load_corpus(str(corpus_folder))
    texts = sorted((path.read_bytes() for path in corpus_folder.iterdir()), key=content_hash)
    assert sides(corpus) == (
        b"".join(text for text in texts if not is_heldout(content_hash(text))),
        b"".join(text for text in texts if is_heldout(content_hash(text))),
    )
    assert corpus.facts["sha256"] == content_hash(b"".join(sides(corpus)))
    assert corpus.facts["train_documents"] + corpus.facts["heldout_documents"] == 60
    assert corpus.facts["documents_found"] == 60
    assert load_corpus(str(corpus_folder)) is corpus


def test_windows_come_in_the_order_that_shipped_runs_were_trained_in(corpus_folder):
    batches = load_batches("language", str(corpus_folder), context=16, batch_size=4, seed=5)
    text, step = batches.corpus.train, 0
    for epoch in range(2):  # the order, written out once more
        rng = np.random.default_rng((5, epoch))
        offset = int(rng.integers(16))
        starts = offset + 16 * rng.permutation((len(text) - 1 - offset) // 16)
        for i in range(0, len(starts) - 4 + 1, 4):
            windows = text[starts[i : i + 4, None] + np.arange(17)]
            inputs, targets = batches.batch(step)
            assert (inputs == windows[:, :-1]).all()
            assert (targets == windows[:, 1:]).all()
            step += 1
    assert inputs.dtype == targets.dtype == np.int64
    assert (batches.modality, batches.unit, batches.classes, batches.units_per_step) == ("language", "tokens", 256, 64)
    assert batches.unique(10) == 640


def test_a_batch_takes_microseconds(corpus_folder):
    batches = load_batches("language", str(corpus_folder), batch_size=16, seed=0)
    batches.batch(0)
    times = []
    for step in range(100):
        began = time.perf_counter()
        batches.batch(step)
        times.append(time.perf_counter() - began)
    assert np.median(times) < 200e-6  # about 15 on an idle machine


def test_heldout_windows_are_the_same_for_everyone(corpus_folder):
    corpus = load_corpus(str(corpus_folder))
    windows, numbers = heldout_windows(corpus, 16, 20)
    inputs, targets, clusters = load_batches("language", str(corpus_folder), context=16, batch_size=4, seed=9).heldout(
        20
    )
    assert (inputs == windows[:, :-1]).all()
    assert (targets == windows[:, 1:]).all()
    assert (clusters == numbers).all()
    assert numbers.max() < corpus.facts["heldout_documents"]
    everything, numbers = heldout_windows(corpus, 16, 0)
    assert len(everything) == (len(corpus.heldout) - 1) // 16
    lengths = np.diff(corpus.heldout_ends, prepend=0)
    assert (numbers == np.repeat(np.arange(len(lengths)), lengths)[np.arange(0, len(corpus.heldout) - 16, 16)]).all()


def test_parquet_loses_copies_and_nothing_else(parquet_folder):
    for name, suffix in ((str(parquet_folder), ".parquet"), (f"parquet:{parquet_folder}", ".py")):
        corpus = load_corpus(name, suffix)
        assert sorted(b"".join(sides(corpus))) == sorted("".join(documents(100)).encode())
    assert corpus.facts["train_documents"] + corpus.facts["heldout_documents"] == 100
    assert corpus.facts["documents_found"] == 120


def test_no_document_is_on_both_sides(parquet_folder):
    corpus = load_corpus(str(parquet_folder / "a.parquet"))
    starts = np.concatenate([[0], corpus.heldout_ends[:-1]])
    heldout = [bytes(corpus.heldout[i:j]) for i, j in zip(starts, corpus.heldout_ends, strict=True)]
    assert heldout
    assert {content_hash(text) for text in heldout} <= {content_hash(text.encode()) for text in documents(50)}
    assert all(is_heldout(content_hash(text)) for text in heldout)
    assert not any(text in bytes(corpus.train) for text in heldout)


def test_a_saved_dataset_gives_what_its_parquet_gives(tmp_path, parquet_folder):
    saved = saved_dataset(tmp_path / "saved", documents(100))
    from_disk = load_corpus(f"hf:{saved}")
    streamed = load_corpus(f"hf:{parquet_folder}")
    assert from_disk.facts["documents_found"] == 100
    assert streamed.facts["documents_found"] == 120
    assert sides(from_disk) == sides(streamed) == sides(load_corpus(str(parquet_folder), ".parquet"))


def test_compressed_json_lines_are_streamed_as_c4_has_them(tmp_path):
    pytest.importorskip("datasets", reason="needs bayes-scaling[runners]")
    folder = tmp_path / "like-c4"
    folder.mkdir()
    with gzip.open(folder / "c4-train.00000-of-00001.json.gz", "wt") as file:
        file.writelines(json.dumps({"text": text, "url": "x"}) + "\n" for text in documents(100))
    corpus = load_corpus(f"hf:{folder}", limit=20_000)
    assert corpus.facts["documents_found"] == 100
    assert 15_000 < len(corpus.train) + len(corpus.heldout) <= 20_000


def test_a_prepared_corpus_is_read_from_the_cache_until_its_source_changes(parquet_folder, cache_folder, monkeypatch):
    first = load_corpus(str(parquet_folder), ".parquet")
    monkeypatch.setattr("runners.data.text.corpus._collect", lambda *_: pytest.fail("prepared twice"))
    load_corpus.cache_clear()
    again = load_corpus(str(parquet_folder), ".parquet")
    assert sides(first) == sides(again)
    assert first.facts == again.facts
    assert len(list((cache_folder / "text").iterdir())) == 1
    monkeypatch.undo()
    monkeypatch.setattr("runners.data.cache.root", lambda: cache_folder)
    pq.write_table(pa.table({"text": documents(70, start=200)}), parquet_folder / "b.parquet")
    load_corpus.cache_clear()
    assert load_corpus(str(parquet_folder), ".parquet").facts["sha256"] != first.facts["sha256"]


def test_an_interrupted_preparation_leaves_nothing(parquet_folder, cache_folder, monkeypatch):
    def fails(_):
        raise KeyboardInterrupt

    broken = load_tokenizer("bytes").__class__("bytes", "0" * 64, 256, "", fails)
    monkeypatch.setattr("runners.data.text.corpus.load_tokenizer", lambda _: broken)
    with pytest.raises(KeyboardInterrupt):
        load_corpus(str(parquet_folder), ".parquet")
    assert list((cache_folder / "text").iterdir()) == []


@pytest.mark.parametrize("kind", ["folders", "parquet"])
def test_a_limit_is_the_most_that_is_taken_and_both_sides_get_some(kind, tmp_path, corpus_folder):
    name, suffix = str(corpus_folder), ".py"
    if kind == "parquet":
        pq.write_table(pa.table({"text": documents(400)}), tmp_path / "many.parquet")
        name, suffix = str(tmp_path / "many.parquet"), ".parquet"
    whole = load_corpus(name, suffix).facts
    limit = (whole["train_tokens"] + whole["heldout_tokens"]) // 2
    facts = load_corpus(name, suffix, limit=limit).facts
    taken = facts["train_tokens"] + facts["heldout_tokens"]
    assert 0.9 * limit < taken <= limit
    assert 0 < facts["heldout_tokens"] < taken / 4


@pytest.mark.parametrize("kind", ["folders", "parquet"])
def test_a_tokenizer_of_ones_own_round_trips(kind, corpus_folder, parquet_folder, tokenizer_file):
    tokenizers = pytest.importorskip("tokenizers")
    name, suffix = (str(corpus_folder), ".py") if kind == "folders" else (str(parquet_folder), ".parquet")
    as_bytes = load_corpus(name, suffix)
    corpus = load_corpus(name, suffix, tokenizer=str(tokenizer_file))
    decoder = tokenizers.Tokenizer.from_file(str(tokenizer_file))
    assert corpus.train.dtype == np.uint16
    assert corpus.vocabulary == decoder.get_vocab_size() == 400
    for side in ("train", "heldout"):
        decoded = decoder.decode(getattr(corpus, side).tolist(), skip_special_tokens=False)
        assert decoded.count("<|endoftext|>") == corpus.facts[f"{side}_documents"]
        assert decoded.replace("<|endoftext|>", "").encode() == bytes(getattr(as_bytes, side))
    assert corpus.facts["tokenizer_sha256"] == content_hash(tokenizer_file.read_bytes())
    assert corpus.facts["tokenizer_sha256"] != as_bytes.facts["tokenizer_sha256"]
    assert corpus.facts["train_tokens"] < as_bytes.facts["train_tokens"]
    batches = load_batches(
        "language", name, suffix=suffix, tokenizer=str(tokenizer_file), context=16, batch_size=4, seed=0
    )
    assert batches.classes == 400
    assert batches.batch(3)[0].max() < 400


def test_tokens_are_stored_in_the_smallest_type_that_holds_them():
    def dtype(vocabulary):
        return load_tokenizer("bytes").__class__("x", "", vocabulary, "", list).dtype

    assert [dtype(size) for size in (256, 257, 65536, 65537)] == ["u1", "<u2", "<u2", "<u4"]


def test_documents_of_nothing_are_no_documents():
    texts = [text.encode() for text in documents(100)]
    texts = [part for text in texts for part in (b"", text)]
    source = TextSource("parquet", "x", "x", lambda: iter(texts), False, "none", {})
    assert build_corpus(source, load_tokenizer("bytes")).facts["documents_found"] == 200
    assert len(build_corpus(source, load_tokenizer("bytes")).heldout_ends) == sum(
        is_heldout(content_hash(text)) for text in texts if text
    )


def test_unusable_corpora_are_named_in_one_sentence(tmp_path, corpus_folder, parquet_folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.parquet").write_text("no Parquet")
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "numbers.parquet")
    saved = saved_dataset(tmp_path / "saved", documents(5))
    for arguments, sentence in (
        (("nowhere",), "'nowhere' is none"),
        ((str(corpus_folder), ".txt"), r"no files that end in suffix '\.txt'; there are \['\.py'\]"),
        ((f"parquet:{tmp_path}/empty",), "holds no file"),
        ((f"{tmp_path}/none.parquet",), "does not exist"),
        ((f"{tmp_path}/broken.parquet",), "cannot be read as Parquet"),
        ((f"{tmp_path}/numbers.parquet",), "int64 in column 'text'; text is needed"),
        ((f"hf:{saved}",), "5 documents, of which"),
        (("hf:nobody/nothing:en",), "'hf:nobody/nothing:en' could not be opened"),
    ):
        with pytest.raises(InputError, match=sentence) as caught:
            load_corpus(*arguments)
        assert "\n" not in str(caught.value)
    for corpus, sentence in (
        (str(parquet_folder), r"no column 'body'; it has \['text', 'url'\]"),
        (f"hf:{saved}", "body"),
    ):
        with pytest.raises(InputError, match=sentence):
            load_corpus(corpus, ".parquet", column="body")
    with pytest.raises(InputError, match="in column 'number'; text is needed"):
        load_corpus(f"hf:{saved}", column="number")
    with pytest.raises(InputError, match=r"'nowhere\.json'; allowed are 'bytes' and the path"):
        load_corpus(str(corpus_folder), tokenizer="nowhere.json")
    (tmp_path / "wrong.json").write_text("{}")
    with pytest.raises(InputError, match="not in the format"):
        load_corpus(str(corpus_folder), tokenizer=str(tmp_path / "wrong.json"))
    with pytest.raises(InputError, match="context of 100000 needs more"):
        load_batches("language", str(corpus_folder), context=100_000, batch_size=1, seed=0)
    with pytest.raises(InputError, match="modality is 'sound'; allowed are 'language', 'vision'"):
        load_batches("sound", "x", batch_size=1, seed=0)
    with pytest.raises(InputError, match="limit is -1"):
        load_batches("language", "stdlib", limit=-1, batch_size=1, seed=0)


def test_a_missing_library_is_named_with_the_extra_that_has_it(corpus_folder, monkeypatch, tokenizer_file):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(
        InputError, match=r"'tokenizers', which is not installed: pip install 'bayes-scaling\[runners\]'"
    ):
        load_corpus(str(corpus_folder), tokenizer=str(tokenizer_file))


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = (
        "import sys, runners.data.text.corpus, runners.data.images.corpus;"
        "print({'datasets', 'tokenizers', 'PIL', 'torch'} & set(sys.modules))"
    )
    heavy = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "datasets" not in heavy
    assert "tokenizers" not in heavy
    assert "torch" not in heavy
