from dataclasses import replace

import numpy as np
import pytest
from artists import drawn, errorbars, words

import bayes_scaling as bs


def test_intervals_and_their_count(held_out):
    figure = drawn(bs.plot_coverage(held_out))
    rows = np.reshape(figure.axes, (2, 3))
    for row, modality in zip(rows, ("language", "vision"), strict=True):
        for ax, source in zip(row, ("posterior", "bootstrap"), strict=False):
            score = held_out.score(source, modality)
            hits = round(score.coverage * score.runs)
            assert ax.get_title().startswith(f"{source}: {hits} of {score.runs} inside")
            inside, outside = ax.containers
            assert len(np.atleast_1d(inside.lines[0].get_xdata())) == hits
            assert inside.lines[0].get_color() != outside.lines[0].get_color()
            assert inside.lines[0].get_marker() != outside.lines[0].get_marker()
            here = held_out.predictions.sel(predicted_by=source)
            here = here.isel(run=np.flatnonzero((here["modality"] == modality).to_numpy()))
            here = here.isel(run=np.argsort(here["observed"].to_numpy()))
            centre, low, high = errorbars(ax)
            order = np.argsort(centre[:, 0])
            for shown, name in ((centre, "median"), (low, "lower"), (high, "upper")):
                off = 100 * np.expm1(here[name] - here["observed"]).to_numpy()
                np.testing.assert_allclose(shown[order, 1], off, atol=1e-9)
    assert "89% intervals" in figure.get_suptitle()
    assert "the largest level of nonzero_params" in figure.get_suptitle()


def test_farthest_beyond_is_said(held_out):
    figure = drawn(bs.plot_coverage(held_out))
    nats = held_out.beyond["language"]["nonzero_params"]
    assert nats > 1
    assert f"up to {np.exp(nats):.3g}× beyond the runs kept in nonzero_params" in words(figure).replace("\n", " ")


def test_the_share_inside_at_every_probability(held_out):
    ax = drawn(bs.plot_coverage(held_out)).axes[2]
    pit = held_out.predictions["pit"].sel(predicted_by="posterior")
    pit = pit.to_numpy()[(held_out.predictions["modality"] == "language").to_numpy()]
    (step,) = [line for line in ax.lines if line.get_label() == "posterior"]
    x, y = step.get_data()
    for prob in (0.31037, 0.52113, 0.89007):  # between the steps
        inside = (pit >= (1 - prob) / 2) & (pit <= (1 + prob) / 2)
        assert y[np.searchsorted(x, prob, side="right") - 1] == pytest.approx(inside.mean())


def test_runs_without_an_answer_are_not_counted(held_out):
    """The bootstrap has none for a structure that no run kept had."""
    predictions = held_out.predictions.copy(deep=True)
    for name in ("median", "lower", "upper", "pit"):
        predictions[name].loc[{"predicted_by": "bootstrap"}] = np.nan
    ax = drawn(bs.plot_coverage(replace(held_out, predictions=predictions))).axes[1]
    assert ax.get_title() == "bootstrap: 0 of 0 inside"


def test_what_is_no_result_is_refused():
    with pytest.raises(bs.InputError, match=r"dict; it comes from bayes_scaling\.holdout"):
        bs.plot_coverage({})
