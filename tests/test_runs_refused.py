import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from run_tables import GOOD, HEADER, rows

from bayes_scaling.runs import InputError, load_runs

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
    ("store/a.json", b'{"schema": 1, "run": 3}', "store/a.json has a 'run' that is no object"),
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


def test_a_column_with_nearly_the_right_name_is_named():
    table = [{"sparsity": 0, "nonzero_param": 1e6, "data_seen": 1e9, "loss": 3.0, "note": "a"}]
    with pytest.raises(InputError) as refused:
        load_runs(table)
    assert str(refused.value).endswith(
        "if 'nonzero_param' is 'nonzero_params', say columns={'nonzero_param': 'nonzero_params'}, "
        "or --column nonzero_param=nonzero_params"
    )
    (far,) = [{**table[0], "N": 1e6}]
    del far["nonzero_param"]
    with pytest.raises(InputError, match="if it is there under another name, say columns="):
        load_runs([far])
