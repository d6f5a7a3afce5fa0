"""Free multipliers: what runs tell of each sparsity without help from a form."""

import numpy as np
import pytest

import bayes_scaling as bs

MULTIPLIERS = {"m_2": 1.6, "m_4": 2.3, "m_8": 2.1, "m_16": 3.0}


def test_multipliers_are_met_on_their_levels_and_joined_between():
    law = bs.laws.get("levels")
    at = law.dense_equivalent(np.array([0.0, 0.5, 0.75, 0.875, 0.9375, 0.99]), **MULTIPLIERS)
    np.testing.assert_allclose(at, [1.0, 1.6, 2.3, 2.1, 3.0, 3.0], rtol=1e-12)
    between = law.dense_equivalent(np.linspace(0.5, 0.75, 11), **MULTIPLIERS)
    np.testing.assert_allclose(np.diff(np.log(between)), np.log(2.3 / 1.6) / 10, rtol=1e-9)


def test_its_loss_is_that_of_a_dense_model_so_many_times_the_size():
    law, dense = bs.laws.get("levels"), bs.laws.get("dense")
    rest = {"A": 400.0, "b_N": 0.34, "a_D": 2e9, "b_D": 0.3, "c": 1.7}
    found = law.loss(0.75, 1e8, 1e10, **MULTIPLIERS, **rest)
    assert found == pytest.approx(dense.loss(0.0, 2.3e8, 1e10, **rest), rel=1e-12)
    worn = law.loss(0.75, 1e8, 1e10, 4e9, rho=0.25, **MULTIPLIERS, **rest)
    assert worn == pytest.approx(dense.loss(0.0, 2.3e8, 1.1e10, **rest), rel=1e-12)


def test_the_papers_t5_runs_have_the_multipliers_of_a_fit_without_a_form(frantar_runs):
    t5 = frantar_runs.isel(run=frantar_runs["modality"].to_numpy() == "language")
    found = bs.point_fit(t5, law="levels").coefficients
    for name, expected in (("m_2", 1.769), ("m_4", 2.280), ("m_8", 2.502)):
        assert float(found[name].squeeze()) == pytest.approx(expected, abs=0.002)
