import numpy as np
import pytest
from artists import drawn, errorbars, legend_labels

import bayes_scaling as bs


def test_measured_against_predicted(simulated):
    figure = drawn(bs.plot_measured(simulated, prob=0.8))
    assert len(figure.axes) == 2
    runs = simulated["constant_data"].to_dataset()
    measured = np.exp(simulated["observed_data"]["log_loss"].to_numpy())
    draws = np.exp(simulated["posterior_predictive"]["log_loss"].to_numpy())
    lower, median, upper = np.quantile(draws, [0.1, 0.5, 0.9], axis=(0, 1))
    for ax, modality in zip(figure.axes, ("language", "vision"), strict=True):
        mine = (runs["modality"] == modality).to_numpy()
        inside = ((measured >= lower) & (measured <= upper))[mine].sum()
        assert ax.get_title().startswith(f"{modality}: {inside} of {mine.sum()} fitted runs")
        assert "unit" in ax.get_xlabel()
        centre, low, high = errorbars(ax)
        order = np.argsort(centre[:, 0])
        expected = np.argsort(measured[mine])
        np.testing.assert_allclose(centre[order, 0], measured[mine][expected])
        for shown, values in ((centre, median), (low, lower), (high, upper)):
            np.testing.assert_allclose(shown[order, 1], values[mine][expected], rtol=1e-9)
        assert set(legend_labels(ax)) == {"dense", "unstructured"} | ({"2:4"} if modality == "language" else set())
    assert "80%" in figure.axes[0].get_ylabel()


def test_structures_look_the_same_in_every_panel_and_differ_in_marker_and_colour(simulated):
    looks = {}
    for ax in drawn(bs.plot_measured(simulated)).axes:
        for bars in ax.containers:
            line = bars.lines[0]
            looks.setdefault(bars.get_label(), set()).add((line.get_color(), line.get_marker()))
    assert all(len(each) == 1 for each in looks.values())
    colours, markers = zip(*(next(iter(each)) for each in looks.values()), strict=True)
    assert len(set(colours)) == len(set(markers)) == 3


def test_wider_intervals_are_wider(single):
    def width(prob):
        (ax,) = bs.plot_measured(single, prob=prob).axes
        _, low, high = errorbars(ax)
        return np.mean(high[:, 1] - low[:, 1])

    assert width(0.95) > 1.3 * width(0.5)


def test_a_posterior_without_predictions_is_refused(single):
    other = single.copy()
    del other["posterior_predictive"]
    with pytest.raises(bs.InputError, match=r"posterior_predictive.*plot_measured"):
        bs.plot_measured(other)
