import numpy as np
import pytest
import xarray as xr
from artists import bands, drawn, errorbars, hatches, legend_labels, medians, words

import bayes_scaling as bs


def test_the_curve_is_what_dense_equivalent_answers(simulated):
    figure = drawn(bs.plot_dense_equivalent(simulated, prob=0.8))
    for ax, modality in zip(figure.axes, ("language", "vision"), strict=True):
        ((x, lower, upper),), ((middle, _),) = bands(ax), medians(ax)
        at = xr.DataArray(x, dims="x")
        draws = bs.dense_equivalent(simulated, at, modality, "unstructured")
        ends = draws.quantile([0.1, 0.5, 0.9], ("chain", "draw")).to_numpy()
        np.testing.assert_allclose([lower, middle, upper], ends, rtol=1e-9)
        centre, low, high = errorbars(ax)
        pattern = bs.dense_equivalent(simulated, 0.5, modality, "2:4").quantile([0.1, 0.5, 0.9], ("chain", "draw"))
        assert centre[0, 0] == 0.5
        np.testing.assert_allclose([low[0, 1], centre[0, 1], high[0, 1]], pattern.to_numpy(), rtol=1e-9)
    assert "80% interval" in words(figure)
    assert "×" in figure.axes[0].get_ylabel()


def test_a_pair_without_runs_says_so(simulated):
    language, vision = drawn(bs.plot_dense_equivalent(simulated)).axes
    assert sorted(legend_labels(language)) == ["2:4", "unstructured"]
    assert sorted(legend_labels(vision)) == ["2:4 (no runs)", "unstructured"]


def test_sparsities_beyond_the_runs_are_hatched(simulated):
    for ax, largest in zip(drawn(bs.plot_dense_equivalent(simulated, 0.99)).axes, (0.875, 0.9), strict=True):
        ((x, *_),), ((_, solid),), ((hatched, *_),) = bands(ax), medians(ax), hatches(ax)
        assert x.max() == pytest.approx(0.99)
        np.testing.assert_array_equal(np.isfinite(solid), x <= largest + 1e-3)
        assert hatched.max() == x.max()


def test_what_is_wrong_is_said(single, of_law):
    with pytest.raises(bs.InputError, match="max_sparsity is 1"):
        bs.plot_dense_equivalent(single, 1)
    with pytest.raises(bs.InputError, match="audio"):
        bs.plot_dense_equivalent(single, modality="audio")
    with pytest.raises(bs.InputError, match="law 'kaplan' is about dense models and has no sparsity axis"):
        bs.plot_dense_equivalent(of_law("kaplan"))
