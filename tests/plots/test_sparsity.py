import numpy as np
import pytest
from artists import bands, drawn, hatches, legend_labels, medians

import bayes_scaling as bs
from bayes_scaling.display import count


def test_optimal_sparsity_of_one_modality(simulated):
    (ax,) = drawn(bs.plot_optimal_sparsity(simulated, modality="vision", structure="unstructured")).axes
    assert legend_labels(ax) == ["vision"]
    runs = simulated["constant_data"].to_dataset()
    data = runs["data_seen"].to_numpy()[(runs["modality"] == "vision").to_numpy()]
    (band,) = bands(ax)
    assert band[0][[0, -1]] == pytest.approx(6 * 6.4e7 * np.array([data.min(), 10 * data.max()]))


def test_optimal_sparsity(simulated):
    budgets = np.geomspace(1e17, 1e21, 9)
    figure = drawn(bs.plot_optimal_sparsity(simulated, 1.6e7, budgets, prob=0.8))
    assert [ax.get_title() for ax in figure.axes] == ["unstructured", "2:4"]
    free, pattern = figure.axes
    for ax in figure.axes:
        assert "FLOP" in ax.get_xlabel()
        assert ax.get_ylabel()
        assert ax.get_xscale() == "log"
        assert set(legend_labels(ax)) == {"language", "vision"}
    best = bs.optimal_sparsity(simulated, 1.6e7, budgets, structure="unstructured")
    for (x, lower, upper), (median, _), modality in zip(
        bands(free), medians(free), ("language", "vision"), strict=True
    ):
        np.testing.assert_allclose(x, budgets)
        assert ((lower <= median) & (median <= upper)).all()
        draws = best.sel(modality=modality)
        np.testing.assert_allclose(lower, draws.quantile(0.1, ("chain", "draw")), atol=1e-9)
        np.testing.assert_allclose(upper, draws.quantile(0.9, ("chain", "draw")), atol=1e-9)
        np.testing.assert_allclose(median, draws.median(("chain", "draw")), atol=1e-9)
    for (chance, _), modality in zip(medians(pattern), ("language", "vision"), strict=True):
        worth = bs.optimal_sparsity(simulated, 1.6e7, budgets, modality, "2:4") > 0
        np.testing.assert_allclose(chance, worth.mean(("chain", "draw")))
    assert "80%" in free.get_ylabel()
    assert "2:4" in pattern.get_ylabel()


def test_budgets_beyond_the_runs_are_dashed_and_hatched(single):
    budgets = np.geomspace(6 * 6.4e7 * 5e8, 6 * 6.4e7 * 3.2e13, 30)
    (ax,) = drawn(bs.plot_optimal_sparsity(single, 6.4e7, budgets)).axes
    ((middle, solid),), ((hatched, *_),) = medians(ax), hatches(ax)
    data = budgets / (6 * 6.4e7 * bs.costs.get("gradual").multiplier(middle))
    inside = (data >= 5e8) & (data <= 3.2e10) & (middle <= 0.875)
    np.testing.assert_array_equal(np.isfinite(solid), inside)
    assert 3 < inside.sum() < 27
    assert hatched.max() == budgets.max()


def test_optimal_sparsity_of_one_structure_by_default_budgets(single):
    figure = drawn(bs.plot_optimal_sparsity(single, structure="unstructured", cost="dense"))
    (ax,) = figure.axes
    ((x, lower, upper),) = bands(ax)
    assert (np.diff(x) > 0).all()
    assert ((lower >= 0) & (upper < 1)).all()
    sizes = single["constant_data"]["nonzero_params"].to_numpy()
    assert count(sizes.max()) in figure.get_suptitle()


def test_a_dense_law_has_no_optimal_sparsity(of_law):
    with pytest.raises(bs.InputError, match="law 'dense' is about dense models and has no sparsity axis"):
        bs.plot_optimal_sparsity(of_law("dense"))
