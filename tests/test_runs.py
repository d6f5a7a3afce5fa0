import json
import math
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from run_tables import GOOD, HEADER, assert_same, note_codes, rows

from bayes_scaling.notes import read_notes
from bayes_scaling.runs import COLUMNS, InputError, diverged, load_runs, save_runs

# --- what is read ----------------------------------------------------------------------------------------------------


def test_minimal_csv_gets_the_defaults(write):
    runs = load_runs(write("sparsity,nonzero_params,data_seen,loss", "0,1000,1e6,3.5", "0.5,1000,1e6,3"))
    assert dict(runs.sizes) == {"run": 2}
    assert runs["run_id"].values.tolist() == ["run-0001", "run-0002"]
    assert runs["structure"].values.tolist() == ["dense", "unstructured"]
    for name, value in {
        "modality": "all",
        "strategy": "scratch",
        "param_kind": "non_embedding",
        "data_unit": "tokens",
    }.items():
        assert set(runs[name].values) == {value}
    assert runs.attrs["source"] == "sweep.csv"
    assert note_codes(runs) == []


def test_run_has_no_labels_and_run_id_follows_every_column():
    runs = load_runs(rows())
    assert "run" not in runs.variables
    assert runs["loss"].coords["run_id"].values.tolist() == ["a", "b"]
    assert "run_id" in runs.to_dataframe().columns


def test_units_and_names_are_attributes():
    runs = load_runs(rows(total_params=2000))
    assert runs["loss"].attrs == {"units": "nats", "long_name": "held-out loss"}
    assert runs["data_seen"].attrs["units"] == "tokens"
    assert all(runs[c.name].attrs["long_name"] == c.long_name for c in COLUMNS if c.name in runs)
    examples = load_runs([{**row, "data_unit": "examples"} for row in rows()])
    assert examples["data_seen"].attrs["units"] == "examples"


def test_every_source_gives_the_same_table(write, tmp_path):
    csv = load_runs(write(HEADER, *GOOD))
    frame = pd.DataFrame([dict(zip(HEADER.split(","), line.split(","), strict=True)) for line in GOOD])
    numbers = frame.astype(dict.fromkeys(["sparsity", "nonzero_params", "data_seen", "loss"], float))
    (tmp_path / "rows.json").write_text(numbers.to_json(orient="records"))
    store = tmp_path / "store"
    store.mkdir()
    for row in numbers.to_dict("records"):
        (store / f"{row['run_id']}.json").write_text(json.dumps({"schema": 1, "run": row}))
    numbers.to_parquet(tmp_path / "pandas.parquet")
    numbers.set_index("run_id").to_parquet(tmp_path / "indexed.parquet")
    sources = [
        frame,  # numbers as text
        numbers,
        numbers.set_index("run_id"),
        numbers.convert_dtypes(),
        numbers.astype({"modality": "category", "nonzero_params": "int32"}),
        numbers.to_dict("records"),
        iter(numbers.to_dict("records")),
        numbers.to_xarray(),
        numbers.set_index("run_id").to_xarray().rename(run_id="run"),
        csv,
        csv.to_dataframe(),
        tmp_path / "rows.json",
        str(tmp_path / "pandas.parquet"),
        tmp_path / "indexed.parquet",
        store,
    ]
    for source in sources:
        assert_same(load_runs(source), csv)


def test_scalars_of_a_dataset_hold_for_every_run():
    runs = load_runs(rows())
    assert set(load_runs(runs.assign(modality="vision"))["modality"].values) == {"vision"}
    one = load_runs(runs.isel(run=1))
    assert one.sizes["run"] == 1
    assert one["loss"].item() == 3.5


def test_tables_can_be_put_together_as_frames():
    old, new = load_runs(rows()), load_runs([{**rows()[1], "run_id": "c", "seed": 7, "host": "x", "warm": True}])
    both = load_runs(pd.concat([old.to_dataframe(), new.to_dataframe()]))
    assert both["run_id"].values.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(both["seed"], [np.nan, np.nan, 7])
    assert both["host"].values.tolist() == ["", "", "x"]
    np.testing.assert_array_equal(both["warm"], [np.nan, np.nan, 1])


