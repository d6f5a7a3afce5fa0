import itertools

import pytest

pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from hypothesis import given
from hypothesis import strategies as st

from bayes_scaling.runs import InputError
from runners.sparsity import schedules
from runners.sparsity.schedules import Polynomial

EVERY_KIND = [
    Polynomial(),
    Polynomial(0.0, 1.0, power=1, every=7),
    Polynomial(0.5, 0.6, power=0.5, every=1),
    schedules.get("one_shot", at=0.3),
    schedules.get("constant"),
    schedules.get("none"),
]


def test_the_polynomial_ramp_is_flat_then_cubic_then_flat():
    ramp = [Polynomial(0.25, 0.75).ramp(step, 100) for step in range(100)]
    assert ramp[:25] == [0.0] * 25
    assert ramp[49] == pytest.approx(1 - 0.5**3)  # step 49 is the 50th of 100: halfway
    assert ramp[74:] == [1.0] * 26


def test_power_one_is_linear():
    ramp = [Polynomial(0.0, 1.0, power=1).ramp(step, 10) for step in range(10)]
    assert ramp == pytest.approx([0.1 * k for k in range(1, 11)])


def test_mean_density_is_that_of_the_published_compute_multiplier():
    S, steps = 0.875, 10_000
    density = sum(1 - S * Polynomial().ramp(step, steps) for step in range(steps)) / steps
    assert density / (1 - S) == pytest.approx(3.625, rel=1e-3)


def test_polynomial_masks_are_due_every_so_many_steps_of_the_ramp_and_where_it_ends():
    due = [step for step in range(100) if Polynomial(0.25, 0.75, every=10).due(step, 100)]
    assert due == [30, 40, 50, 60, 70, 74]


def test_one_shot_is_due_once_at_its_time():
    for at, first in ((0.0, 0), (0.5, 49), (1.0, 99)):
        schedule = schedules.get("one_shot", at=at)
        assert [step for step in range(100) if schedule.due(step, 100)] == [first]
        assert [schedule.ramp(step, 100) for step in range(100)] == [0.0] * first + [1.0] * (100 - first)


def test_constant_is_sparse_from_the_first_step_and_none_never():
    constant, none = schedules.get("constant"), schedules.get("none")
    assert [step for step in range(50) if constant.due(step, 50)] == [0]
    assert not any(none.due(step, 50) for step in range(50))
    assert {constant.ramp(step, 50) for step in range(50)} == {1.0}
    assert {none.ramp(step, 50) for step in range(50)} == {0.0}


@given(schedule=st.sampled_from(EVERY_KIND), steps=st.integers(1, 300))
def test_ramps_never_fall_and_the_last_masks_are_the_final_ones(schedule, steps):
    ramp = [schedule.ramp(step, steps) for step in range(steps)]
    assert all(0 <= a <= b <= 1 for a, b in itertools.pairwise([0, *ramp, 1]))
    due = [step for step in range(steps) if schedule.due(step, steps)]
    assert [ramp[step] for step in due[-1:]] == ([1.0] if schedule.name != "none" else [])
    assert sum(ramp[step] == 1 for step in due) <= 1  # nothing is recomputed once the end is reached


@pytest.mark.parametrize(("start", "end"), [(0.75, 0.25), (-0.1, 0.5), (0.5, 1.5), (0.5, 0.5), (float("nan"), 0.5)])
def test_a_window_out_of_order_is_refused(start, end):
    with pytest.raises(InputError, match=r"0 <= start < end <= 1"):
        Polynomial(start, end)


def test_other_settings_out_of_bounds_are_refused():
    with pytest.raises(InputError, match="power is 0; the pruning schedule needs a power above 0"):
        Polynomial(power=0)
    with pytest.raises(InputError, match="every is 0; masks are recomputed every 1 or more steps"):
        Polynomial(every=0)
    with pytest.raises(InputError, match=r"at is 1.5; a fraction of training in \[0, 1\]"):
        schedules.get("one_shot", at=1.5)
