from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_scaling.decide import costs
from bayes_scaling.errors import InputError


@pytest.mark.parametrize(("sparsity", "times"), [(0, 1), (0.5, 1.375), (0.75, 2.125), (0.875, 3.625), (0.9375, 6.625)])
def test_multipliers_of_the_cubic_schedule(sparsity, times):
    assert costs.get("gradual").multiplier(sparsity) == pytest.approx(times, rel=1e-14)


@pytest.mark.parametrize(("sparsity", "times"), [(0, 1), (0.5, 2), (0.75, 4), (0.875, 8)])
def test_dense_training_pays_for_every_weight(sparsity, times):
    assert costs.get("dense").multiplier(sparsity) == pytest.approx(times, rel=1e-14)


fraction = st.floats(0, 1)


@settings(max_examples=100, deadline=None)
@given(sparsity=st.floats(0, 0.99), times=st.tuples(fraction, fraction), power=st.floats(0.5, 8))
def test_the_multiplier_is_the_schedules_mean_density(sparsity, times, power):
    start, end = sorted(times)
    cost = costs.Gradual(start, end, power)
    moment = (np.arange(200_000) + 0.5) / 200_000
    progress = np.clip((moment - start) / max(end - start, 1e-12), 0, 1)
    density = 1 - sparsity * (1 - (1 - progress) ** power)
    assert cost.multiplier(sparsity) == pytest.approx(density.mean() / (1 - sparsity), rel=1e-4)


def test_limits_of_the_schedule():
    levels = np.linspace(0, 0.99, 50)
    always_dense = costs.Gradual(start=1.0, end=1.0).multiplier(levels)
    np.testing.assert_allclose(always_dense, costs.Dense().multiplier(levels), rtol=1e-12)
    np.testing.assert_allclose(costs.Gradual(start=0.0, end=0.0).multiplier(levels), 1.0, rtol=1e-12)
    assert (np.diff(costs.Gradual().multiplier(levels)) > 0).all()


def test_multipliers_keep_names():
    levels = xr.DataArray([0.0, 0.5], dims="sparsity")
    for name in costs.names():
        assert costs.get(name).multiplier(levels).dims == ("sparsity",)


@pytest.mark.parametrize("wrong", [{"start": -0.1}, {"end": 1.1}, {"start": 0.8, "end": 0.3}, {"power": 0}])
def test_a_schedule_that_cannot_be(wrong):
    with pytest.raises(InputError):
        costs.Gradual(**wrong)


@pytest.mark.parametrize("wrong", [{"start": float("nan")}, {"power": float("nan")}])
def test_a_schedule_of_nan(wrong):
    with pytest.raises(InputError):
        costs.Gradual(**wrong)


def test_costs_by_name(monkeypatch):
    monkeypatch.setattr(costs, "_COSTS", dict(costs._COSTS))
    assert {"dense", "gradual"} <= set(costs.names())
    late = costs.Gradual(start=0.5)
    assert costs.get(late) is late

    @costs.register
    @dataclass(frozen=True)
    class Free(costs.Cost):
        name = "free"
        reference = "none"

        def multiplier(self, sparsity):
            return 1.0 + 0.0 * sparsity

    assert isinstance(costs.get("free"), Free)
    assert costs.names() == sorted(costs.names())


def test_an_unknown_cost_lists_the_names():
    with pytest.raises(InputError, match=r"'cheap' is not known.*dense, gradual"):
        costs.get("cheap")
