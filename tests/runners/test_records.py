import json
import math
import os

import pytest

pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from bayes_scaling.runs import InputError
from runners import records


def record(run_id="a", loss=1.5, status="finished"):
    return {"schema": 1, "run": {"run_id": run_id, "loss": loss}, "status": status, "curve": [{"train_loss": math.inf}]}


def test_what_is_written_is_read(tmp_path):
    store = tmp_path / "new" / "store"
    records.write(store, record("a"))
    records.write(store, record("b", math.nan, "diverged"))
    assert records.done(store) == {"a", "b"}
    assert records.read(store, "a")["run"]["loss"] == 1.5
    assert json.loads((store / "b.json").read_text())["run"]["loss"] is None
    rows = records.records_to_rows(records.read_all(store))
    assert [row["run_id"] for row in rows] == ["a"]
    assert math.isnan(records.records_to_rows(records.read_all(store), diverged=True)[1]["loss"])


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_write_that_is_cut_short_leaves_nothing(tmp_path, monkeypatch, call, error):
    def stop(*_):
        raise error

    monkeypatch.setattr(os, call, stop)
    with pytest.raises(error):
        records.write(tmp_path, record())
    assert list(tmp_path.iterdir()) == []
    assert records.done(tmp_path) == set()


def test_a_write_that_is_cut_short_leaves_the_old_record(tmp_path, monkeypatch):
    records.write(tmp_path, record(loss=1.0))

    def stop(*_):
        raise OSError

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(OSError):  # noqa: PT011  # the bare error from above
        records.write(tmp_path, record(loss=2.0))
    assert records.read(tmp_path, "a")["run"]["loss"] == 1.0


def test_a_killed_writer_leaves_only_what_readers_skip(tmp_path):
    (tmp_path / ".a-xyz.tmp").write_text('{"schema": 1, "run": {"ru')
    assert records.done(tmp_path) == set()
    assert records.read_all(tmp_path) == []


def test_unusable_stores(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        records.read_all(tmp_path / "none")
    with pytest.raises(InputError, match="no run 'x'"):
        records.read(tmp_path, "x")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match=r"bad\.json is not JSON"):
        records.read_all(tmp_path)
    (tmp_path / "bad.json").write_text('{"schema": 9, "run": {"run_id": "bad"}}')
    with pytest.raises(InputError, match="not a run record with schema 1"):
        records.read_all(tmp_path)
