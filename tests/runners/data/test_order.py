import numpy as np
import pytest

from bayes_scaling.runs import InputError
from runners.data.order import Order


def positions(order: Order, step: int) -> np.ndarray:
    return (order.at(step)[:, None] + np.arange(order.stride)).ravel()


@pytest.mark.parametrize(("size", "stride", "batch"), [(249, 8, 3), (1000, 1, 7), (999, 16, 16)])
def test_an_epoch_has_no_position_twice_and_nearly_all_of_them(size, stride, batch):
    order = Order(size, stride, batch, seed=1)
    steps = next(step for step in range(10_000) if order.epoch(step) == 1)
    seen = np.concatenate([positions(order, step) for step in range(steps)])
    assert len(np.unique(seen)) == len(seen)
    assert seen.min() >= 0
    assert seen.max() < size
    assert len(seen) > size - batch * stride - 2 * stride


@pytest.mark.parametrize(("size", "stride"), [(43, 1), (260, 8)])
def test_unique_is_what_counting_finds(size, stride):
    order = Order(size, stride, 5, seed=3)
    seen: set[int] = set()
    for steps in range(1, 80):
        seen.update(positions(order, steps - 1).tolist())
        assert Order(size, stride, 5, seed=3).unique(steps) == len(seen)
    assert order.epoch(79) > 5
    assert order.unique(0) == 0


def test_a_step_is_the_same_from_wherever_one_starts():
    onward = Order(500, 8, 4, seed=2)
    forward = [onward.at(step) for step in range(60)]
    for step in (59, 3, 31, 0):
        assert (Order(500, 8, 4, seed=2).at(step) == forward[step]).all()
    for step in reversed(range(60)):
        assert (onward.at(step) == forward[step]).all()


def test_epochs_and_seeds_differ():
    order, other = Order(500, 8, 4, seed=2), Order(500, 8, 4, seed=3)
    assert (order.at(0) != other.at(0)).any()
    offsets = {int(order.at(step)[0]) % 8 for step in range(0, 200, 10)}
    assert len(offsets) > 3


def test_a_batch_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match="10 positions; a batch of 4 windows of 8 tokens needs more"):
        Order(10, 8, 4, 0)
    with pytest.raises(InputError, match="3 positions; a batch of 4 examples"):
        Order(3, 1, 4, 0)
    assert sorted(Order(4, 1, 4, 0).at(0)) == [0, 1, 2, 3]
