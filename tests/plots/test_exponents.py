import arviz as az
import numpy as np
import pytest
from artists import drawn, words

import bayes_scaling as bs


@pytest.mark.parametrize("name", ["simulated", "single"])
def test_exponents(request, name):
    posterior = request.getfixturevalue(name)
    forest = bs.plot_exponents(posterior, prob=0.8)
    figure = drawn(forest)
    for quantity in ("b_N", "b_D", "b_S", "b_N_population"):
        assert quantity in words(figure)
    assert "40% and 80%" in figure.get_suptitle()
    # ArviZ marks medians and intervals; they are the posterior's
    for quantity in ("b_N", "b_D"):
        draws = posterior["posterior"][quantity]
        markers = forest.viz["point_estimate"][quantity].to_numpy().ravel()
        at = np.sort([float(np.ravel(marker.get_offsets())[0]) for marker in markers])
        np.testing.assert_allclose(at, np.sort(draws.median(("chain", "draw")).to_numpy()), rtol=1e-6)
        twigs = np.array([line.get_xdata() for line in forest.viz["twig"][quantity].to_numpy().ravel()])
        ends = draws.to_dataset().quantile([0.1, 0.9], ("chain", "draw"))[quantity].to_numpy().T
        np.testing.assert_allclose(np.sort(twigs, axis=0), np.sort(ends, axis=0), rtol=1e-6)


def test_a_forest_is_a_picture_of_arviz(single, tmp_path):
    forest = bs.plot_exponents(single, figure_kwargs={"figsize": (5, 3)})
    forest.savefig(tmp_path / "forest.png")
    assert (tmp_path / "forest.png").stat().st_size > 5000
    assert drawn(forest).get_size_inches().tolist() == [5, 3]
    assert bs.plot_exponents(single, backend="none").viz["twig"]["b_N"].sizes == {"modality": 1}


def test_what_some_draws_lack_is_left_out(of_law):
    """Draws of a mixture that come from a law without k have no population of it."""
    text = words(drawn(bs.plot_exponents(of_law("sparse+coupled"))))
    assert "k" in text.split()
    assert "k_population" not in text
    assert "b_N_population" in text


def wider(posterior, factor=1.5):
    """The posterior with more spread between groups and draws, as without pooling."""
    other = posterior.copy(deep=True)
    draws = other["posterior"].to_dataset()
    for name in ("b_N", "b_D", "b_S"):
        middle = draws[name].median()
        draws = draws.assign({name: middle * (draws[name] / middle) ** factor})
    other["posterior"] = draws
    return other


def lines_of(ax, colour):
    """Ends of each interval of that colour, and its marker, from the top down."""
    mine = sorted((line for line in ax.lines if line.get_color() == colour), key=lambda line: line.get_ydata()[0])
    ends = [line.get_xdata() for line in mine if len(line.get_xdata()) == 2]
    marks = [line.get_xdata()[0] for line in mine if len(line.get_xdata()) == 1]
    return np.array(ends), np.array(marks)


def test_shrinkage_shows_both_posteriors_and_the_population(simulated):
    free = wider(simulated)
    figure = drawn(bs.plot_shrinkage(simulated, free, prob=0.8))
    assert [ax.get_title() for ax in figure.axes] == ["b_S", "b_N", "b_D"]
    for ax in figure.axes:
        name = ax.get_title()
        for posterior, colour in ((free, "#D55E00"), (simulated, "#0072B2")):
            draws = posterior["posterior"].to_dataset()[name]
            quantiles = draws.quantile([0.1, 0.5, 0.9], ("chain", "draw")).to_numpy().reshape(3, -1)
            ends, marks = lines_of(ax, colour)
            np.testing.assert_allclose(ends, quantiles[[0, 2]].T)
            np.testing.assert_allclose(marks, quantiles[1])
        (band,) = ax.patches
        population = simulated["posterior"].to_dataset()[f"{name}_population"].quantile([0.1, 0.9]).to_numpy()
        assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx(tuple(population))
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == ["language", "vision"]
    assert "unpooled, 80% interval" in words(figure)
    assert "exponent of" in figure.axes[1].get_xlabel()


def test_shrinkage_needs_two_posteriors_of_the_same(simulated, single, of_law):
    assert len(drawn(bs.plot_shrinkage(simulated, single)).axes) == 3  # of what they share
    with pytest.raises(bs.InputError, match="'sparse' and unpooled of 'coupled'"):
        bs.plot_shrinkage(simulated, of_law("coupled"))
    other = single.copy()
    for group in ("posterior", "unseen_structure"):
        other[group] = single[group].to_dataset().assign_coords(modality=["audio"])
    with pytest.raises(bs.InputError, match="share no group"):
        bs.plot_shrinkage(simulated, other)


def test_the_library_s_own_settings_are_left_alone(single):
    before = dict(az.rcParams)
    bs.plot_exponents(single)
    bs.plot_prior_posterior(single)
    assert dict(az.rcParams) == before
