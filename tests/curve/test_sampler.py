import itertools

import numpy as np
import pytest
from scipy.special import logsumexp

from bayes_scaling.curve import forms
from bayes_scaling.curve.sampler import sample
from bayes_scaling.curve.table import Curve
from bayes_scaling.curve.target import Target


def test_moments_and_evidence_agree_with_quadrature():
    rng = np.random.default_rng(2)
    log_x = np.linspace(10, 13, 15)
    curve = Curve("one", log_x, -0.25 * (log_x - 10) + 0.02 * rng.standard_normal(15), np.ones(15))
    target = Target(curve, forms.get("M1"))
    found = sample(target, target.prior_mean, target.prior_sd, draws=16_000, rng=np.random.default_rng(0))
    mean, sd = found.points.mean(axis=0), found.points.std(axis=0)
    wide, counts = [6, 10, 6, 6], [34, 60, 34, 34]  # with much drift, the slope may be far from where it mostly is
    axes = [np.linspace(m - w * s, m + w * s, n) for m, s, w, n in zip(mean, sd, wide, counts, strict=True)]
    density = np.concatenate(
        [
            target(np.array(list(itertools.product([level], axes[1], axes[2], axes[3]))))  # a slab at a time
            for level in axes[0]
        ]
    )
    log_cell = sum(np.log(axis[1] - axis[0]) for axis in axes)
    evidence = logsumexp(density) + log_cell
    weight = np.exp(density - logsumexp(density)).reshape(counts)
    for i, axis in enumerate(axes):
        marginal = weight.sum(axis=tuple(set(range(4)) - {i}))
        expected = marginal @ axis
        assert mean[i] == pytest.approx(expected, abs=0.15 * sd[i])
        assert sd[i] == pytest.approx(np.sqrt(marginal @ (axis - expected) ** 2), rel=0.12)
    assert found.log_evidence == pytest.approx(evidence, abs=0.1)
    assert found.khat < 0.7
    assert found.ess > 400


def test_two_modes_are_both_found():
    def density(points):
        away = np.stack([((points - c) ** 2).sum(axis=1) / (2 * 0.2**2) for c in (-2.0, 2.0)])
        return logsumexp(-away + np.log([[0.3], [0.7]]), axis=0)

    found = sample(density, np.zeros(3), np.full(3, 2.0), draws=2000, rng=np.random.default_rng(0))
    assert (found.points[:, 0] > 0).mean() == pytest.approx(0.7, abs=0.05)
    assert found.log_evidence == pytest.approx(1.5 * np.log(2 * np.pi * 0.2**2), abs=0.1)


def test_weights_that_will_not_do_show():
    def spike(points):
        return -((points * 1e7) ** 2).sum(axis=1) - 40 * np.abs(points[:, 0] * 1e7 - 3) ** 0.1

    found = sample(spike, np.full(12, 0.5), np.ones(12), draws=100, rng=np.random.default_rng(0))
    assert found.khat > 0.7 or found.ess < 100
