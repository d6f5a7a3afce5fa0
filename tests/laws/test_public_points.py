"""benchmarks/public_points.py: which published numbers our optimiser gives back, and which it does not."""

import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def points():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module("public_points")
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.mark.parametrize(("name", "count"), [("gadre", 12), ("gale", 2), ("wu", 5)])
def test_published_numbers_are_found_within_their_tolerance(points, data_folder, name, count):
    rows = list(getattr(points, name)(data_folder))
    assert len(rows) == count
    assert [row.quantity for row in rows if not row.within] == []


def test_the_published_worth_of_repetitions_is_a_local_optimum_and_not_the_lowest(points, data_folder):
    rows = {row.quantity: row for row in points.muennighoff(data_folder)}
    assert rows["objective at the printed R*"].within
    assert rows["R² there"].within
    lowest = rows["objective, R* fitted"]
    assert not lowest.within
    assert lowest.point < 0.999 * lowest.published
    assert rows["R*_D, base law held"].point == pytest.approx(95.4, rel=0.01)
    assert rows["R*_N, base law held"].point == pytest.approx(1.706, rel=0.01)


def test_a_row_says_whether_point_and_interval_agree_with_what_was_published():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        rows = importlib.import_module("public_rows")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    import numpy as np
    import xarray as xr

    draws = xr.DataArray(np.linspace(0, 1, 1001)[None], dims=("chain", "draw"))
    for published, point, within, inside in ((0.5, 0.5005, True, True), (0.97, 0.5, False, False)):
        row = rows.Row("data", "quantity", published, point, 0.001, draws=draws)
        assert (row.within, row.inside) == (within, inside)
    assert rows.table([row]).splitlines()[-1] == (
        "| data | quantity | 0.97 | 0.001 | 0.5 | **no** | 0.5 [0.055, 0.945] | **no** |"
    )
    bare = rows.Row("data", "quantity", 1.0)
    assert bare.cells()[3:] == ["–"] * 5
