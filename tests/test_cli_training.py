import json
import shutil

import pytest

pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")


import bayes_scaling as bs


def train(texts, store, *more):
    small = ("--nonzero-params", "3072", "--data-seen", "2560", "--device", "cpu")
    knobs = ("--set", "context=16", "--set", "batch_size=4", "--set", "heldout_items=32")
    return ("train", "--corpus", str(texts), "--store", str(store), *small, *knobs, *more)


def test_a_corpus_of_ones_own_ends_as_runs_that_can_be_read(command, texts, tmp_path):
    for sparsity in ("0", "0.5", "0.75"):
        done = command(*train(texts, tmp_path, "--sparsity", sparsity))
        assert done.status == 0, done.err
        assert "40 steps of 64 bytes" in done.err
        assert "finished: run n3072-d2560-" in done.out
        assert "nats per byte" in done.out
    runs = bs.load_runs(tmp_path)
    assert sorted(runs["sparsity"].to_numpy()) == [0, 0.5, 0.75]
    assert set(runs["nonzero_params"].to_numpy()) == {3072}
    assert command("runs", str(tmp_path), "--out", str(tmp_path / "sweep.csv")).status == 0


def test_json_is_the_record(command, texts, tmp_path):
    done = command(*train(texts, tmp_path, "--sparsity", "0.5", "--structure", "2:4", "--json"))
    assert done.status == 0, done.err
    record = json.loads(done.out)
    assert record["run"]["structure"] == "2:4"
    assert record["config"]["context"] == 16
    assert record == json.loads((tmp_path / f"{record['run']['run_id']}.json").read_text())


def test_a_sparse_run_starts_from_a_dense_one(command, texts, tmp_path):
    dense = tmp_path / "dense.pt"
    assert command(*train(texts, tmp_path, "--nonzero-params", "12288", "--keep-model", str(dense))).status == 0
    done = command(*train(texts, tmp_path, "--sparsity", "0.75", "--pretrained", str(dense), "--json"))
    assert done.status == 0, done.err
    assert json.loads(done.out)["run"]["pretrain_data"] == 2560


def test_a_pattern_says_its_sparsity_itself(command, texts, tmp_path):
    done = command(*train(texts, tmp_path, "--structure", "2:4", "--json"))
    assert json.loads(done.out)["run"]["sparsity"] == 0.5


def test_a_finished_run_is_not_trained_again(command, texts, tmp_path):
    first = command(*train(texts, tmp_path))
    again = command(*train(texts, tmp_path))
    assert again.status == 0
    assert "the store has this run already" in again.err
    assert "step" in first.err
    assert "training loss" not in again.err
    assert again.out == first.out


def test_files_where_folders_belong_and_the_other_way_round(command, texts, tmp_path):
    (tmp_path / "file").write_text("no store")
    done = command(*train(texts, tmp_path / "file"))
    assert (done.status, "is a file; a folder is needed" in done.err) == (2, True)
    done = command(*train(texts, tmp_path / "store", "--keep-model", str(tmp_path)))
    assert (done.status, "the name of a file is needed" in done.err) == (2, True)
    (tmp_path / "junk.pt").write_bytes(b"junk")
    done = command(*train(texts, tmp_path / "store", "--sparsity", "0.5", "--pretrained", str(tmp_path / "junk.pt")))
    assert (done.status, "cannot be read" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--set", "depth=3"), "--set is 'depth=3'; NAME=VALUE is needed, with one of the names nonzero_params"),
        (("--set", "seed=3"), "--set is 'seed=3'; this knob has an option, --seed"),
        (("--set", "layers=two"), "--set layers is 'two'; a number is needed"),
        (("--set", "flips=maybe"), "--set flips is 'maybe'; true or false is needed"),
        (("--suffix", ".tex"), "has no files that end in suffix '.tex'"),
        (("--nonzero-params", "10.5"), "--nonzero-params is 10.5; it is a whole number"),
        (("--structure", "grid"), "structure is 'grid'; allowed are"),
        (("--pretrained", "none.pt", "--sparsity", "0.5"), "there is no checkpoint none.pt"),
    ],
)
def test_mistakes_are_one_line(command, texts, tmp_path, more, message):
    done = command(*train(texts, tmp_path, *more))
    assert done.status == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.glob("*.json"))


def test_an_empty_folder_is_told(command, tmp_path):
    (tmp_path / "empty").mkdir()
    done = command(*train(tmp_path / "empty", tmp_path / "store"))
    assert done.status == 2
    assert "has no files" in done.err
    shutil.rmtree(tmp_path / "empty")
    assert command(*train(tmp_path / "empty", tmp_path / "store")).status == 2


def test_several_corpora_by_weight(command, texts, tmp_path):
    loud = tmp_path / "loud"
    loud.mkdir()
    for path in texts.rglob("*.txt"):
        (loud / path.name).write_text(path.read_text().upper())
    mixture = {str(texts): 0.75, str(loud): 0.25}
    given = train(texts, tmp_path / "store", "--set", f"mixture={json.dumps(mixture)}", "--json")
    done = command(*(word for word in given if word not in ("--corpus", str(texts))))
    assert done.status == 0, done.err
    assert {part["corpus"]: part["weight"] for part in json.loads(done.out)["mixture"]} == mixture
    done = command(*given)
    assert done.status == 2
    assert "beside a mixture; one of the two is needed" in done.err
