import json

import numpy as np
import pytest
import xarray as xr
from artists import drawn, words

import bayes_scaling as bs


@pytest.fixture(scope="module")
def curves(tmp_path_factory):
    """Three runs, read from records: dense, sparse, and one that diverged half way."""
    folder = tmp_path_factory.mktemp("store")
    rng = np.random.default_rng(0)
    for name, final, last in (("a", 0.0, 8), ("b", 0.75, 8), ("c", 0.5, 4)):
        points = [
            {"step": step, "data_seen": 512 * step, "train_loss": 3 - 0.1 * step + 0.01 * rng.random(),
             "sparsity": final * min(step / 6, 1)}
            for step in range(1, last + 1)
        ]  # fmt: skip
        if name == "c":
            points.append({"step": 5, "data_seen": 512 * 5, "train_loss": None, "sparsity": final})
        else:
            points[-1]["heldout_loss"] = 2.3
        record = {"run": {"run_id": name, "loss": 2.3}, "curve": points}
        (folder / f"{name}.json").write_text(json.dumps(record))
    return bs.load_curves(folder)


def test_curves_are_the_records_points(curves):
    figure = drawn(bs.plot_learning_curves(curves))
    left, right = figure.axes[:2]
    lines = [line for line in left.lines if line.get_linestyle() == "-"]
    assert len(lines) == 3
    for i, line in enumerate(lines):
        run = curves.isel(run=i).dropna("step", subset=["train_loss"])
        np.testing.assert_allclose(line.get_xdata(), run["data_seen"])
        np.testing.assert_allclose(line.get_ydata(), run["train_loss"])
        np.testing.assert_allclose(right.lines[i].get_ydata(), run["sparsity"])
    ends = np.concatenate([line.get_ydata() for line in left.lines if line.get_marker() == "D"])
    assert ends.tolist() == [2.3, 2.3]
    assert left.get_title() == "3 runs"
    assert "nats" in left.get_ylabel()
    assert "tokens or examples" in left.get_xlabel()
    assert "held-out loss" in words(figure)


def test_colours_are_final_sparsities(curves):
    left, right = drawn(bs.plot_learning_curves(curves)).axes[:2]
    colours = [line.get_color() for line in left.lines if line.get_linestyle() == "-"]
    assert len(set(colours)) == 3
    assert colours == [line.get_color() for line in right.lines]


def test_some_runs_only(curves):
    left = drawn(bs.plot_learning_curves(curves.isel(run=[1]))).axes[0]
    assert left.get_title() == "1 runs"


def test_what_has_no_curves_is_refused(curves):
    with pytest.raises(bs.InputError, match="no data_seen, train_loss, heldout_loss, sparsity"):
        bs.plot_learning_curves(xr.Dataset())
    with pytest.raises(bs.InputError, match="nothing to draw"):
        bs.plot_learning_curves(curves * np.nan)
