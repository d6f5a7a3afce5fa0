"""Every form against its formula, written down once more in the usual coefficients."""

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.curve import forms

LEVEL, SLOPE = 0.31, 0.17
SHAPES = {
    "M1": {},
    "M2": {"floor_share": 0.6},
    "M3": {"level_share": 0.35},
    "M4": {"floor_share": 0.55, "alpha": 0.45, "headroom": 2.2},
    "BNSL": {"floor_share": 0.4, "early_share": 0.2, "since_break": 2.5, "breadth": 0.6},
}
DISTANCE = np.linspace(-5, 3, 33)


def given(name):
    return {"level": LEVEL, "slope": SLOPE, **SHAPES[name]}


def test_every_form_is_tried():
    assert set(forms.names()) == set(SHAPES)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_level_and_slope_are_those_at_the_last_point(name):
    form, step = forms.get(name), 1e-5
    around = form.log_loss(np.array([-step, 0.0, step]), **given(name))
    assert np.exp(around[1]) == pytest.approx(LEVEL, rel=1e-12)
    assert -(around[2] - around[0]) / (2 * step) == pytest.approx(SLOPE, rel=1e-6)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_curves_fall_to_their_floor(name):
    form = forms.get(name)
    loss = np.exp(form.log_loss(DISTANCE, **given(name)))
    assert (np.diff(loss) < 0).all()
    assert np.exp(form.log_loss(np.array([400.0]), **given(name))) == pytest.approx(form.floor(**given(name)), abs=1e-6)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_priors_allow_what_was_tried(name):
    for quantity, prior in forms.get(name).shape.items():
        there = prior.to_link(SHAPES[name][quantity])
        assert prior.from_link(there) == pytest.approx(SHAPES[name][quantity])
        assert abs(there - prior.to_link(prior.center)) < 3 * prior.sd


def test_m2_is_a_power_law_and_a_constant():
    floor, exponent = 0.6 * LEVEL, SLOPE / 0.4
    expected = floor + (LEVEL - floor) * np.exp(DISTANCE) ** -exponent
    np.testing.assert_allclose(np.exp(forms.get("M2").log_loss(DISTANCE, **given("M2"))), expected, rtol=1e-12)


def test_m3_has_its_constant_inside():
    x, gamma = np.exp(DISTANCE), 0.35 / 0.65
    expected = LEVEL * ((1 / x + gamma) / (1 + gamma)) ** (SLOPE / 0.65)
    np.testing.assert_allclose(np.exp(forms.get("M3").log_loss(DISTANCE, **given("M3"))), expected, rtol=1e-12)


@pytest.mark.parametrize("alpha", [0.02, 0.45, 1.0, 6.0])
def test_m4_solves_its_equation(alpha):
    shape = {**given("M4"), "alpha": alpha}
    loss = np.exp(forms.get("M4").log_loss(DISTANCE, **shape))
    floor, ceiling = 0.55 * LEVEL, LEVEL * 3.2
    left = np.log(loss - floor) - alpha * np.log(ceiling - loss)
    np.testing.assert_allclose(np.diff(left, 2), 0, atol=1e-9)  # log β - c log x is straight


def test_bnsl_is_its_authors_formula():
    x, d, f = np.exp(DISTANCE), np.exp(-2.5), 0.6
    here = 0.2 + 0.8 / (1 + np.exp(-2.5 / f))
    late = SLOPE / 0.6 / here
    c0, c1 = 0.2 * late, 0.8 * late

    def term(u):
        return u**-c0 * (1 + (u / d) ** (1 / f)) ** (-c1 * f)

    expected = 0.4 * LEVEL + 0.6 * LEVEL * term(x) / term(1.0)
    np.testing.assert_allclose(np.exp(forms.get("BNSL").log_loss(DISTANCE, **given("BNSL"))), expected, rtol=1e-12)


def test_an_unknown_form_is_refused_with_those_there_are():
    with pytest.raises(bs.InputError, match=r"form 'M5' is not known; the forms of learning curves are BNSL, M1, M2"):
        forms.get("M5")
