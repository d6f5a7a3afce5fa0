import numpy as np
import pytest
import xarray as xr
from helpers import TRUTH, codes, one_modality, simulate, two_modalities

from bayes_scaling.bootstrap import resampled
from bayes_scaling.errors import InputError
from bayes_scaling.intervals import PROB
from bayes_scaling.point_fit import point_fit

NAMES = ("a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c")
NEW = {"modality": "language", "structure": "unstructured", "sparsity": 0.6, "nonzero_params": 1e9, "data_seen": 1e11}


def one(point, modality="language", structure="unstructured"):
    """The coefficients of one modality and structure as numbers."""
    at = point.coefficients.sel(modality=modality, structure=structure)
    return {str(name): float(values) for name, values in at.data_vars.items()}


@pytest.fixture(scope="module")
def two():
    """Two modalities and two structures, one pair of them without runs."""
    return point_fit(two_modalities())


@pytest.fixture(scope="module", params=["residual", "runs"])
def draws(request, two):
    return two.bootstrap(60, seed=3, kind=request.param)


def test_draws_have_the_shape_of_the_estimate(two, draws):
    assert set(draws) == set(two.coefficients)
    for name in NAMES:
        assert draws[name].dims == ("draw", *two.coefficients[name].dims)
        assert np.isfinite(draws[name]).all()
    assert draws.sizes["draw"] == 60


def test_draws_surround_the_estimate_and_differ(two, draws):
    for name in ("b_N", "b_D", "c"):
        low, high = draws[name].quantile([0.01, 0.99], "draw")
        assert (low < two.coefficients[name]).all()
        assert (high > two.coefficients[name]).all()
    assert len(np.unique(draws["b_N"].sel(modality="language"))) > 50


def test_the_seed_decides(two):
    same, again, other = (two.bootstrap(3, seed=seed) for seed in (5, 5, 6))
    xr.testing.assert_identical(same, again)
    assert same.attrs == {"kind": "runs", "seed": 5}
    assert (same["b_N"] != other["b_N"]).all()


def test_every_draw_is_a_minimum_of_its_runs(two):
    """Refits start from the optimum; starts of their own find nothing better."""
    for kind in ("residual", "runs"):
        misfit, point = two._misfits[1], two._points[1]
        for again in resampled(misfit, point, kind, 5, np.random.default_rng(1)):
            value = again.value(again.minimised(point, tolerance=1e-4))[0]
            best = min(again.value(again.minimised(again.drawn(np.random.default_rng(k))))[0] for k in range(4))
            assert value <= best * (1 + 1e-4), kind


def test_a_quantity_that_ran_off_may_come_back():
    """Sparsity that costs the same at every level has an exponent without bounds; resampled runs may bound it."""
    rows = one_modality()
    dense = {(row["nonzero_params"], row["data_seen"]): row["loss"] for row in rows if row["sparsity"] == 0}
    rng = np.random.default_rng(2)
    flattened = [
        row | {"loss": dense[row["nonzero_params"], row["data_seen"]] * (0.95 if row["sparsity"] else 1)}
        for row in rows
    ]
    noisy = [row | {"loss": row["loss"] * float(np.exp(0.01 * rng.standard_normal()))} for row in flattened]
    point = point_fit(noisy)
    assert "flat_direction" in codes(point.notes)
    assert one(point)["b_S"] > 8
    assert (point.bootstrap(30)["b_S"] < 4).any()


def test_resampled_runs_keep_every_cell(two):
    misfit, point = two._misfits[0], two._points[0]
    cell = np.where(misfit.columns["sparsity"] > 0, misfit.cell_of_run, -1)
    for again in resampled(misfit, point, "runs", 20, np.random.default_rng(0)):
        assert again.weight.sum() == misfit.weight.sum()
        for level in (-1, 0, 1):
            assert again.weight[cell == level].sum() == (cell == level).sum()


@pytest.mark.parametrize("kind", ["residual", "runs"])
def test_draws_spread_as_estimates_of_new_sweeps_do(kind):
    truth = TRUTH["language", "unstructured"]
    cell = ("language", "unstructured", "scratch", truth, [1e6, 8e6, 6.4e7], [5e8, 4e9, 3.2e10], [0, 0.5, 0.75, 0.9], 0)
    sweeps = [point_fit(simulate([cell], noise=0.004, seed=seed), starts=2) for seed in range(30)]
    asked = [NEW | {"nonzero_params": 1e8}]
    spread = np.std([np.log(point.predict(asked).item()) for point in sweeps])
    found = [float(np.log(p.predict(asked, p.bootstrap(40, kind=kind))).std()) for p in sweeps[:3]]
    assert 0.6 < np.median(found) / spread < 1.7


def test_new_runs_are_wider_by_a_residual(two, draws):
    rows = [NEW | {"run_id": str(i)} for i in range(40)]
    mean, new = two.predict(rows, draws), two.predict(rows, draws, "new-run", seed=1)
    assert mean.dims == new.dims == ("draw", "run")
    noise = np.log(new / mean)
    used = np.log([row["loss"] for row in two_modalities() if row["modality"] == "language"])
    residual = used - np.log(two.predict([row for row in two_modalities() if row["modality"] == "language"]))
    widened = np.sqrt(len(used) / (len(used) - 9))
    nearest = np.abs(noise.to_numpy().ravel()[:, None] - widened * residual.to_numpy()).min(axis=1)
    assert nearest.max() < 1e-9
    assert abs(np.corrcoef(noise.isel(run=0), noise.isel(run=1))[0, 1]) < 0.5
    xr.testing.assert_identical(new, two.predict(rows, draws, "new-run", seed=1))
    assert (new != two.predict(rows, draws, "new-run", seed=2)).mean() > 0.9


def test_intervals(two, draws):
    rows = [NEW | {"run_id": "asked"}, NEW | {"run_id": "larger", "nonzero_params": 1e10}]
    found = two.intervals(rows, draws)
    assert found.attrs["prob"] == PROB
    assert found.attrs["kind"] == "new-run"
    loss = two.predict(rows, draws, "new-run")
    np.testing.assert_allclose(found["lower"], loss.quantile((1 - PROB) / 2, "draw"))
    np.testing.assert_allclose(found["median"], loss.median("draw"))
    np.testing.assert_allclose(found["upper"], loss.quantile((1 + PROB) / 2, "draw"))
    mean = two.intervals(rows, draws, "mean", prob=0.5)
    assert mean.attrs["prob"] == 0.5
    assert ((mean["upper"] - mean["lower"]) < (found["upper"] - found["lower"])).all()


def test_residuals_of_losses_are_added_to_losses():
    rows = one_modality()
    point = point_fit(rows, on="loss")
    new = point.predict([NEW], draws := point.bootstrap(30), "new-run")
    noise = (new - point.predict([NEW], draws)).to_numpy().ravel()
    residual = np.array([row["loss"] for row in rows]) - point.predict(rows).to_numpy()
    widened = residual * np.sqrt(36 / (36 - 7))
    assert np.abs(noise[:, None] - widened).min(axis=1).max() < 1e-9


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"draws": 0}, r"draws is 0.*at least 1"),
        ({"seed": -1}, r"seed is -1"),
        ({"kind": "wild"}, r"kind is 'wild'; it is one of runs, residual"),
    ],
)
def test_bootstraps_out_of_range(two, settings, words):
    with pytest.raises(InputError, match=words):
        two.bootstrap(**settings)
