import json
import os

import numpy as np
import pytest
import xarray as xr
from helpers import hand_built, one_modality, random_coefficients

import bayes_scaling as bs
from bayes_scaling.errors import InputError


def assert_identical(one, other):
    assert set(one.children) == set(other.children)
    assert one.attrs == other.attrs
    for name in one.children:
        a, b = one[name].to_dataset(), other[name].to_dataset()
        xr.testing.assert_identical(a, b)
        for variable in a.variables:
            assert a[variable].dtype == b[variable].dtype, (name, variable)


@pytest.mark.parametrize("name", ["simulated", "single", "starts"])
def test_round_trip(request, tmp_path, name):
    posterior = request.getfixturevalue(name)
    path = bs.save(posterior, tmp_path / "posterior.nc")
    assert path == tmp_path / "posterior.nc"
    assert_identical(bs.load(path), posterior)
    # what was carried along came along
    if name == "single":
        runs = bs.load(str(path))["runs"].to_dataset()
        assert runs["tuned"].dtype == bool
        assert runs["seed"].dtype == np.int64
        assert set(runs["remark"].to_numpy()) == {"", "ünïcode, [bold]"}


def test_a_loaded_posterior_answers_the_same(saved, simulated):
    loaded = bs.load(saved["simulated"])
    row = {"modality": "language", "sparsity": 0.6, "nonzero_params": 1e9, "data_seen": 1e11}
    np.testing.assert_array_equal(
        bs.predict(loaded, [row], kind="new-run"), bs.predict(simulated, [row], kind="new-run")
    )
    assert bs.recommend(loaded, 1e8, 1e19).to_dict() == bs.recommend(simulated, 1e8, 1e19).to_dict()


def test_the_file_is_closed_after_reading(saved, tmp_path):
    path = tmp_path / "again.nc"
    path.write_bytes(saved["single"].read_bytes())
    posterior = bs.load(path)
    path.unlink()
    assert float(posterior["posterior"]["b_N"].mean()) > 0
    assert bs.save(posterior, path).is_file()


@pytest.fixture
def small():
    return hand_built(random_coefficients(0, 5), one_modality())


def test_saving_replaces_and_leaves_nothing_else(small, tmp_path):
    path = bs.save(small, tmp_path / "p.nc")
    other = small.copy(deep=True)
    other.attrs["settings"] = json.dumps({"seed": 5})
    bs.save(other, path)
    assert bs.load(path).attrs["settings"] == other.attrs["settings"]
    assert [p.name for p in tmp_path.iterdir()] == ["p.nc"]


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_old_file(small, tmp_path, monkeypatch, failure):
    path = bs.save(small, tmp_path / "p.nc")
    before = path.read_bytes()
    write = xr.DataTree.to_netcdf

    def half(self, name, **more):
        write(self, name, **more)
        with open(name, "r+b") as file:
            file.truncate(1000)
        raise failure

    monkeypatch.setattr(xr.DataTree, "to_netcdf", half)
    with pytest.raises(type(failure) if isinstance(failure, KeyboardInterrupt) else Exception):
        bs.save(small, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["p.nc"]


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_a_saved_file_is_as_readable_as_any_other(small, tmp_path):
    """A colleague opens it; a temporary file's own permissions would keep it to its writer."""
    (tmp_path / "plain").write_text("")
    path = bs.save(small, tmp_path / "p.nc")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("target", ["missing/p.nc", "folder"])
def test_where_nothing_can_be_written(small, tmp_path, target):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"p\.nc|folder"):
        bs.save(small, tmp_path / target)
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def one_sentence(error, path):
    text = str(error.value)
    assert "\n" not in text
    assert path.name in text
    return text


@pytest.mark.parametrize("kept", [0, 1, 100, 0.3, 0.9, -1])
def test_a_truncated_file(saved, tmp_path, kept):
    whole = saved["single"].read_bytes()
    count = int(kept * len(whole)) if isinstance(kept, float) else kept
    path = tmp_path / "cut.nc"
    path.write_bytes(whole[:count])
    with pytest.raises(InputError) as error:
        bs.load(path)
    one_sentence(error, path)


def test_text_and_nothing_and_a_folder(tmp_path):
    text = tmp_path / "sweep.csv"
    text.write_text("sparsity,nonzero_params,data_seen,loss\n0,1,1,1\n")
    for path in (text, tmp_path / "missing.nc", tmp_path):
        with pytest.raises(InputError) as error:
            bs.load(path)
        one_sentence(error, path)


def test_netcdf_of_something_else(tmp_path):
    path = tmp_path / "other.nc"
    xr.Dataset({"x": ("t", [1.0, 2.0])}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError) as error:
        bs.load(path)
    assert "posterior" in one_sentence(error, path)
    runs = bs.save_runs(bs.load_runs(one_modality()), tmp_path / "runs.nc")
    with pytest.raises(InputError) as error:
        bs.load(runs)
    one_sentence(error, runs)


def test_netcdf_3(tmp_path):
    path = tmp_path / "old.nc"
    xr.Dataset({"x": ("t", [1.0, 2.0])}).to_netcdf(path, engine="scipy")
    with pytest.raises(InputError) as error:
        bs.load(path)
    one_sentence(error, path)


def test_an_arviz_posterior_of_someone_else(tmp_path):
    path = tmp_path / "theirs.nc"
    draws = xr.Dataset({"mu": (("chain", "draw"), np.zeros((2, 5)))})
    xr.DataTree.from_dict({"posterior": draws, "sample_stats": xr.Dataset()}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match="no posterior of bayes-scaling"):
        bs.load(path)


def test_a_law_that_is_not_registered_here(small, tmp_path):
    small.attrs["law"] = "colleagues-own"
    with pytest.raises(InputError, match=r"colleagues-own.*sparse"):
        bs.load(bs.save(small, tmp_path / "p.nc"))
