import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.studies.solvable import train_averaged

NOISY = bs.solvable.Model(latent=250, alpha=0.4, noise_variance=0.05)
CELLS = [
    (100, 200, 0.0), (200, 100, 0.0), (100, 150, 0.0), (150, 100, 0.0),
    (120, 120, 1.0), (120, 120, 10.0), (60, 600, 0.0), (600, 80, 3.0),
    (350, 450, 0.0), (450, 350, 0.0), (350, 350, 1.0),
]  # fmt: skip
"""N, T and ridge: on both sides of N = T and at it, far from it, and where both exceed the 250 components."""

STANDARD_ERROR, MOST = 0.006, 60


@pytest.mark.parametrize(("features", "samples", "ridge"), CELLS)
def test_direct_simulation_gives_the_exact_loss(features, samples, ridge):
    expected = float(bs.solvable.expected_loss(NOISY, features, samples, ridge))
    losses = []
    while len(losses) < 6 or np.std(losses, ddof=1) > STANDARD_ERROR * expected * len(losses) ** 0.5:
        losses.append(train_averaged(NOISY, features, samples, ridge, np.random.default_rng([5, len(losses)])))
        assert len(losses) <= MOST, "its standard error does not get small enough"
    assert np.mean(losses) == pytest.approx(expected, rel=0.02)


def test_features_and_examples_change_places_without_noise():
    model = bs.solvable.Model(latent=500, alpha=0.7)
    n, t = np.array([10, 50, 200]), np.array([30, 400, 201])
    for ridge in (0.0, 0.3):
        np.testing.assert_allclose(
            bs.solvable.expected_loss(model, n, t, ridge), bs.solvable.expected_loss(model, t, n, ridge), rtol=1e-9
        )


def test_without_ridge_the_loss_descends_twice_and_ends_beyond_the_components():
    model = bs.solvable.Model(latent=500, alpha=0.7)
    features = np.array([10, 25, 60, 90, 99, 100, 101, 110, 150, 400, 5000])
    loss = bs.solvable.expected_loss(model, features, 100)
    assert np.isinf(loss[5])
    assert loss[1] < loss[0]
    assert (np.diff(loss[2:6]) > 0).all()
    assert (np.diff(loss[5:]) < 0).all()
    # Plateaus: more features do nothing once examples are what lacks, and above 500 of both nothing is missed.
    assert loss[-1] == pytest.approx(loss[-2], rel=0.3)
    assert float(bs.solvable.expected_loss(model, 600, 700)) == 0
    noisy = bs.solvable.Model(latent=500, alpha=0.7, noise_variance=0.1)
    assert float(bs.solvable.expected_loss(noisy, 600, 700)) == pytest.approx(0.1 + 0.1 * 500 / 200)


@pytest.mark.parametrize("alpha", [0.3, 0.6, 1.0, 1.5])
def test_the_optimal_ridge_is_a_minimum_with_the_known_power_law(alpha):
    model = bs.solvable.Model(latent=20_000, alpha=alpha)
    k = np.pi / (1 + alpha) / np.sin(np.pi / (1 + alpha))
    for n, t in ((100, 200), (300, 60)):
        ridge = float(bs.solvable.optimal_ridge(model, n, t))
        least = float(bs.solvable.expected_loss(model, n, t, "optimal"))
        assert float(bs.solvable.expected_loss(model, n, t, ridge)) == pytest.approx(least, rel=1e-6)
        for factor in (0.7, 1.4, 0.0, 30.0):
            assert float(bs.solvable.expected_loss(model, n, t, factor * ridge)) > least
        assert least == pytest.approx(k ** (1 + alpha) * (1 / n + 1 / t) ** alpha, rel=0.16)


def test_simulated_runs_are_a_run_table_around_their_truth():
    model = bs.solvable.Model(latent=200, alpha=0.5, noise_variance=0.02)
    runs = bs.solvable.simulate(model, [20, 60], [40, 150], seeds=12, seed=1)
    assert runs.sizes["run"] == 48
    assert bs.load_runs(runs).identical(runs)
    by_cell = runs[["loss", "expected_loss"]].to_dataframe().groupby(
        [runs["nonzero_params"].to_numpy(), runs["data_seen"].to_numpy()]
    )  # fmt: skip
    error = by_cell["loss"].sem() / by_cell["expected_loss"].first()
    off = by_cell["loss"].mean() / by_cell["expected_loss"].first() - 1
    assert (off.abs() < 4 * error + 0.02).all()
    assert (error < 0.1).all()
    again = bs.solvable.simulate(model, [60], [150], seeds=12, seed=1)
    same = (runs["nonzero_params"] == 60) & (runs["data_seen"] == 150)
    np.testing.assert_array_equal(again["loss"], runs["loss"].to_numpy()[same.to_numpy()])
    fixed = bs.solvable.simulate(model, [60], [150], ridge=0.5)
    assert float(fixed["expected_loss"][0]) == float(bs.solvable.expected_loss(model, 60, 150, 0.5))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: bs.solvable.Model(alpha=0.0), "alpha is 0; it is above 0"),
        (lambda: bs.solvable.Model(latent=0), "latent is 0"),
        (lambda: bs.solvable.Model(noise_variance=-1.0), "noise_variance is -1; it is at least 0"),
        (lambda: bs.solvable.expected_loss(NOISY, 0, 10), "features is 0; these are whole numbers"),
        (lambda: bs.solvable.expected_loss(NOISY, 10, 2.5), "samples is 2.5"),
        (lambda: bs.solvable.expected_loss(NOISY, 10, 10, -1), "ridge is -1"),
        (lambda: bs.solvable.simulate(NOISY, [10], [10], ridge="best"), "ridge is best"),
        (lambda: bs.solvable.simulate(NOISY, [10], [10], seeds=0), "seeds is 0"),
    ],
)
def test_numbers_out_of_range_are_refused(ask, message):
    with pytest.raises(bs.InputError) as refused:
        ask()
    assert message in str(refused.value)
