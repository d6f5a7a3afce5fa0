# ruff: noqa: E402
import json

import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

import bayes_scaling as bs
from bayes_scaling.runs import InputError
from runners import checkpoints
from runners.train import RunConfig, run


@pytest.fixture(scope="module")
def dense(tiny, tmp_path_factory):
    """A trained dense model of four times 3,072 weights: its file and its record."""
    file = tmp_path_factory.mktemp("dense") / "dense.pt"
    config = RunConfig(**{**tiny, "nonzero_params": 4 * 3072, "data_seen": 200 * 64})
    return file, run(config, keep_model=file)


def sparse(tiny, file, **more):
    return RunConfig(**{**tiny, "sparsity": 0.75, "pretrained": str(file), **more})


def test_the_dense_phase_is_recorded_apart(tiny, dense, tmp_path):
    file, before = dense
    record = run(sparse(tiny, file), tmp_path)
    row = record["run"]
    assert row["strategy"] == "pretrained"
    assert row["pretrain_data"] == before["run"]["data_seen"] == 200 * 64
    assert row["pretrain_flops"] == before["run"]["train_flops"]
    assert row["data_seen"] == 24 * 64
    assert row["nonzero_params"] == 3072
    table = bs.load_runs(tmp_path)
    assert table["strategy"].item() == "pretrained"
    assert table["pretrain_data"].item() == 200 * 64


def test_it_starts_from_what_the_dense_model_knows(tiny, dense):
    file, before = dense
    late = {"learning_rate": 1e-9, "prune_start": 0.9, "prune_end": 1.0}
    started = run(sparse(tiny, file, **late))["curve"][0]["train_loss"]
    fresh = run(RunConfig(**{**tiny, "sparsity": 0.75, **late}))["curve"][0]["train_loss"]
    assert started < fresh - 0.5
    assert started == pytest.approx(before["curve"][-1]["train_loss"], abs=0.3)


def test_a_model_of_another_size_says_which_it_goes_with(tiny, dense):
    with pytest.raises(InputError, match=r"at sparsity 0\.5 it goes with nonzero_params 6144"):
        run(sparse(tiny, dense[0], sparsity=0.5))


def test_dense_runs_start_from_it_too(tiny, dense):
    config = RunConfig(**{**tiny, "nonzero_params": 4 * 3072, "pretrained": str(dense[0])})
    record = run(config)
    assert (record["run"]["strategy"], record["run"]["structure"]) == ("pretrained", "dense")
    assert record["curve"][0]["train_loss"] < 0.9 * dense[1]["curve"][0]["train_loss"]


def test_files_that_are_no_dense_model_are_refused(tiny, dense, tmp_path):
    with pytest.raises(InputError, match="there is no checkpoint"):
        run(sparse(tiny, tmp_path / "none.pt"))
    saved = checkpoints.load(dense[0])
    checkpoints.save(tmp_path / "sparse.pt", {**saved, "row": {**saved["row"], "sparsity": 0.5}})
    with pytest.raises(InputError, match=r"sparsity 0\.5; a dense one is needed"):
        run(sparse(tiny, tmp_path / "sparse.pt"))
    checkpoints.save(tmp_path / "other.pt", {**saved, "data": {**saved["data"], "tokenizer_sha256": "0" * 64}})
    with pytest.raises(InputError, match="another tokenizer than 'bytes'"):
        run(sparse(tiny, tmp_path / "other.pt"))
    del saved["row"]
    checkpoints.save(tmp_path / "part.pt", saved)
    with pytest.raises(InputError, match="an unfinished run"):
        run(sparse(tiny, tmp_path / "part.pt"))


def test_the_folder_of_the_file_does_not_tell_runs_apart(tiny, dense, tmp_path):
    (tmp_path / "dense.pt").write_bytes(dense[0].read_bytes())
    assert sparse(tiny, dense[0]).run_id == sparse(tiny, tmp_path / "dense.pt").run_id
    assert sparse(tiny, dense[0]).run_id != sparse(tiny, tmp_path / "another.pt").run_id
    assert json.dumps(run(sparse(tiny, dense[0]))["config"])
