import numpy as np
import pytest
from artists import drawn, points, words

import bayes_scaling as bs
from bayes_scaling.notes import Note, write_notes


def test_residuals_are_measured_over_expected_losses(simulated):
    figure = drawn(bs.plot_residuals(simulated, prob=0.8))
    assert len(figure.axes) == 6
    table = simulated["runs"].to_dataset()
    expected = bs.predict(simulated, table).median(("chain", "draw")).to_numpy()
    off = 100 * (table["loss"].to_numpy() / expected - 1)
    replicated = simulated["posterior_predictive"]["log_loss"].to_numpy() - np.log(expected)
    for row, modality in zip(np.reshape(figure.axes, (2, 3)), ("language", "vision"), strict=True):
        mine = (table["modality"] == modality).to_numpy()
        low, high = 100 * np.expm1(np.quantile(replicated[:, :, mine], [0.1, 0.9]))
        for ax, column in zip(row, ("nonzero_params", "data_seen", "sparsity"), strict=True):
            found = points(ax)
            wanted = np.column_stack([table[column].to_numpy()[mine], off[mine]])
            np.testing.assert_allclose(found[np.lexsort(found.T)], wanted[np.lexsort(wanted.T)], rtol=1e-8)
            (band,) = ax.patches
            assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((low, high))
            (means,) = [line for line in ax.lines if line.get_marker() == "_"]
            levels = np.unique(wanted[:, 0])
            np.testing.assert_allclose(means.get_xdata(), levels, rtol=1e-6)
            at = [off[mine][wanted[:, 0] == level].mean() for level in levels]
            np.testing.assert_allclose(means.get_ydata(), at, rtol=1e-6)
        inside = ((off[mine] >= low) & (off[mine] <= high)).sum()
        assert row[0].get_title("left") == f"{inside} of {mine.sum()} inside"
        assert modality in row[0].get_ylabel()
    assert "80% of new runs" in words(figure)
    assert "tokens" in figure.axes[1].get_xlabel()
    assert "examples" in figure.axes[4].get_xlabel()


def test_a_trend_that_was_noted_is_marked(single):
    other = single.copy()
    other.attrs = dict(single.attrs)
    about = {"modality": "language", "column": "data_seen"}
    write_notes(other.attrs, [Note("residual_trend", "warning", "The law misses the runs.", about)])
    titles = [ax.get_title() for ax in drawn(bs.plot_residuals(other)).axes]
    assert titles == ["", "the law misses this trend", ""]


def test_runs_that_diverged_have_no_residual(single):
    """They stay in the posterior's table of runs."""
    other = single.copy(deep=True)
    table = other["runs"].to_dataset()
    extra = table.isel(run=[0]).assign_coords(run_id=("run", ["lost"])).assign(loss=("run", [np.nan]))
    import xarray as xr

    other["runs"] = xr.DataTree(xr.concat([extra, table], "run"))
    figure = drawn(bs.plot_residuals(other, "nonzero_params"))
    np.testing.assert_allclose(
        points(figure.axes[0]), points(drawn(bs.plot_residuals(single, "nonzero_params")).axes[0])
    )


def test_axes_are_checked(single, of_law):
    with pytest.raises(bs.InputError, match=r"'tokens'; the axes are nonzero_params, data_seen, sparsity"):
        bs.plot_residuals(single, "tokens")
    with pytest.raises(bs.InputError, match="law 'dense' has no sparsity axis"):
        bs.plot_residuals(of_law("dense"), "sparsity")
    with pytest.raises(bs.InputError, match="audio"):
        bs.plot_residuals(single, modality="audio")
