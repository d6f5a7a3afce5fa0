import numpy as np
import pytest
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.intervals import PROB, check_prob, interval

VALUES = np.random.default_rng(0).permutation(4004) / 4003
DRAWS = xr.DataArray(VALUES.reshape(4, 1001), dims=("chain", "draw"))


@pytest.mark.parametrize("prob", [0.5, 0.8, 0.89, 0.99])
def test_intervals_are_equal_tailed(prob):
    found = interval(DRAWS, prob)
    assert set(found) == {"median", "lower", "upper"}
    assert found["lower"] == pytest.approx((1 - prob) / 2)
    assert found["median"] == pytest.approx(0.5)
    assert found["upper"] == pytest.approx((1 + prob) / 2)


def test_unless_said_it_is_89_per_cent():
    assert PROB == 0.89
    assert interval(DRAWS) == interval(DRAWS, 0.89)


@pytest.mark.parametrize("prob", [0, 1, 1.5, -0.1, float("nan")])
def test_a_probability_lies_between_0_and_1(prob):
    with pytest.raises(InputError, match="prob"):
        check_prob(prob)
    with pytest.raises(InputError, match="prob"):
        interval(DRAWS, prob)