def test_a_folder_of_records_carries_the_status(tmp_path):
    for i, row in enumerate(rows(loss=None)):
        record = {"schema": 1, "run": row, "status": ["finished", "diverged"][i], "config": {}}
        (tmp_path / f"{i}.json").write_text(json.dumps(record))
    (tmp_path / ".half.json").write_text("{")
    runs = load_runs(tmp_path)
    assert runs["status"].values.tolist() == ["finished", "diverged"]
    assert diverged(runs).values.tolist() == [False, True]


@pytest.mark.parametrize(
    ("lines", "end"),
    [
        (["\ufeff" + HEADER, *GOOD], "\r\n"),
        ([HEADER, "", GOOD[0], " , , , , , , ", GOOD[1], ""], "\n"),
        ([HEADER.replace(",", ", "), *(line.replace(",", " ,  ") for line in GOOD)], "\n"),
        (["," + HEADER, *(f"{i},{line}" for i, line in enumerate(GOOD))], "\n"),
        (['"' + line.replace(",", '","') + '"' for line in [HEADER, *GOOD]], "\r"),
        ([HEADER, *(re.sub("language|dense|unstructured", r'"\g<0>"', line) for line in GOOD)], "\n"),
    ],
    ids=["bom-crlf", "blank-lines", "spaces", "row-numbers", "all-quoted-cr", "text-quoted"],
)
def test_csv_dialects(write, lines, end):
    expected = load_runs(write(HEADER, *GOOD))
    assert_same(load_runs(write(*lines, end=end)), expected)


def test_other_columns_are_carried_with_their_dtype(write):
    header = (
        "sparsity,nonzero_params,data_seen,loss,count,ratio,flag,maybe,few,code,clock,version,gap,val/acc,word,mixed"
    )
    runs = load_runs(
        write(
            header,
            "0,1000,1e6,3,1,0.5,true,true,1,007,2:4,1.2.3,,0.25,none,1",
            '0,1000,1e6,3,2,1e-3,false,NA,,010,02:30,2,,0.5,"a, ""b""\nc",x',
        )
    )
    kinds = {name: runs[name].dtype.kind for name in runs.data_vars}
    expected = {
        "count": "i",
        "ratio": "f",
        "flag": "b",
        "maybe": "f",
        "few": "f",
        "code": "U",
        "clock": "U",
        "version": "U",
    }
    expected |= {"gap": "f", "val_acc": "f", "word": "U", "mixed": "U"}
    assert {name: kinds[name] for name in expected} == expected
    assert runs["code"].values.tolist() == ["007", "010"]
    assert runs["word"].values.tolist() == ["none", 'a, "b"\nc']
    assert runs["mixed"].values.tolist() == ["1", "x"]
    np.testing.assert_array_equal(runs["maybe"], [1, np.nan])


def test_other_columns_of_python_objects():
    first, second = rows()
    first |= {
        "when": pd.Timestamp("2024-01-02"),
        "nested": {"a": [1]},
        "big": 10**30,
        "mixed": 1,
        "text": None,
        "b": None,
    }
    second |= {"when": pd.NaT, "nested": None, "big": 1, "mixed": "x", "text": "t", "b": np.bool_(True)}
    runs = load_runs([first, second])
    assert runs["when"].values.tolist() == ["2024-01-02 00:00:00", ""]
    assert runs["nested"].values.tolist() == ['{"a": [1]}', ""]
    assert runs["big"].values.tolist() == [1e30, 1.0]
    assert runs["mixed"].values.tolist() == ["1", "x"]
    assert runs["text"].values.tolist() == ["", "t"]
    np.testing.assert_array_equal(runs["b"], [np.nan, 1])
    frame = pd.DataFrame(rows()).assign(day=pd.to_datetime(["2024-01-01", None]), small=np.array([1, 2], dtype="uint8"))
    runs = load_runs(frame.assign(half=np.array([0.5, 1], dtype="float16"), words=pd.array([None, None], dtype="str")))
    assert runs["day"].values.tolist()[1] == ""
    assert runs["small"].dtype == np.int64
    assert runs["half"].dtype == np.float64
    assert runs["words"].values.tolist() == ["", ""]


