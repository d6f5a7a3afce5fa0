import types

import numpy as np
import pytest

from bayes_scaling.importance import importance
from bayes_scaling.ridge import ridges

DIM = 5


class Bent:
    """A density with a long bent tail: x_0 is a log-gamma variable, x_1 follows its square, the rest is normal."""

    code = types.SimpleNamespace(dim=DIM)

    def __call__(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        long, bent, rest = z[0], z[1] - 0.15 * z[0] ** 2, z[2:]
        value = long - np.exp(long) - bent**2 / 2 - rest @ rest / 2
        gradient = -np.concatenate([[0.0, bent], rest])
        gradient[0] = 1 - np.exp(long) + bent * 0.3 * long
        return float(value), gradient


def quantiles(values: np.ndarray) -> np.ndarray:
    return np.quantile(values, [0.055, 0.5, 0.945], axis=0)


@pytest.fixture(scope="module")
def exact() -> np.ndarray:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((200_000, DIM))
    z[:, 0] = np.log(rng.gamma(1.0, size=len(z)))
    z[:, 1] += 0.15 * z[:, 0] ** 2
    return z


def test_ridges_go_along_the_tail_and_bend_with_it():
    found = ridges(Bent())
    along = np.array([local.mean for local in found])
    assert along[:, 0].min() < -6  # exp(-6): four e-folds beyond the median
    far = along[along[:, 0].argmin()]
    assert far[1] == pytest.approx(0.15 * far[0] ** 2, abs=0.1)


def test_draws_have_the_tail(exact):
    points, found = importance(Bent(), 20_000, np.random.default_rng(1))
    assert found["khat"] < 0.5
    assert found["ess"] > 1000
    np.testing.assert_allclose(quantiles(points), quantiles(exact), atol=0.2)


def test_where_the_first_points_are_worth_nothing_no_more_are_drawn(monkeypatch):
    class Counted(Bent):
        calls = 0

        def __call__(self, z: np.ndarray) -> tuple[float, np.ndarray]:
            Counted.calls += 1
            return Bent.__call__(self, z)

    importance(Counted(), 100, np.random.default_rng(0))
    all_rounds, Counted.calls = Counted.calls, 0
    monkeypatch.setattr("bayes_scaling.importance.HOPELESS", 1.1)  # more than any first points can be worth
    importance(Counted(), 100, np.random.default_rng(0))
    assert all_rounds - Counted.calls == 2500
