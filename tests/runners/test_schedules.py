import itertools

import pytest

pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from bayes_scaling.runs import InputError
from runners.sparsity.schedules import CubicSchedule


def test_ramp_is_flat_then_cubic_then_flat():
    schedule = CubicSchedule(0.25, 0.75)
    ramp = [schedule.ramp(step, 100) for step in range(100)]
    assert ramp[:25] == [0.0] * 25
    assert ramp[49] == pytest.approx(1 - 0.5**3)  # step 49 is the 50th of 100: halfway
    assert ramp[74:] == [1.0] * 26
    assert all(a <= b for a, b in itertools.pairwise(ramp))


def test_mean_density_is_that_of_the_published_compute_multiplier():
    S, steps = 0.875, 10_000
    schedule = CubicSchedule()
    density = sum(1 - S * schedule.ramp(step, steps) for step in range(steps)) / steps
    assert density / (1 - S) == pytest.approx(3.625, rel=1e-3)


@pytest.mark.parametrize(("start", "end"), [(0.75, 0.25), (-0.1, 0.5), (0.5, 1.5)])
def test_impossible_window(start, end):
    with pytest.raises(InputError, match=r"0 <= start < end <= 1"):
        CubicSchedule(start, end)
