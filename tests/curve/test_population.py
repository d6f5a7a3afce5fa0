import numpy as np
import pytest

from bayes_scaling.curve import forms
from bayes_scaling.curve.population import EARLIER, learn, unlearnt
from bayes_scaling.curve.sampler import Sample
from bayes_scaling.curve.table import Curve
from bayes_scaling.curve.target import Target, log_normal

M1, M2 = forms.get("M1"), forms.get("M2")


def known_curves(count, shift, spread, evidence=0.0):
    """Curves whose quantities are known almost exactly and come from a normal distribution."""
    rng = np.random.default_rng(4)
    targets, samples = [], []
    for i in range(count):
        target = Target(Curve(f"{i}", np.linspace(0, 1, 6), np.linspace(1, 0, 6), np.ones(6)), M1)
        place = target.center + np.array([0.0, *(np.array(shift) + np.array(spread) * rng.standard_normal(3))])
        points = place + 0.01 * rng.standard_normal((400, 4))
        log_evidence = log_normal(place, target.prior_mean, target.prior_sd)
        targets.append({"M1": target})
        samples.append({"M1": Sample(points, float(log_evidence) + evidence, 0.1, 400.0)})
    return targets, samples


def test_many_curves_teach_mean_and_spread():
    targets, samples = known_curves(300, (0.8, -1.0, 0.5), (0.3, 0.2, 0.6))
    found = learn(targets, samples, [M1])
    np.testing.assert_allclose(found.shift["M1"], [0, 0.8, -1.0, 0.5], atol=0.1)
    np.testing.assert_allclose(found.sd["M1"][1:], [0.3, 0.2, 0.6], atol=0.12)
    assert found.sd["M1"][0] == unlearnt([M1]).sd["M1"][0]


def test_a_few_curves_hardly_move_the_prior():
    targets, samples = known_curves(1, (0.8, 0.8, 0.8), (0, 0, 0))
    found = learn(targets, samples, [M1])
    np.testing.assert_allclose(found.shift["M1"][1:], 0.8 / (1 + EARLIER), rtol=0.05)
    assert (found.sd["M1"][1:] > 0.75 * unlearnt([M1]).sd["M1"][1:]).all()


def test_shares_are_how_many_curves_speak_for_a_form():
    targets, samples = known_curves(40, (0, 0, 0), (1, 1, 1))
    for i, (target, sample) in enumerate(zip(targets, samples, strict=True)):
        target["M2"] = Target(target["M1"].curve, M2)
        points = target["M2"].center + np.random.default_rng(i).standard_normal((400, 5))
        # Every fourth curve has 20 nats for M2, the others as much against it.
        sample["M2"] = Sample(points, sample["M1"].log_evidence + (20 if i % 4 == 0 else -20), 0.1, 400.0)
    found = learn(targets, samples, [M1, M2])
    assert found.share["M2"] == pytest.approx((10 + EARLIER / 2) / (40 + EARLIER), abs=0.01)
