"""Sparsity under repeated data: the multipliers that the published coefficients imply, and what repetition is worth."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import bayes_scaling as bs

LAW = bs.laws.get("sparse_repeated")
AT = LAW.published["c4"].coefficients


def printed(S, N, D, U):
    """The law as in its paper, with R* (1 + x S - y S²)."""
    A, B, E = np.exp([5.24074, 6.10303, 0.85355])
    alpha, s = 0.32682, 1 - S
    factor = s**-0.00968 - 0.27289 * S**0.84662
    fed = (A * factor / B) ** (1 / alpha) * U
    base = np.minimum(N, fed)
    R_N, R_D = 11.088 * (1 + 1.904 * S - 2.799 * S**2), 4.4047 * (1 + 1.821 * S - 1.365 * S**2)
    size = base * (1 + R_N * (1 - np.exp(-(N / base - 1) / R_N)))
    data = U * (1 + R_D * (1 - np.exp(-(D / U - 1) / R_D)))
    return E + A * factor * size**-alpha + B * data**-alpha


def test_it_is_the_law_as_printed():
    S, N, epochs = (v.ravel() for v in np.meshgrid([0.0, 0.5, 0.75, 0.9375], [3e7, 3e8, 3e9], [1, 4, 40]))
    U = 1e9
    found = LAW.loss(S, N, U * epochs, unique_data=U, **AT)
    np.testing.assert_allclose(found, printed(S, N, U * epochs, U), rtol=2e-4)  # digits of the paper


def test_published_coefficients_imply_the_known_multipliers_and_turn_at_extreme_sparsity():
    S = np.array([0.5, 0.75, 0.875, 0.9375])
    np.testing.assert_allclose(LAW.dense_equivalent(S, **AT), [1.62, 1.98, 2.17, 2.24], atol=0.006)
    best = minimize_scalar(lambda t: -LAW.dense_equivalent(1 - np.exp(t), **AT), bounds=(-8, -1), method="bounded")
    assert np.exp(best.x) == pytest.approx(0.043, abs=5e-4)
    assert -best.fun == pytest.approx(2.24, abs=0.005)


def test_dense_it_is_the_data_constrained_law():
    constrained = bs.laws.get("data_constrained")
    at = {name: AT[name] for name in constrained.published["c4"].coefficients}
    N, D = np.meshgrid([1e7, 1e9], [1e10, 1e12])
    for unique in ({}, {"unique_data": D / 7}):
        expected = constrained.loss(0.0, N, D, **unique, **at)
        np.testing.assert_array_equal(LAW.loss(0.0, N, D, **unique, **AT), expected)


def test_repetitions_are_worth_most_at_middling_sparsity_and_never_harm():
    S, U = np.linspace(0, 0.99, 100), 1e9
    gained = LAW.loss(S, 1e8, 40 * U, unique_data=U, **AT) - LAW.loss(S, 1e8, 4 * U, unique_data=U, **AT)
    assert (gained < 0).all()
    assert 0.3 < S[np.argmin(gained)] < 0.9


def test_a_point_fit_finds_the_coefficients_behind_losses():
    rows = [
        {"sparsity": s, "nonzero_params": n, "data_seen": u * e, "unique_data": u}
        for s in (0.0, 0.5, 0.75, 0.875, 0.9375)
        for n in (2e7, 1e8, 5e8, 2.5e9)
        for u in (3e8, 3e9)
        for e in (1, 4, 16, 64)
    ]
    for row in rows:
        S, N, D, U = row.values()
        row["loss"] = float(LAW.loss(S, N, D, unique_data=U, **AT))
    found = bs.point_fit(rows, law="sparse_repeated", starts=2).coefficients
    for name, value in AT.items():
        assert float(found[name].squeeze()) == pytest.approx(value, rel=0.02), name
