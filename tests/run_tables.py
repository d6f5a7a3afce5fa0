"""Small run tables that tests of reading, refusing and saving share."""

import xarray as xr

from bayes_scaling.notes import read_notes

FORMATS = ["csv", "parquet", "jsonl", "ndjson", "nc", "zarr"]
HEADER = "run_id,modality,structure,sparsity,nonzero_params,data_seen,loss"
GOOD = ["a,language,dense,0,1000,1e6,3.5", "b,language,unstructured,0.5,1000,1e6,3.25"]


def rows(**changed):
    """Two good runs as dicts, with columns of the second replaced."""
    first = {"run_id": "a", "sparsity": 0.0, "nonzero_params": 1000, "data_seen": 10**6, "loss": 3.5}
    return [first, {**first, "run_id": "b", "sparsity": 0.5, **changed}]


def note_codes(runs):
    return [note.code for note in read_notes(runs.attrs)]


def assert_same(one, other):
    """Identical but for where the tables were read from."""
    xr.testing.assert_identical(one.assign_attrs(source=""), other.assign_attrs(source=""))
    assert {k: v.dtype for k, v in one.variables.items()} == {k: v.dtype for k, v in other.variables.items()}
