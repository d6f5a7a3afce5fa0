import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from helpers import codes, hand_built, physical, random_coefficients

import bayes_scaling as bs
from bayes_scaling.decide.sparsity_map import map_dict
from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation import extrapolation

RUN = {
    "modality": "language", "structure": "unstructured", "strategy": "scratch", "sparsity": 0.9,
    "nonzero_params": 1e6, "data_seen": 1e9, "data_unit": "tokens",
}  # fmt: skip
RUNS = [
    RUN,
    RUN | {"nonzero_params": 1e8, "data_seen": 1e11},
    RUN | {"sparsity": 0.0, "structure": "dense", "nonzero_params": 1e8},
]
SIZES, BUDGETS = np.geomspace(1e6, 1e9, 5), np.geomspace(1e17, 1e22, 7)
GRID = ("median", "lower", "upper", "probability_zero", "beyond")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def built(count=60, structure="unstructured", seed=1):
    runs = [run | ({"structure": structure} if run["sparsity"] else {}) for run in RUNS]
    if structure != "unstructured":
        runs = [run | ({"sparsity": 0.5} if run["sparsity"] else {}) for run in runs]
    return hand_built(random_coefficients(seed, count, 1e8), runs, structure=structure)


@pytest.mark.parametrize("cost", ["gradual", "dense"])
@pytest.mark.parametrize("serve_tokens", [0.0, 1e9])
def test_every_cell_is_the_optimum_there(cost, serve_tokens):
    posterior = built()
    ask = {"cost": cost, "flops_per_unit": 12, "serve_tokens": serve_tokens}
    found = bs.optimal_map(posterior, SIZES, BUDGETS, prob=0.8, **ask)
    assert set(found.data_vars) == {*GRID, "dense_optimal_flops", "dense_optimal_lower", "dense_optimal_upper"}
    for i, N in enumerate(SIZES):
        for j, C in enumerate(BUDGETS):
            cell = {name: float(found[name][i, j]) for name in GRID}
            if (C - 4 * serve_tokens * N) / (12 * N) < 1:  # not one token of a dense model
                assert all(np.isnan(value) for value in cell.values())
                continue
            own = bs.optimal_sparsity(posterior, N, C, "language", "unstructured", **ask).to_numpy()
            np.testing.assert_allclose(
                [cell[n] for n in ("lower", "median", "upper")], np.quantile(own, [0.1, 0.5, 0.9]), atol=1e-7
            )
            assert cell["probability_zero"] == pytest.approx((own == 0).mean())
    assert found["median"].dims == ("nonzero_params", "train_flops")
    dense = bs.dense_optimal_flops(posterior, SIZES, "language", flops_per_unit=12)
    for name, q in (("flops", 0.5), ("lower", 0.1), ("upper", 0.9)):
        expected = dense.quantile(q, ("chain", "draw")).to_numpy()
        np.testing.assert_allclose(found[f"dense_optimal_{name}"], expected, rtol=1e-6)
    assert found.attrs["prob"] == 0.8
    assert (found.attrs["modality"], found.attrs["structure"], found.attrs["cost"]) == (
        "language",
        "unstructured",
        cost,
    )


def test_how_far_each_cell_lies_beyond_the_runs():
    posterior = built()
    found = bs.optimal_map(posterior, SIZES, BUDGETS)
    signs = set()
    for i, N in enumerate(SIZES):
        for j, C in enumerate(BUDGETS):
            S = float(found["median"][i, j])
            D = C / (6 * N) / bs.costs.get("gradual").multiplier(S)
            where = {"nonzero_params": N, "data_seen": D, "sparsity": S}
            nats = max(extrapolation(posterior, "language", "unstructured", **where).values())
            if nats > 0:
                assert float(found["beyond"][i, j]) == pytest.approx(nats, rel=1e-6)
            else:
                assert float(found["beyond"][i, j]) < 1e-9
            signs.add(nats > 0)
    assert signs == {True, False}


def test_contours_are_parallel_to_the_dense_optimum():
    """One draw: optimal sparsity depends on the budget over the dense compute-optimal one, at every size."""
    k = {n: np.array([v]) for n, v in physical("vit").items()}
    posterior = hand_built(k, RUNS)
    dense = bs.dense_optimal_flops(posterior, SIZES, "language").to_numpy().ravel()
    rows = [
        bs.optimal_map(posterior, [N, 2 * N], C * np.array([1, 2, 5, 10]))["median"][0]
        for N, C in zip(SIZES, dense, strict=True)
    ]
    for row in rows:
        np.testing.assert_allclose(row, [0.351, 0.543, 0.713, 0.798], atol=1e-3)


