import numpy as np
import pytest
from artists import drawn, points, words

import bayes_scaling as bs


def test_picks_are_at_their_sizes_and_data(picked, single):
    figure = drawn(bs.plot_next_runs(picked, single))
    plane, told = figure.axes[0], figure.axes[1]
    runs = picked.runs
    assert runs.sizes["run"] > 1
    cloud = np.concatenate([c.get_offsets() for c in plane.collections if c.get_array() is not None])
    wanted = np.column_stack([runs["nonzero_params"], runs["data_seen"]])
    np.testing.assert_allclose(cloud[np.lexsort(cloud.T)], wanted[np.lexsort(wanted.T)])
    shades = np.concatenate([c.get_array() for c in plane.collections if c.get_array() is not None])
    np.testing.assert_allclose(np.sort(shades), np.sort(runs["sparsity"]))
    ranks = {rank for text in plane.texts for rank in text.get_text().split(", ")}
    assert ranks == {str(rank) for rank in runs["rank"].to_numpy()}
    trained = points(plane, ".")
    assert len(trained) == single["constant_data"].sizes["run"]
    assert (plane.get_xlabel(), plane.get_ylabel()) == ("non-zero parameters", "training data (tokens)")
    step = told.lines[0]
    np.testing.assert_allclose(step.get_xdata(), [0, *runs["cumulative_flops"].to_numpy()])
    np.testing.assert_allclose(step.get_ydata(), [picked.before, *runs["after"].to_numpy()])
    assert "89%" in told.get_title()


def test_runs_beyond_those_trained_have_a_ring(picked):
    plane = drawn(bs.plot_next_runs(picked)).axes[0]
    (rings,) = [c for c in plane.collections if c.get_array() is None]
    far = np.array([max(each.values()) > 1e-3 for each in picked.extrapolation])
    assert far.any()
    at = np.column_stack([picked.runs["nonzero_params"], picked.runs["data_seen"]])[far]
    np.testing.assert_allclose(rings.get_offsets(), at)
    assert "beyond the runs" in words(plane.figure)


def test_a_table_without_runs_says_why(single):
    none = bs.next_runs(single, {"nonzero_params": 1e9, "data_seen": 1e12, "sparsity": 0}, 1.0)
    with pytest.raises(bs.InputError, match=r"no runs to draw: No candidate fits the budget"):
        bs.plot_next_runs(none)
    with pytest.raises(bs.InputError, match=r"dict; it comes from bayes_scaling\.next_runs"):
        bs.plot_next_runs({})