def test_numbers_are_the_nearest_doubles_and_ids_stay_text(write):
    lines = [
        "id,sparsity,nonzero_params,data_seen,loss,seed",
        "007,0,1e3,1e6,0.1,9007199254740993",
        "1.50,0,1e3,1e6,3.0000000000000004,2",
    ]
    runs = load_runs(write(*lines), columns={"id": "run_id"})
    assert runs["loss"].values.tolist() == [0.1, 3.0000000000000004]
    assert runs["run_id"].values.tolist() == ["007", "1.50"]
    assert runs["seed"].values.tolist() == [9007199254740993, 2]
    assert load_runs([{**row, "run_id": float(i)} for i, row in enumerate(rows())])["run_id"].values.tolist() == [
        "0",
        "1",
    ]


def test_a_column_run_is_the_id_where_there_is_none():
    frame = pd.DataFrame(rows()).rename(columns={"run_id": "run"})
    assert load_runs(frame)["run_id"].values.tolist() == ["a", "b"]
    assert load_runs(frame.assign(run_id=["x", "y"]))["run_id"].values.tolist() == ["x", "y"]


def test_classic_netcdf(tmp_path):
    runs = load_runs(rows(host="Ω"))
    runs.to_netcdf(tmp_path / "classic.nc", engine="scipy")
    assert_same(load_runs(tmp_path / "classic.nc"), runs)


def test_seconds_are_no_time_span(tmp_path):
    runs = load_runs(rows(waited=1.5))
    runs["waited"].attrs["units"] = "seconds"
    for ending in ("nc", "zarr"):
        assert load_runs(save_runs(runs, tmp_path / f"x.{ending}"))["waited"].values[1] == 1.5


# --- renaming and conversion -----------------------------------------------------------------------------------------


def test_rename(write):
    path = write("S,N,D,L,loss_se", "0,1000,1e6,3,.1", ".5,1000,1e6,2,.1")
    names = {"S": "sparsity", "N": "nonzero_params", "D": "data_seen", "L": "loss"}
    assert load_runs(path, names)["loss"].values.tolist() == [3, 2]
    swapped = load_runs(path, {**names, "L": "loss_se", "loss_se": "loss"})
    assert swapped["loss"].values.tolist() == [0.1, 0.1]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"Q": "loss"}, "sweep.csv has no column 'Q' to rename (found: N, sparsity, nonzero_params, data_seen, loss)"),
        ({"N": "nonzero_params"}, "sweep.csv has both 'N' and 'nonzero_params' for the column 'nonzero_params'"),
        ({"N": "x", "loss": "x"}, "sweep.csv has both 'N' and 'loss' for the column 'x'"),
        ({"loss": "L"}, "sweep.csv has no column 'loss' (found: N, sparsity, nonzero_params, data_seen, L)"),
    ],
)
def test_rename_that_does_not_fit(write, columns, message):
    path = write("N,sparsity,nonzero_params,data_seen,loss", "1,0,1000,1e6,3")
    with pytest.raises(InputError, match=re.escape(message)):
        load_runs(path, columns)


@pytest.mark.parametrize(
    ("column", "value", "loss"),
    [
        ("bits_per_byte", 1.5, 1.5 * math.log(2)),
        ("bits_per_token", 4, 4 * math.log(2)),
        ("perplexity", 20, math.log(20)),
    ],
)
def test_other_units_become_nats(tmp_path, column, value, loss):
    table = [{"sparsity": 0, "nonzero_params": 1e3, "data_seen": 1e6, "theirs": x} for x in (value, None)]
    runs = load_runs(table, {"theirs": column})
    np.testing.assert_allclose(runs["loss"], [loss, np.nan], rtol=1e-15)
    assert runs[column].values[0] == value
    assert note_codes(runs) == ["loss_converted", "diverged_runs"]
    assert note_codes(load_runs(save_runs(runs, tmp_path / "x.nc"))) == ["loss_converted", "diverged_runs"]
    kept = load_runs([{**row, "loss": 9.0} for row in table], {"theirs": column})
    assert kept["loss"].values.tolist() == [9, 9]
    assert note_codes(kept) == []