def test_unless_said_the_grid_is_around_the_runs():
    found = bs.optimal_map(built())
    size, flops = (found[name].to_numpy() for name in ("nonzero_params", "train_flops"))
    assert size[[0, -1]] == pytest.approx([0.5e6, 1e9])
    multiplier = bs.costs.get("gradual").multiplier(0.9)
    assert flops[[0, -1]] == pytest.approx([6e15 * multiplier, 100 * 6e19 * multiplier])
    assert found["beyond"].min() < 0 < found["beyond"].max()
    assert "absurd_data" not in codes(found.attrs)


def test_a_map_of_nothing_but_absurd_corners_says_so():
    found = bs.optimal_map(built(), [1e8, 1e9], [1e10, 2e10])
    assert codes(found.attrs) == ["absurd_data"]


def test_json(simulated):
    found = bs.optimal_map(simulated, [1e6, 1e12], [1e12, 1e18], "language", "unstructured")
    assert np.isnan(found["median"][1, 0])
    assert not np.isnan(found["median"][1, 1])
    plain = map_dict(found)
    assert plain["nonzero_params"] == [1e6, 1e12]
    assert plain["median"][0][1] == float(found["median"][0, 1])
    assert plain["notes"] == json.loads(found.attrs["notes"])
    assert json.loads(json.dumps(plain))["prob"] == 0.89


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nonzero_params": [1e9, 1e8]}, "nonzero_params"),
        ({"nonzero_params": 1e9}, "nonzero_params"),
        ({"nonzero_params": [-1, 1e8]}, "nonzero_params"),
        ({"train_flops": [1e20]}, "train_flops"),
        ({"modality": "audio"}, "audio"),
        ({"structure": "4:2"}, "4:2"),
        ({"cost": "cheap"}, "dense, gradual"),
        ({"prob": 1}, "prob"),
    ],
)
def test_questions_that_make_no_sense(arguments, message):
    with pytest.raises(InputError, match=message):
        bs.optimal_map(built(), **arguments)


def test_a_map_is_of_one_modality_and_structure(simulated):
    with pytest.raises(InputError, match="language, vision"):
        bs.optimal_map(simulated)
    with pytest.raises(InputError, match="unstructured, 2:4"):
        bs.optimal_map(simulated, modality="language")


def drawn(figure):
    figure.canvas.draw()  # what text cannot be laid out fails here
    return figure


def test_the_picture():
    found = bs.optimal_map(built(), prob=0.8)
    figure = drawn(bs.plot_optimal_map(found))
    assert [ax.get_title() for ax in figure.axes] == ["optimal sparsity, median", "width of its 80% interval"]
    for ax in figure.axes:
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("non-zero parameters", "training budget (FLOPs)")
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        (dense,) = [line for line in ax.lines if line.get_label() == "dense compute-optimal budget"]
        np.testing.assert_allclose(dense.get_ydata(), found["dense_optimal_flops"])
        labels = {text.get_text() for text in ax.texts}
        assert labels
        assert labels <= {"0.1", "0.25", "0.5", "0.75", "0.875", "0.9375", "0.02", "0.05", "0.2", "0.4"}


def test_the_picture_of_a_pattern_shows_chances():
    figure = drawn(bs.plot_optimal_map(built(structure="2:4")))
    assert [ax.get_title() for ax in figure.axes] == ["chance that 2:4 beats dense"]


def test_a_posterior_is_asked_as_the_map_is():
    posterior = built()
    ask = {"nonzero_params": SIZES, "train_flops": BUDGETS, "cost": "dense", "prob": 0.5}
    one, other = (
        drawn(f) for f in (bs.plot_optimal_map(posterior, **ask), bs.plot_optimal_map(bs.optimal_map(posterior, **ask)))
    )
    pixels = [np.asarray(f.canvas.buffer_rgba()) for f in (one, other)]
    np.testing.assert_array_equal(*pixels)
    with pytest.raises(InputError, match="cost"):
        bs.plot_optimal_map(bs.optimal_map(posterior), cost="dense")


def test_a_map_outlives_a_file(tmp_path):
    found = bs.optimal_map(built(), SIZES, BUDGETS)
    found.to_netcdf(tmp_path / "map.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "map.nc", engine="h5netcdf") as again:
        drawn(bs.plot_optimal_map(again.load()))
        xr.testing.assert_identical(again, found)
