import numpy as np
import pytest
from scipy import stats

from bayes_scaling.validate.scores import bias, coverage, crps, interval_score, log_score, pit, width

OBSERVED = np.array([0.0, 1.0, 2.0])
LOWER, UPPER = np.array([-1.0, 1.5, 0.0]), np.array([1.0, 3.5, 1.5])


def test_intervals_that_hold_and_miss():
    np.testing.assert_array_equal(coverage(OBSERVED, LOWER, UPPER), [1, 0, 0])
    np.testing.assert_array_equal(coverage(LOWER, LOWER, UPPER), [1, 1, 1])
    np.testing.assert_allclose(width(LOWER, UPPER), [2, 2, 1.5])
    np.testing.assert_allclose(bias(OBSERVED, np.array([0.5, 0.5, 2.0])), [0.5, -0.5, 0])
    # Each miss is half a unit; with 80 % the penalty is ten times the distance.
    np.testing.assert_allclose(interval_score(OBSERVED, LOWER, UPPER, 0.8), [2, 2 + 5, 1.5 + 5])


def test_the_true_quantiles_have_the_least_interval_score():
    observed = np.random.default_rng(0).standard_normal(20_000)
    true = stats.norm.ppf(0.945)

    def mean_score(half):
        return interval_score(observed, np.full(20_000, -half), np.full(20_000, half), 0.89).mean()

    assert mean_score(true) < min(mean_score(0.8 * true), mean_score(1.25 * true))


def test_crps_of_a_normal_prediction():
    z, sd = np.array([-2.0, 0.0, 0.7]), 0.3
    draws = sd * stats.norm.ppf((np.arange(40_000) + 0.5) / 40_000)[:, None]
    # Gneiting and Raftery (2007), Eq. 22
    known = sd * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    np.testing.assert_allclose(crps(sd * z, draws + np.zeros(3)), known, rtol=1e-3)


def test_crps_counts_pairs_of_different_draws():
    rng = np.random.default_rng(1)
    draws, observed = rng.standard_normal((7, 4)), rng.standard_normal(4)
    apart = np.abs(draws[:, None] - draws[None, :]).sum(axis=(0, 1)) / (7 * 6)
    np.testing.assert_allclose(crps(observed, draws), np.abs(draws - observed).mean(axis=0) - apart / 2)


def test_crps_does_not_depend_on_the_number_of_draws():
    rng = np.random.default_rng(2)
    few = crps(np.full(40_000, 0.5), rng.standard_normal((2, 40_000)))
    many = crps(np.full(1, 0.5), rng.standard_normal((400_000, 1)))
    assert few.mean() == pytest.approx(many[0], abs=4 * few.std() / 200)
    assert few.std() / 200 < 0.01  # so that the biased estimator, off by a quarter of E|X - X'|, would fail


def test_crps_of_certainty_is_the_absolute_error():
    np.testing.assert_allclose(crps(OBSERVED, np.tile([0.5, 1.0, 1.0], (5, 1))), [0.5, 0, 1])


def test_pit():
    draws = np.array([[0.0], [1.0], [1.0], [3.0]]) + np.zeros(3)
    np.testing.assert_allclose(pit(np.array([-1.0, 1.0, 2.0]), draws), [0, 0.5, 0.75])


def test_pit_is_uniform_for_the_true_prediction():
    rng = np.random.default_rng(3)
    found = pit(rng.standard_normal(2000), rng.standard_normal((500, 2000)))
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_log_score_is_that_of_the_mean_density():
    """A normal mean with normal noise: draws of the mean predict with a wider normal density."""
    rng = np.random.default_rng(4)
    observed = np.array([-1.0, 0.0, 3.0])
    mean = rng.normal(0.2, 0.6, (200_000, 1))
    found = log_score(stats.norm.logpdf(observed, mean, 0.8))
    np.testing.assert_allclose(found, stats.norm.logpdf(observed, 0.2, 1.0), atol=0.03)
    np.testing.assert_allclose(log_score(np.full((3, 2), -2000.0)), -2000.0)  # where densities are too small for floats


def test_the_true_prediction_has_the_best_log_score():
    rng = np.random.default_rng(5)
    observed = rng.standard_t(4, 20_000)

    def mean_score(scale):
        return log_score(stats.t.logpdf(observed, 4, 0.0, scale)[None]).mean()

    assert mean_score(1.0) > max(mean_score(0.8), mean_score(1.25))
