import numpy as np
import pytest
from artists import bands, drawn, words

import bayes_scaling as bs


def test_prior_predictive(simulated):
    figure = drawn(bs.plot_prior_predictive(simulated, prob=0.8))
    assert [ax.get_title() for ax in figure.axes] == ["language", "vision"]
    for ax in figure.axes:
        assert ax.get_xlabel()
        assert "loss" in ax.get_ylabel()
        (x, low, high), (x_inner, low_inner, high_inner) = bands(ax)
        np.testing.assert_array_equal(x, x_inner)
        assert ((low <= low_inner) & (low_inner <= high_inner) & (high_inner <= high)).all()
        labels = [t.get_text() for t in ax.get_legend().get_texts()]
        assert any("0.8" in label for label in labels)
        # the runs lie well inside what the priors allow
        points = next(line for line in ax.lines if line.get_marker() == ".")
        y = points.get_ydata()
        assert ((y > low.min()) & (y < high.max())).all()


def test_prior_against_posterior(simulated):
    picture = bs.plot_prior_posterior(simulated, prob=0.8)
    figure = drawn(picture)
    assert "80%" in figure.get_suptitle()
    assert {"prior", "posterior"} <= set(words(figure).split())
    assert set(picture.viz["credible_interval"].data_vars) == {"b_S", "b_N", "b_D"}
    # ArviZ thins the posterior to as many draws as the prior has; the intervals are of all draws
    for group in ("prior", "posterior"):
        ends = simulated[group].to_dataset()["b_N"].quantile([0.1, 0.9], ("chain", "draw"))
        for modality in ("language", "vision"):
            line = picture.viz["credible_interval"]["b_N"].sel(modality=modality, group=group).item()
            np.testing.assert_allclose(line.get_xdata(), ends.sel(modality=modality))
    density = {
        group: picture.viz["dist"]["b_N"].sel(modality="vision", group=group).item() for group in ("prior", "posterior")
    }
    middle = float(simulated["posterior"]["b_N"].sel(modality="vision").median())
    peak = density["posterior"].get_xdata()[np.argmax(density["posterior"].get_ydata())]
    assert peak == pytest.approx(middle, rel=0.05)
    assert density["posterior"].get_ydata().max() > 3 * density["prior"].get_ydata().max()


def test_long_tails_of_the_prior_leave_room_for_the_posterior(simulated):
    picture = bs.plot_prior_posterior(simulated, "b_D")
    for modality in ("language", "vision"):
        left, right = picture.viz["plot"]["b_D"].sel(modality=modality).item().get_xlim()
        draws = {group: simulated[group].to_dataset()["b_D"].sel(modality=modality) for group in ("prior", "posterior")}
        assert right < float(draws["prior"].max())
        assert left < float(draws["posterior"].min())
        assert right > float(draws["posterior"].max())


def test_quantities_may_be_named(single):
    assert set(bs.plot_prior_posterior(single, ["c", "a_D"]).viz["dist"].data_vars) == {"c", "a_D"}
    with pytest.raises(bs.InputError, match=r"'alpha'.*b_N"):
        bs.plot_prior_posterior(single, "alpha")
    other = single.copy()
    del other["prior"]
    for plot in (bs.plot_prior_posterior, bs.plot_prior_predictive):
        with pytest.raises(bs.InputError, match=f"'prior', which {plot.__name__} needs"):
            plot(other)


def test_facets_and_backends_are_arviz_s(simulated):
    picture = bs.plot_prior_posterior(simulated, "b_N", col_wrap=1)
    boxes = [ax.get_position() for ax in drawn(picture).axes]
    assert boxes[0].x0 == pytest.approx(boxes[1].x0)
    assert bs.plot_prior_posterior(simulated, "b_N", backend="none").viz["dist"]["b_N"].sizes["group"] == 2
