import numpy as np
import pytest
from scipy.stats import multivariate_normal

from bayes_scaling.curve import forms
from bayes_scaling.curve.drift import covariance, paths
from bayes_scaling.curve.table import Curve
from bayes_scaling.curve.target import Target, log_normal


@pytest.fixture
def target():
    """Twelve points, of which the last count more."""
    rng = np.random.default_rng(3)
    log_x = np.sort(rng.uniform(10, 15, 12))
    log_loss = 0.4 - 0.2 * (log_x - 10) + 0.02 * rng.standard_normal(12)
    return Target(Curve("one", log_x, log_loss, np.linspace(1, 0.2, 12)), forms.get("M2"))


POINT = np.array([[-0.6, -1.6, -0.5, -4.0, -3.0], [-0.55, -1.8, 0.5, -3.5, -2.0]])


def moments(target, i):
    drawn = target.natural(POINT)
    at = target.curve.log_x - target.curve.log_x[-1]
    spread = covariance(at, at) * drawn["drift"][i] ** 2
    return spread + np.diag(target.curve.variance * drawn["noise"][i] ** 2)


def test_the_rotated_likelihood_is_the_multivariate_normal(target):
    drawn = target.natural(POINT)
    for i in range(2):
        own = {name: drawn[name][i] for name in ("level", "slope", "floor_share")}
        mean = target.form.log_loss(target.curve.log_x - target.curve.log_x[-1], **own)
        expected = multivariate_normal(mean, moments(target, i)).logpdf(target.curve.log_loss)
        expected += log_normal(POINT, target.prior_mean, target.prior_sd)[i]
        assert target(POINT)[i] == pytest.approx(expected, rel=1e-10)


def test_forecasts_are_the_conditional_normal(target):
    ahead = np.array([target.curve.log_x[4] + 0.01, 15.5, 16.2])
    drawn = target.natural(POINT)
    mean, variance = target.mean_and_variance(drawn, ahead)
    at = target.curve.log_x - target.curve.log_x[-1]
    beyond = ahead - target.curve.log_x[-1]
    for i in range(2):
        own = {name: drawn[name][i] for name in ("level", "slope", "floor_share")}
        gap = target.curve.log_loss - target.form.log_loss(target.curve.log_x - target.curve.log_x[-1], **own)
        cross = covariance(beyond, at) * drawn["drift"][i] ** 2
        solved = np.linalg.solve(moments(target, i), np.column_stack([gap, cross.T]))
        form = target.form.log_loss(ahead - target.curve.log_x[-1], **own)
        np.testing.assert_allclose(mean[i], form + cross @ solved[:, 0], rtol=1e-9)
        prior = covariance(beyond, beyond) * drawn["drift"][i] ** 2
        np.testing.assert_allclose(variance[i], np.diag(prior - cross @ solved[:, 1:]), rtol=1e-6, atol=1e-12)


def test_joint_draws_have_the_moments_of_the_forecast(target):
    ahead = np.array([15.5, 14.0, 16.2])
    one = {name: np.repeat(values[:1], 20_000) for name, values in target.natural(POINT).items()}
    drawn = target.draw(one, ahead, np.random.default_rng(0))
    mean, variance = target.mean_and_variance({name: values[:1] for name, values in one.items()}, ahead)
    np.testing.assert_allclose(drawn.mean(axis=0), mean[0], atol=5 * np.sqrt(variance[0].max() / 20_000))
    np.testing.assert_allclose(drawn.std(axis=0), np.sqrt(variance[0]), rtol=0.03)
    assert np.corrcoef(drawn[:, 0], drawn[:, 2])[0, 1] > 0.5


def test_paths_have_the_covariance_of_the_process():
    at = np.array([0.7, 0.0, 2.0, 0.7, 1.1, -0.4, -1.3])
    drawn = paths(at, 40_000, np.random.default_rng(1))
    np.testing.assert_allclose(np.cov(drawn.T), covariance(at, at), rtol=0.05, atol=0.01)
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 3])
    np.testing.assert_array_equal(drawn[:, 1], 0)
    assert covariance(np.array([-1.5]), np.array([-1.5]))[0, 0] == pytest.approx(1.5**3 / 3)
    assert covariance(np.array([-1.5]), np.array([0.5]))[0, 0] == 0
