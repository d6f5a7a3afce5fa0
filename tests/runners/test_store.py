import json
import math
import os

import pytest

pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

import bayes_scaling as bs
from bayes_scaling.runs import InputError
from runners.records import records_to_rows
from runners.store import Store, StoreFullError


def record(run_id="a", loss=1.5, status="finished"):
    return {"schema": 1, "run": {"run_id": run_id, "loss": loss}, "status": status, "curve": [{"train_loss": math.inf}]}


def row(run_id, loss=1.5):
    return {"run_id": run_id, "sparsity": 0.0, "nonzero_params": 1e4, "data_seen": 1e6, "loss": loss}


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    """A store on a disk, and one at an address of fsspec."""
    return Store(tmp_path / "new" / "store" if request.param == "folder" else f"memory://{tmp_path.name}/store")


def test_what_is_written_is_read(store):
    store.write(record("a"))
    store.write(record("b", math.nan, "diverged"))
    store.write(record("c", math.nan, "failed"))
    assert store.done() == {"a", "b"}
    assert [store.is_done(run_id) for run_id in "abcd"] == [True, True, False, False]
    assert store.read("a")["run"]["loss"] == 1.5
    assert json.loads(store.folder.read("b.json"))["run"]["loss"] is None
    assert [each["run_id"] for each in records_to_rows(store.records())] == ["a"]
    assert math.isnan(records_to_rows(store.records(), diverged=True)[1]["loss"])


def test_a_file_is_created_once(store):
    assert store.folder.create("claims/a.1", b"mine")
    assert not store.folder.create("claims/a.1", b"yours")
    assert store.folder.read("claims/a.1") == b"mine"
    assert store.folder.names("claims") == ["claims/a.1"]
    store.folder.delete("claims/a.1")
    store.folder.delete("claims/a.1")
    assert store.folder.create("claims/a.1", b"yours")


def test_a_record_that_is_set_aside_is_kept(store):
    for loss in (1.0, 2.0):
        store.write(record(loss=loss))
        store.set_aside("a")
    assert store.done() == set()
    kept = [json.loads(store.folder.read(f"replaced/a-{number}.json"))["run"]["loss"] for number in (1, 2)]
    assert kept == [1.0, 2.0]


def test_a_store_at_an_address_is_a_run_table(tmp_path):
    address = f"memory://{tmp_path.name}/table"
    for run_id in "ab":
        Store(address).write(record(run_id) | {"run": row(run_id)})
    assert bs.load_runs(address)["run_id"].to_numpy().tolist() == ["a", "b"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_write_that_is_cut_short_leaves_nothing(tmp_path, monkeypatch, call, error):
    def stop(*_):
        raise error

    monkeypatch.setattr(os, call, stop)
    with pytest.raises(error):
        Store(tmp_path).write(record())
    assert list(tmp_path.iterdir()) == []
    assert Store(tmp_path).done() == set()


def test_a_write_that_is_cut_short_leaves_the_old_record(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.write(record(loss=1.0))

    def stop(*_):
        raise OSError

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(OSError):  # noqa: PT011  # the bare error from above
        store.write(record(loss=2.0))
    assert store.read("a")["run"]["loss"] == 1.0


def test_a_killed_writer_leaves_only_what_readers_skip(tmp_path):
    (tmp_path / ".a-xyz.tmp").write_text('{"schema": 1, "run": {"ru')
    assert Store(tmp_path).done() == set()
    assert Store(tmp_path).records() == []


def test_records_that_cannot_be_read_do_not_hide_the_others(tmp_path):
    store = Store(tmp_path)
    store.write(record("good") | {"run": row("good")})
    (tmp_path / "cut.json").write_text('{"schema": 1, "run": {"ru')
    (tmp_path / "old.json").write_text(json.dumps({"schema": 0, "run": row("old"), "status": "finished"}))
    (tmp_path / "none.json").write_text("[]")
    found = store.contents()
    assert set(found.records) == {"good"}
    assert set(found.unreadable) == {"cut.json", "old.json", "none.json"}
    assert "cut.json is not JSON" in found.unreadable["cut.json"]
    assert "schema 0, where this version reads schema 1" in found.unreadable["old.json"]
    runs = bs.load_runs(tmp_path)
    assert runs["run_id"].to_numpy().tolist() == ["good"]
    notes = [note for note in json.loads(runs.attrs["notes"]) if note["code"] == "unreadable_record"]
    assert len(notes) == 3
    assert any("cut.json" in note["message"] for note in notes)
    clean = Store(tmp_path / "clean")
    clean.write(record("good") | {"run": row("good")})
    assert "unreadable_record" not in bs.load_runs(tmp_path / "clean").attrs["notes"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_full_disk_is_said_and_the_rest_stays_usable(tmp_path):
    import subprocess

    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("this system does not let a small file system be mounted")
    try:
        store = Store(disk)
        store.write(record("first"))
        with pytest.raises(StoreFullError, match="has no room for the record of big"):
            store.write(record("big") | {"padding": "x" * 100_000})
        assert store.done() == {"first"}
        assert not [name for name in os.listdir(disk) if name.endswith(".tmp")]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_unusable_stores(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        Store(tmp_path / "none").records()
    with pytest.raises(InputError, match="no run 'x'"):
        Store(tmp_path).read("x")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file; a folder is needed"):
        Store(tmp_path / "file")
    with pytest.raises(InputError, match="cannot be reached: Protocol not known: nowhere"):
        Store("nowhere://bucket/runs")
