import json
import math
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayes_scaling.notes import read_notes
from bayes_scaling.runs import COLUMNS, InputError, diverged, grid, load_runs, save_runs

FORMATS = ["csv", "parquet", "jsonl", "ndjson", "nc", "zarr"]
HEADER = "run_id,modality,structure,sparsity,nonzero_params,data_seen,loss"
GOOD = ["a,language,dense,0,1000,1e6,3.5", "b,language,unstructured,0.5,1000,1e6,3.25"]


def rows(**changed):
    """Two good runs as dicts, with columns of the second replaced."""
    first = {"run_id": "a", "sparsity": 0.0, "nonzero_params": 1000, "data_seen": 10**6, "loss": 3.5}
    return [first, {**first, "run_id": "b", "sparsity": 0.5, **changed}]


def codes(runs):
    return [note.code for note in read_notes(runs.attrs)]


def assert_same(one, other):
    """Identical but for where the tables were read from."""
    xr.testing.assert_identical(one.assign_attrs(source=""), other.assign_attrs(source=""))
    assert {k: v.dtype for k, v in one.variables.items()} == {k: v.dtype for k, v in other.variables.items()}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write lines to a file in the working folder, so that messages show the short name."""
    monkeypatch.chdir(tmp_path)

    def write(*lines, name="sweep.csv", end="\n"):
        (tmp_path / name).write_text(end.join(lines) + end, encoding="utf-8", newline="")
        return name

    return write


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
    assert codes(runs) == []


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
    assert codes(runs) == ["loss_converted", "diverged_runs"]
    assert codes(load_runs(save_runs(runs, tmp_path / "x.nc"))) == ["loss_converted", "diverged_runs"]
    kept = load_runs([{**row, "loss": 9.0} for row in table], {"theirs": column})
    assert kept["loss"].values.tolist() == [9, 9]
    assert codes(kept) == []


# --- what is refused -------------------------------------------------------------------------------------------------

BAD_CELLS = [
    ("sparsity", "", "found an empty cell where a number is needed"),
    ("sparsity", "half", "found 'half' where a number belongs"),
    ("sparsity", "75%", "found '75%' where a number belongs; write the fraction 0.75"),
    ("sparsity", "nan", "found nan where a number is needed"),
    ("sparsity", "inf", "found inf where a fraction of at least 0 and below 1 is allowed"),
    ("sparsity", "-0.1", "found -0.1 where a fraction of at least 0 and below 1 is allowed"),
    ("sparsity", "1", "found 1 where a fraction of at least 0 and below 1 is allowed"),
    ("sparsity", "75", "found 75, which looks like a percent; write 0.75"),
    ("nonzero_params", "", "found an empty cell where a number is needed"),
    ("nonzero_params", "12M", "found '12M' where a number belongs"),
    ("nonzero_params", "1_000", "found '1_000' where a number belongs"),
    ("nonzero_params", "true", "found 'true' where a number belongs"),
    ("nonzero_params", "0", "found 0 where a finite number above 0 is allowed"),
    ("nonzero_params", "-5", "found -5 where a finite number above 0 is allowed"),
    ("nonzero_params", "inf", "found inf where a finite number above 0 is allowed"),
    ("data_seen", "NA", "found NA where a number is needed"),
    ("data_seen", "0", "found 0 where a finite number above 0 is allowed"),
    ("data_seen", "-1e9", "found -1e9 where a finite number above 0 is allowed"),
    ("loss", "low", "found 'low' where a number belongs"),
    ("loss", "0", "found 0 where a finite number above 0 is allowed"),
    ("loss", "-2.5", "found -2.5 where a finite number above 0 is allowed"),
    ("loss_se", "-0.1", "found -0.1 where a finite number of at least 0 is allowed"),
    ("loss_se", "inf", "found inf where a finite number of at least 0 is allowed"),
    ("seed", "1.5", "found 1.5 where a whole number belongs"),
    ("seed", "one", "found 'one' where a number belongs"),
    ("train_flops", "-1", "found -1 where a finite number of at least 0 is allowed"),
    ("batch_size", "0", "found 0 where a finite number above 0 is allowed"),
    ("structure", "dense", "found 'dense' beside the sparsity 0.5, where dense means sparsity 0"),
    ("structure", "4:2", "found '4:2' where n:m with 0 < n < m is allowed"),
    ("structure", "0:4", "found '0:4' where n:m with 0 < n < m is allowed"),
    ("structure", "4:4", "found '4:4' where n:m with 0 < n < m is allowed"),
    ("strategy", "finetuned", "found 'finetuned' where scratch or pretrained is allowed"),
    ("data_unit", "words", "found 'words' where tokens or examples is allowed"),
    ("data_unit", "examples", "found 'examples' where the modality 'language' counts tokens (line 2)"),
    ("modality", "", "found an empty cell where other rows have a modality"),
    ("run_id", "a", "found 'a', which line 2 has already"),
    ("run_id", "", "found an empty cell where other rows have an id"),
]


def with_cell(column, value, count=1):
    """CSV lines with `count` bad rows from line 4 on."""
    header = HEADER.split(",") + [column] * (column not in HEADER)
    good = {"loss_se": "0.1", "seed": "1", "strategy": "scratch", "data_unit": "tokens"}.get(column, "1")
    lines = [",".join(header), *(line + f",{good}" * (column not in HEADER) for line in GOOD)]
    for i in range(count):
        cells = lines[2].split(",")
        cells[0] = f"c{i}"
        cells[header.index(column)] = value
        lines.append(",".join(cells))
    return lines


@pytest.mark.parametrize(("column", "value", "reason"), BAD_CELLS)
def test_bad_cell_is_named_with_file_line_and_column(write, column, value, reason):
    with pytest.raises(InputError) as caught:
        load_runs(write(*with_cell(column, value)))
    message = str(caught.value)
    assert message.startswith(f"sweep.csv, line 4, column '{column}': {reason}")
    assert "\n" not in message


@pytest.mark.parametrize(("count", "more"), [(1, ""), (2, " (and 1 more row)"), (3, " (and 2 more rows)")])
def test_further_bad_rows_are_counted(write, count, more):
    with pytest.raises(InputError) as caught:
        load_runs(write(*with_cell("loss", "-1", count)))
    assert (
        str(caught.value)
        == f"sweep.csv, line 4, column 'loss': found -1 where a finite number above 0 is allowed{more}"
    )


def test_sparsity_that_contradicts_n_of_m(write):
    path = write(HEADER, GOOD[0], "b,language,1:4,0.5,1000,1e6,3")
    with pytest.raises(InputError) as caught:
        load_runs(path)
    expected = (
        "sweep.csv, line 3, column 'sparsity': found 0.5 beside the structure '1:4', which means 0.75 within 0.01"
    )
    assert str(caught.value) == expected


def test_lines_are_counted_as_an_editor_does(write):
    path = write(HEADER + ",note", GOOD[0] + ',"two\nlines"', "", GOOD[1].replace("3.25", "bad") + ",")
    with pytest.raises(InputError, match=r"sweep\.csv, line 5, column 'loss'"):
        load_runs(path)


def test_a_renamed_column_is_named_as_the_file_does(write):
    path = write("S,nonzero_params,data_seen,loss", "50,1000,1e6,3")
    with pytest.raises(
        InputError, match=r"line 2, column 'S' \(our 'sparsity'\): found 50, which looks like a percent"
    ):
        load_runs(path, {"S": "sparsity"})


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda bad, _: pd.DataFrame(bad), "the DataFrame, run_id 'b', column 'loss'"),
        (lambda bad, _: pd.DataFrame(bad).drop(columns="run_id"), "the DataFrame, row index 1, column 'loss'"),
        (lambda bad, _: bad, "the list of runs, run_id 'b', column 'loss'"),
        (lambda bad, _: pd.DataFrame(bad).to_xarray(), "the Dataset, run_id 'b', column 'loss'"),
        (lambda bad, path: pd.DataFrame(bad).to_parquet(path / "x.parquet") or "x.parquet", "x.parquet, run_id 'b'"),
        (
            lambda bad, path: (pd.DataFrame(bad).to_xarray().to_netcdf(path / "x.nc"), "x.nc")[1],
            "x.nc, run_id 'b'",
        ),
        (
            lambda bad, path: pd.DataFrame(bad).to_json(path / "x.jsonl", orient="records", lines=True) or "x.jsonl",
            "x.jsonl, line 2",
        ),
        (lambda bad, path: (path / "x.json").write_text(json.dumps(bad)) and "x.json", "x.json, item index 1"),
        (lambda bad, path: write_records(path / "store", bad), "store, record 'b.json', column 'loss'"),
    ],
)
def test_place_of_a_bad_row_by_source(tmp_path, monkeypatch, make, place):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        load_runs(make(rows(loss=-1.0), tmp_path))
    assert str(caught.value).startswith(place)


def write_records(folder, table):
    folder.mkdir()
    for row in table:
        (folder / f"{row['run_id']}.json").write_text(json.dumps({"schema": 1, "run": row, "status": "finished"}))
    return folder.name


BAD_FILES = [
    ("sweep.csv", b"", "sweep.csv is empty"),
    ("sweep.csv", b"\n\n", "sweep.csv is empty"),
    ("sweep.csv", HEADER.encode(), "sweep.csv has a header but no runs"),
    (
        "sweep.csv",
        b"sparsity,loss\n0,1\n",
        "sweep.csv has no column 'nonzero_params', 'data_seen' (found: sparsity, loss)",
    ),
    ("sweep.csv", b"sparsity;loss\n0;1\n", "sweep.csv, line 1 separates its cells by ';', where CSV needs commas"),
    ("sweep.csv", b"loss,loss\n1,2\n", "sweep.csv, line 1 names the column 'loss' twice"),
    ("sweep.csv", b"a,b\n1,2\n\n1,2,3\n", "sweep.csv, line 4 has 3 cells where the header has 2"),
    ("sweep.csv", b'a,b\n1,2\n"x,2\n', "sweep.csv, line 3 has a quote that is not closed"),
    ("sweep.csv", b"a,b\n\xff\xfe,2\n", "sweep.csv is not UTF-8 text (byte 4)"),
    ("sweep.xlsx", b"PK", "sweep.xlsx has no ending that a run table can be read from (.csv, .parquet"),
    ("sweep.parquet", b"PAR1 is not enough", "sweep.parquet cannot be read as Parquet ("),
    ("sweep.nc", b"CDF? no", "sweep.nc cannot be read as NetCDF ("),
    ("sweep.nc", b"", "sweep.nc is empty"),
    ("sweep.zarr", b"x", "sweep.zarr is a file, where a Zarr store is a folder"),
    ("sweep.jsonl", b'{"loss": 1}\n{"loss": \n', "sweep.jsonl, line 2 is not JSON ("),
    ("sweep.jsonl", b'{"loss": 1}\n[1]\n', "sweep.jsonl, line 2 holds a list, where a run is an object"),
    ("sweep.jsonl", b"\n\n", "sweep.jsonl has no runs"),
    ("sweep.json", b'{"loss": 1}', "sweep.json holds no list of runs, but an object"),
    ("sweep.json", b"[]", "sweep.json has no runs"),
    ("sweep.json", b"[{}, 3]", "sweep.json, item index 1 holds a number, where a run is an object"),
    ("store/a.json", b'{"x": 1}', "store/a.json is no run record: it has no object 'run'"),
    ("store/a.json", b'{"schema": 2, "run": {}}', "store/a.json is a run record of schema 2"),
    ("store/a.json", b'{"schema": 1, "run": 3}', "store/a.json holds a number as its 'run'"),
    ("store/a.json", b"{", "store/a.json is not JSON ("),
    ("store/a.txt", b"x", "the folder store holds no run records (*.json)"),
    ("store.zarr/a.txt", b"x", "store.zarr cannot be read as a Zarr store ("),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES)
def test_bad_file(tmp_path, monkeypatch, name, content, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_runs(name if "/" not in name else name.split("/")[0])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.csv", "nowhere.csv does not exist"),
        ("frantar2023", "frantar2023 does not exist; a data set that goes by a name is loaded with"),
        ([], "the list of runs has no runs"),
        (pd.DataFrame(columns=["loss"]), "the DataFrame has no runs"),
        (pd.DataFrame([[1, 2]], columns=["loss", "loss"]), "the DataFrame has the column 'loss' twice"),
        (xr.Dataset(), "the Dataset has no runs"),
        (xr.Dataset({"loss": (("x", "y"), np.ones((2, 2)))}), "the Dataset has the dimensions ('x', 'y')"),
        (17, "runs can be a path, a pandas DataFrame, an xarray Dataset or a list of dicts, not 'int'"),
        ({"loss": [1]}, "runs can be a path, a pandas DataFrame, an xarray Dataset or a list of dicts, not 'dict'"),
        ([1, 2], "runs can be a path, a pandas DataFrame, an xarray Dataset or a list of dicts, not 'list'"),
        (
            [{"perplexity": 2, "bits_per_byte": 1}],
            "the list of runs has no column 'loss' but 'bits_per_byte', 'perplexity'",
        ),
        ([{"val/a": 1, "val_a": 1}], "the list of runs has both 'val/a' and 'val_a' for the column 'val_a'"),
        (rows(loss=True), "the list of runs, run_id 'b', column 'loss': found True where a number belongs"),
        (
            rows(sparsity=None),
            "the list of runs, run_id 'b', column 'sparsity': found nothing where a number is needed",
        ),
        (rows(sparsity=[1]), "the list of runs, run_id 'b', column 'sparsity': found [1] where a number belongs"),
        (rows(run_id="a"), "the list of runs, row index 1, column 'run_id': found 'a', which row index 0 has already"),
    ],
)
def test_bad_source(source, message):
    with pytest.raises(InputError) as caught:
        load_runs(source)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("column", "value", "allowed"),
    [("perplexity", 1, "above 1"), ("bits_per_byte", 0, "above 0"), ("bits_per_token", -1, "above 0")],
)
def test_bad_value_in_a_column_to_convert(column, value, allowed):
    table = [{"sparsity": 0, "nonzero_params": 1, "data_seen": 1, column: value}]
    with pytest.raises(
        InputError, match=f"row index 0, column '{column}': found {value} where a number {allowed} is allowed"
    ):
        load_runs(table)


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
    assert codes(runs) == (["relabelled_dense"] if sparsity == 0 and given in {"2:4", "unstructured"} else [])


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
    assert codes(load_runs(runs.isel(run=~diverged(runs).values))) == []


def test_the_status_says_diverged_too():
    runs = load_runs(rows(status="diverged"))
    assert diverged(runs).values.tolist() == [False, True]
    assert diverged(runs).coords["run_id"].values.tolist() == ["a", "b"]


def test_runs_to_predict_need_no_loss():
    candidates = [{k: v for k, v in row.items() if k != "loss"} for row in rows()]
    runs = load_runs(candidates, need_loss=False)
    assert "loss" not in runs
    assert not diverged(runs).any()
    assert codes(load_runs(rows(loss=None), need_loss=False)) == []
    with pytest.raises(InputError, match="has no column 'loss'"):
        load_runs(candidates)


def test_mixed_kinds_of_parameters_earn_a_note():
    assert codes(load_runs(rows(param_kind="total"))) == ["mixed_param_kind"]
    apart = [{**row, "modality": m} for row, m in zip(rows(param_kind="total"), "xy", strict=True)]
    assert codes(load_runs(apart)) == []


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
    assert codes(again) == []
    assert again["loss"].attrs["units"] == "nats per image"
    assert again.attrs["source"] == "list of runs"


# --- saving ----------------------------------------------------------------------------------------------------------

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
    assert codes(again) == ["relabelled_dense"]
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


# --- grid ------------------------------------------------------------------------------------------------------------


def test_grid_of_the_t5_sweep(data_folder):
    runs = load_runs(data_folder / "frantar2023" / "runs.csv")
    t5 = runs.isel(run=runs["modality"].values == "language")
    cube = grid(t5)
    assert dict(cube["loss"].sizes) == {
        "modality": 1,
        "structure": 1,
        "nonzero_params": 4,
        "data_seen": 3,
        "sparsity": 4,
    }
    assert not cube["loss"].isnull().any()
    assert cube["loss"].attrs["units"] == "nats"
    for i in range(t5.sizes["run"]):
        run = t5.isel(run=i)
        where = {name: run[name].item() for name in ["modality", "nonzero_params", "data_seen", "sparsity"]}
        cell = cube.sel(where | {"structure": "unstructured"})
        assert cell["loss"].item() == run["loss"].item()
        assert cell["run_id"].item() == run["run_id"].item()


def test_grid_of_two_modalities_finds_every_loss(data_folder):
    runs = load_runs(data_folder / "frantar2023" / "runs.csv")
    cube = grid(runs)
    assert "replicate" not in cube.dims
    assert np.array_equal(np.sort(cube["loss"].values[~np.isnan(cube["loss"].values)]), np.sort(runs["loss"].values))
    assert cube["run_id"].sel(modality="vision", sparsity=0.9375).values.astype(bool).sum() == 8


def test_grid_shares_dense_runs_and_stacks_replicates():
    base = rows()[0]
    table = [
        {**base, "run_id": "dense"},
        {**base, "run_id": "u1", "sparsity": 0.5, "loss": 3.0, "seed": 1},
        {**base, "run_id": "u2", "sparsity": 0.5, "loss": 3.1, "seed": 2},
        {**base, "run_id": "s", "sparsity": 0.5, "structure": "2:4", "loss": 3.2},
        {**base, "run_id": "v", "modality": "vision"},
    ]
    table = [{"modality": "language", **run} for run in table]
    cube = grid(load_runs(table))
    assert cube["structure"].values.tolist() == ["2:4", "dense", "unstructured"]
    flat = cube.squeeze(drop=True).sel(modality="language")
    assert flat["run_id"].sel(sparsity=0.0, replicate=0).values.tolist() == ["dense", "", "dense"]
    assert flat["loss"].sel(sparsity=0.5, structure="unstructured").values.tolist() == [3.0, 3.1]
    assert flat["loss"].sel(sparsity=0.5, structure="2:4").isnull().values.tolist() == [False, True]
    by_seed = grid(load_runs(table[1:3]), by=["sparsity", "seed"])
    assert dict(by_seed.sizes) == {"sparsity": 1, "seed": 2}


def test_grid_has_strategies_only_where_there_are_several():
    assert "strategy" not in grid(load_runs(rows())).dims
    assert grid(load_runs(rows(strategy="pretrained"))).sizes["strategy"] == 2


def test_grid_refuses():
    with pytest.raises(InputError, match="the run table has no column 'depth'"):
        grid(load_runs(rows()), by=["depth"])
    many = [{"sparsity": 0, "nonzero_params": i, "data_seen": i, "loss": 1} for i in range(1, 3300)]
    with pytest.raises(InputError, match="has 10,883,401 cells, too many for 3299 runs"):
        grid(load_runs(many))


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