# --- structures, zero data, diverged runs, notes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sparsity", "given", "structure"),
    [
        (0, "2:4", "dense"),
        (0, "unstructured", "dense"),
        (0, "", "dense"),
        (0, "Dense", "dense"),
        (-0.0, "dense", "dense"),
        (0.5, "", "unstructured"),
        (0.5, "Unstructured", "unstructured"),
        (0.5, "2:4", "2:4"),
        (0.51, "2:4", "2:4"),
        (0.49, "02:04", "2:4"),
        (0.5, "4:8", "4:8"),
        (0.75, "1:4", "1:4"),
        (0.9, "block-16", "block-16"),
        (0.95, "moe", "moe"),
    ],
)
def test_structure(sparsity, given, structure):
    runs = load_runs(rows(sparsity=sparsity, structure=given))
    assert runs["structure"].values.tolist() == ["dense", structure]
    assert note_codes(runs) == (["relabelled_dense"] if sparsity == 0 and given in {"2:4", "unstructured"} else [])


def test_zero_data_is_allowed_when_asked_for():
    runs = load_runs(rows(data_seen=0, strategy="Pretrained"), allow_zero_data=True)
    assert runs["data_seen"].values[1] == 0
    assert runs["strategy"].values.tolist() == ["scratch", "pretrained"]
    with pytest.raises(InputError, match="found -1 where a finite number of at least 0"):
        load_runs(rows(data_seen=-1), allow_zero_data=True)


@pytest.mark.parametrize("loss", [None, math.nan, math.inf, "nan", "inf", "", "NaN"])
def test_a_loss_that_is_not_finite_marks_a_diverged_run(loss):
    runs = load_runs(rows(loss=loss))
    assert diverged(runs).values.tolist() == [False, True]
    (note,) = read_notes(runs.attrs)
    assert (note.code, note.severity) == ("diverged_runs", "warning")
    assert note.message.startswith("1 of 2 runs diverged")
    assert note_codes(load_runs(runs.isel(run=~diverged(runs).values))) == []


def test_the_status_says_diverged_too():
    runs = load_runs(rows(status="diverged"))
    assert diverged(runs).values.tolist() == [False, True]
    assert diverged(runs).coords["run_id"].values.tolist() == ["a", "b"]


def test_runs_to_predict_need_no_loss():
    candidates = [{k: v for k, v in row.items() if k != "loss"} for row in rows()]
    runs = load_runs(candidates, need_loss=False)
    assert "loss" not in runs
    assert not diverged(runs).any()
    assert note_codes(load_runs(rows(loss=None), need_loss=False)) == []
    with pytest.raises(InputError, match="has no column 'loss'"):
        load_runs(candidates)


def test_mixed_kinds_of_parameters_earn_a_note():
    assert note_codes(load_runs(rows(param_kind="total"))) == ["mixed_param_kind"]
    apart = [{**row, "modality": m} for row, m in zip(rows(param_kind="total"), "xy", strict=True)]
    assert note_codes(load_runs(apart)) == []


def test_each_modality_has_its_own_unit():
    table = rows(modality="vision", data_unit="examples")
    table[0] |= {"modality": "language"}
    runs = load_runs(table)
    assert runs["data_unit"].values.tolist() == ["tokens", "examples"]
    assert runs["data_seen"].attrs["units"] == "tokens or examples"


def test_attributes_of_someone_else_do_no_harm():
    runs = load_runs(rows())
    runs.attrs["notes"] = "see the appendix"
    runs["loss"].attrs["units"] = "nats per image"
    again = load_runs(runs)
    assert note_codes(again) == []
    assert again["loss"].attrs["units"] == "nats per image"
    assert again.attrs["source"] == "list of runs"


# --- the package -----------------------------------------------------------------------------------------------------


def test_importing_the_table_imports_no_sampler():
    heavy = ["pymc", "pytensor", "arviz", "nutpie", "torch", "pyarrow.parquet", "h5netcdf", "zarr"]
    program = (
        "import sys, importlib.util as u\n"
        "for name in ('bayes_scaling',):\n"
        "    sys.modules[name] = u.module_from_spec(u.spec_from_loader(name, None, is_package=True))\n"
        "    sys.modules[name].__path__ = [sys.argv[1]]\n"
        "import bayes_scaling.runs, bayes_scaling.datasets\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    folder = __import__("bayes_scaling.errors").__path__[0]
    out = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_public_table_loads(data_folder):
    counts = {"frantar2023": 160, "chinchilla2022": 245, "gadre2024": 95, "muennighoff2023": 182, "zhang2024_batch": 45}
    for name, count in counts.items():
        path = data_folder / name / "runs.csv"
        if path.exists():
            assert load_runs(path).sizes["run"] == count
