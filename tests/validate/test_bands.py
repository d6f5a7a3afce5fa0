import numpy as np
import pytest
from scipy import stats

from bayes_scaling.validate.bands import band, deviation, p_value


@pytest.mark.parametrize("count", [10, 37, 200])
def test_uniform_samples_leave_the_band_as_often_as_it_says(count):
    rng = np.random.default_rng(count)
    found = np.array([p_value(rng.random(count)) for _ in range(1000)])
    for level in (0.05, 0.3):
        # Counts are whole numbers, so the level may be missed from below, and must not be exceeded.
        share = (found < level).mean()
        assert share < level + 4 * np.sqrt(level / 1000)
        assert share > level / 2 - 4 * np.sqrt(level / 1000)


@pytest.mark.parametrize("prob", [0.9, 0.999])
def test_p_value_and_band_agree(prob):
    points, lower, upper = band(60, prob)
    rng = np.random.default_rng(0)
    outside = 0
    for power in np.repeat([1.0, 1.5, 2.5], 40):
        values = rng.random(60) ** power
        ecdf = np.searchsorted(np.sort(values), points, side="right") / 60
        leaves = bool(((ecdf < lower - 1e-9) | (ecdf > upper + 1e-9)).any())
        assert leaves == (p_value(values) <= 1 - prob)
        outside += leaves
    assert 20 < outside < 100


def test_two_points_by_hand():
    """Of two numbers, none, one or both are below a half, with probabilities 1/4, 1/2 and 1/4."""
    assert p_value(np.array([0.2, 0.7])) == pytest.approx(1.0)
    assert p_value(np.array([0.2, 0.3])) == pytest.approx(0.5)
    assert p_value(np.array([0.8, 0.9])) == pytest.approx(0.5)


def test_bands_are_those_of_arviz():
    """Which simulates them, and rounds the upper bound up: one count more or less is all that may differ."""
    from arviz_stats.ecdf_utils import ecdf_pit

    points, lower, upper = band(80, 0.95)
    theirs, _, below, above = ecdf_pit(np.random.default_rng(0).random(80), 0.95, 2000)
    np.testing.assert_allclose(points, theirs[1:-1])
    assert np.abs(lower - below[1:-1]).max() <= 1 / 80 + 1e-12
    assert np.abs(upper - above[1:-1]).max() <= 1 / 80 + 1e-12


def test_band_holds_its_probability():
    points, lower, upper = band(50, 0.9)
    values = np.sort(np.random.default_rng(1).random((4000, 50)), axis=1)
    ecdf = np.stack([np.searchsorted(row, points, side="right") for row in values]) / 50
    stays = ((ecdf >= lower - 1e-9) & (ecdf <= upper + 1e-9)).all(axis=1).mean()
    assert 0.9 - 0.02 < stays < 0.95


def test_what_a_wrong_posterior_does_to_ranks():
    """Draws half as wide as they should be, and draws that lie too high, are found with 200 ranks; good ones pass."""
    truth = np.random.default_rng(2).standard_normal(200)
    assert p_value(stats.norm.cdf(truth)) > 0.05
    assert p_value(stats.norm.cdf(2 * truth)) < 1e-6
    assert p_value(stats.norm.cdf(truth - 0.5)) < 1e-4
    assert deviation(stats.norm.cdf(truth - 0.5)) > 0.1
    assert deviation(stats.norm.cdf(truth + 0.5)) < -0.1


def test_deviation_is_the_kolmogorov_smirnov_distance():
    values = np.random.default_rng(3).random(31)
    assert abs(deviation(values)) == pytest.approx(stats.kstest(values, "uniform").statistic)
