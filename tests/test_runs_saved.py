import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from run_tables import FORMATS, assert_same, note_codes, rows

from bayes_scaling.runs import InputError, load_runs, save_runs

words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6)
tricky = st.sampled_from(
    ["", "1", "007", "1.50", "2:4", "true", "NaN", "none", "1e5", "a,b", 'say "x"', " x ", "x\ny", "Ω", "12:30"]
)
floats = st.floats(allow_nan=True, allow_infinity=True, width=64)
integers = st.integers(-(2**63) + 1, 2**63 - 1)


@st.composite
def tables(draw):
    n = draw(st.integers(1, 4))

    def column(values):
        return draw(st.lists(values, min_size=n, max_size=n))

    structures = st.sampled_from([(0.0, "dense"), (0.5, "2:4"), (0.75, "1:4"), (0.1, "unstructured"), (1 / 3, "block")])
    pairs = column(structures)
    positive = st.floats(1e-300, 1e300)
    frame = {
        "run_id": draw(st.lists(st.one_of(words, tricky).filter(bool), min_size=n, max_size=n, unique=True)),
        "sparsity": [pair[0] for pair in pairs],
        "structure": [pair[1] for pair in pairs],
        "nonzero_params": column(st.one_of(positive, st.integers(1, 10**15).map(float))),
        "data_seen": column(positive),
        "loss": column(st.one_of(positive, st.sampled_from([math.nan, math.inf]))),
        "seed": column(integers),
        "my words": column(words),
        "tricky": column(tricky),
        "float": column(floats),
        "whole": column(st.integers(-5, 5).map(float)),
        "integer": column(integers),
        "truth": column(st.booleans()),
        "maybe": column(st.one_of(st.none(), st.booleans())),
    }
    return load_runs(pd.DataFrame(frame))


@pytest.mark.parametrize("ending", FORMATS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=tables())
def test_round_trip(tmp_path, ending, runs):
    assert_same(load_runs(save_runs(runs, tmp_path / f"runs.{ending}")), runs)


@pytest.mark.parametrize("ending", FORMATS)
def test_round_trip_of_columns_of_nothing_and_of_look_alikes(tmp_path, ending):
    columns = {
        "empty": ["", ""],
        "gap": [np.nan, np.nan],
        "digits": ["1", "2"],
        "yes": ["true", "false"],
        "na": ["NA", "nan"],
    }
    frame = pd.DataFrame(rows()).assign(**columns, plain=["a", "b"])
    frame["empty"] = frame["empty"].astype("str")
    runs = load_runs(frame)
    assert [runs[name].dtype.kind for name in columns] == ["U", "f", "U", "U", "U"]
    assert_same(load_runs(save_runs(runs, tmp_path / f"runs.{ending}")), runs)


@pytest.mark.parametrize("ending", ["nc", "zarr"])
def test_netcdf_and_zarr_keep_attributes(tmp_path, ending):
    runs = load_runs(rows(structure="2:4", sparsity=0)).assign_attrs(licence="x")
    runs["temperature"] = ("run", [1.5, 2.5], {"units": "K"})
    again = load_runs(save_runs(runs, tmp_path / f"runs.{ending}"))
    assert again.attrs["licence"] == "x"
    assert note_codes(again) == ["relabelled_dense"]
    assert again["temperature"].attrs == {"units": "K"}
    assert again.attrs["source"] == str(tmp_path / f"runs.{ending}")


def test_csv_is_plain(tmp_path):
    save_runs(load_runs(rows(note="fine")), tmp_path / "runs.csv")
    text = (tmp_path / "runs.csv").read_text()
    assert text.splitlines()[1] == "a,all,dense,scratch,0.0,1000,non_embedding,1000000,tokens,3.5,"
    assert pd.read_csv(tmp_path / "runs.csv")["nonzero_params"].tolist() == [1000, 1000]


@pytest.mark.parametrize("ending", FORMATS)
def test_saving_replaces_and_leaves_nothing_else(tmp_path, ending):
    path = tmp_path / f"runs.{ending}"
    save_runs(load_runs(rows()), path)
    save_runs(load_runs(rows(loss=1.25)), path)
    assert load_runs(path)["loss"].values.tolist() == [3.5, 1.25]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", FORMATS)
def test_a_failed_save_leaves_the_old_table(tmp_path, ending, monkeypatch):
    path = save_runs(load_runs(rows()), tmp_path / f"runs.{ending}")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bayes_scaling.tables.os.replace", fail)
    with pytest.raises(InputError, match=r"runs\.\w+ cannot be written \(No space left on device\)"):
        save_runs(load_runs(rows(loss=1.25)), path)
    assert load_runs(path)["loss"].values.tolist() == [3.5, 3.5]
    assert list(tmp_path.iterdir()) == [path]


def test_save_refuses(tmp_path):
    runs = load_runs(rows())
    with pytest.raises(
        InputError, match=r"runs.xlsx has no ending that a run table can be written to \(.csv, .parquet"
    ):
        save_runs(runs, tmp_path / "runs.xlsx")
    with pytest.raises(InputError, match="cannot be written"):
        save_runs(runs, tmp_path / "nowhere" / "runs.csv")
