import json
from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
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


def test_multipliers_keep_names_and_begin_at_one():
    levels = xr.DataArray([0.0, 0.5], dims="sparsity")
    for name in costs.names():
        cost = costs.get(name, measured())
        assert cost.multiplier(levels).dims == ("sparsity",)
        np.testing.assert_array_equal(cost.multiplier(levels.to_numpy()), cost.multiplier(levels))
        assert cost.multiplier(0.0) == 1
        assert cost.sparse_share(0.0) == 0


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
    assert set(costs.names()) >= {"dense", "gradual", "hardware", "measured", "pretrained", "static"}
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


# --- parts of training that differ ------------------------------------------------------------------------------------


def by_the_step(cost, sparsity, times=1.0):
    """Cost of a polynomial schedule over dense training of the final size, the last part sped up."""
    moment = (np.arange(200_000) + 0.5) / 200_000
    progress = np.clip((moment - cost.start) / max(cost.end - cost.start, 1e-12), 0, 1)
    density = 1 - sparsity * (1 - (1 - progress) ** cost.power)
    return np.where(moment > cost.end, density / times, density).mean() / (1 - sparsity)


@settings(max_examples=50, deadline=None)
@given(
    sparsity=st.floats(0.01, 0.99),
    times=st.tuples(fraction, fraction),
    power=st.floats(0.5, 8),
    speed=st.floats(0.3, 4),
)
def test_a_speedup_is_for_what_comes_after_the_ramp(sparsity, times, power, speed):
    schedule = costs.Gradual(*sorted(times), power)
    cost = costs.Hardware(schedule, {"2:4": speed}).for_structure("2:4")
    assert cost.multiplier(sparsity) == pytest.approx(by_the_step(schedule, sparsity, speed), rel=1e-4)
    assert cost.multiplier(0.0) == pytest.approx(1, abs=1e-14)


def test_a_speedup_of_static_training_is_for_all_of_it():
    cost = costs.Hardware(costs.Static(), {"2:4": 1.25, "block": 0.5})
    assert cost.for_structure("2:4").multiplier(0.5) == pytest.approx(0.8)
    assert cost.for_structure("block").multiplier(0.9) == pytest.approx(2.0)
    assert cost.for_structure("unstructured").multiplier(0.5) == 1
    np.testing.assert_allclose(cost.for_structure("2:4").multiplier(np.array([0, 0.5])), [1, 0.8])


def test_a_speedup_on_dense_hardware_is_for_the_steps_at_the_final_sparsity():
    base = costs.Dense(sparse_from=0.75)
    cost = costs.Hardware(base, {"2:4": 1.25}).for_structure("2:4")
    assert cost.multiplier(0.5) == pytest.approx(2 * (0.75 + 0.25 / 1.25))  # a quarter of the steps, at full cost each
    assert cost.multiplier(0.0) == 1
    assert base.multiplier(0.5) == costs.Dense().multiplier(0.5)
    with pytest.raises(InputError, match="sparse_from is 75"):
        costs.Dense(sparse_from=75)


def test_speedups_come_from_the_file_of_the_benchmark(tmp_path):
    file = tmp_path / "speedups.json"
    file.write_text(json.dumps({"device": "a GPU", "step": {"dense_ms": 9.0}, "speedup": {"2:4": 0.9, "1:4": 2}}))
    assert costs.Hardware.from_file(file) == costs.Hardware(costs.Gradual(), {"2:4": 0.9, "1:4": 2.0})
    assert costs.Hardware.from_file(file, costs.Static()).for_structure("1:4").multiplier(0.75) == 0.5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("2:4=1.2", "is no JSON"),
        ("[1.2]", "has no speed-ups"),
        ('{"speedup": {}}', "has no speed-ups"),
        ('{"speedup": 1.2}', "has no speed-ups"),
        ('{"speedup": {"2:4": "fast"}}', "speedup of 2:4 is 'fast'"),
        ('{"speedup": {"2:4": true}}', "speedup of 2:4 is True"),
        ('{"speedup": {"2:4": NaN}}', "speedup of 2:4 is nan"),
        ('{"speedup": {"2:4": Infinity}}', "speedup of 2:4 is inf"),
        ('{"speedup": {"4:2": 1.2}}', "structure is '4:2'"),
    ],
)
def test_a_file_without_speedups_is_refused(tmp_path, content, message):
    file = tmp_path / "speedups.json"
    file.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        costs.Hardware.from_file(file)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be read"):
        costs.Hardware.from_file(tmp_path / "another.json")


def test_what_hardware_cannot_speed_up():
    for base in (costs.Dense(), costs.Measured((0.5,), (1.3,))):
        cost = costs.Hardware(base, {"2:4": 1.5}).for_structure("2:4")
        assert cost.multiplier(0.5) == pytest.approx(base.multiplier(0.5))
        assert cost.serving(0.5) == base.serving(0.5)
    assert costs.Hardware(speedup={"2:4": 1.0}).for_structure("2:4") == costs.Gradual()
    assert costs.Hardware(speedup={"2:4": 1.2}).multiplier(0.5) == 1.375  # no structure, no speed-up


@pytest.mark.parametrize("times", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speedup_that_cannot_be(times):
    with pytest.raises(InputError, match="speedup of 2:4"):
        costs.Hardware(speedup={"2:4": times})


def test_a_dense_phase_is_sunk_or_counted():
    sunk, counted = costs.get("pretrained"), costs.Pretrained(costs.Static(), counted=True)
    assert sunk.upfront(1e8, 0.75, 2e9, 6.0) == 0
    assert counted.upfront(1e8, 0.75, 2e9, 6.0) == pytest.approx(6 * 4e8 * 2e9)
    assert (sunk.multiplier(0.75), counted.multiplier(0.75)) == (2.125, 1)
    for cost in (sunk, counted):
        with pytest.raises(InputError, match="pretrain_data is 0"):
            cost.upfront(1e8, 0.75, 0.0, 6.0)
    fast = costs.Hardware(counted, {"2:4": 2.0}).for_structure("2:4")
    assert fast.multiplier(0.5) == 0.5
    assert fast.upfront(1e8, 0.5, 2e9, 6.0) == counted.upfront(1e8, 0.5, 2e9, 6.0)
    inner = costs.Pretrained(costs.Hardware(costs.Static(), {"2:4": 2.0}), counted=True).for_structure("2:4")
    assert (inner.multiplier(0.5), inner.counted) == (0.5, True)


def test_who_serves_zeros():
    assert costs.Dense().serving(0.75) == 4
    assert costs.Gradual().serving(0.75) == 1
    assert costs.Gradual(serves_sparse=False).serving(0.75) == 4
    for wrapper in (costs.Hardware, costs.Pretrained):
        assert wrapper(costs.Dense()).serving(0.75) == 4
        assert wrapper(costs.Gradual()).serving(0.75) == 1


# --- measured ---------------------------------------------------------------------------------------------------------


def measured(noise=0.0, drop=(), **columns):
    """Runs of two modalities whose FLOPs follow the cubic schedule, with noise on the log."""
    rng = np.random.default_rng(0)
    free, flops = "unstructured", costs.Gradual().multiplier
    rows = [
        {
            "modality": modality, "sparsity": S, "nonzero_params": N, "data_seen": D, "loss": 2.0,
            "structure": structure if S else "dense",
            "train_flops": per * N * D * flops(S) * np.exp(noise * rng.standard_normal()),
        }
        for modality, per in (("language", 6.0), ("vision", 6.0 * 196))
        for N in (1e6, 1e7)
        for D in (1e8, 1e9)
        for S, structure in ((0, ""), (0.5, free), (0.5, "2:4"), (0.7501, free), (0.9, free))
        if S not in drop
    ]  # fmt: skip
    table = bs.load_runs(rows)
    return table.assign({name: ("run", np.asarray(values)) for name, values in columns.items()})


def test_measured_is_the_ratio_to_dense_runs():
    found = costs.Measured.from_runs(measured())
    np.testing.assert_allclose(found.sparsity, [0.5, 0.7501, 0.9], rtol=1e-12)
    np.testing.assert_allclose(found.ratio, costs.Gradual().multiplier(np.array(found.sparsity)), rtol=1e-12)
    assert found.scatter == pytest.approx(0, abs=1e-12)
    assert costs.get("measured", measured()) == found
    for S, ratio in zip(found.sparsity, found.ratio, strict=True):
        assert found.multiplier(S) == pytest.approx(ratio, rel=1e-12)


def test_measured_runs_monotonously_between_levels_and_straight_beyond():
    found = costs.Measured.from_runs(measured())
    t = np.linspace(0, 8, 4001)
    log_ratio = np.log(found.multiplier(-np.expm1(-t)))
    assert (np.diff(log_ratio) > 0).all()
    beyond = log_ratio[t > -np.log1p(-0.9)]
    np.testing.assert_allclose(np.diff(beyond, 2), 0, atol=1e-12)
    inside = t < -np.log1p(-0.9)
    near = np.abs(log_ratio - np.log(costs.Gradual().multiplier(-np.expm1(-t))))[inside].max()
    assert near < 0.03  # between levels it is a guess, and a close one
    grid = xr.DataArray(np.linspace(0, 0.95, 6).reshape(2, 3), dims=("a", "b"), coords={"a": [1, 2]})
    assert found.multiplier(grid).dims == ("a", "b")
    np.testing.assert_array_equal(found.multiplier(grid), found.multiplier(grid.to_numpy()))


def test_measured_tells_its_scatter():
    found = costs.Measured.from_runs(measured(noise=0.1))
    assert 0.05 < found.scatter < 0.2
    assert found.ratio[0] == pytest.approx(1.375, rel=0.2)
    assert found != costs.Measured.from_runs(measured(noise=0.1), modality="language")


def test_measured_looks_where_it_is_told():
    runs = measured()
    twice = np.where(runs["structure"] == "2:4", 2.0, 1.0)
    runs = measured(wall_seconds=twice * runs["nonzero_params"] * runs["data_seen"] * (1 + runs["sparsity"]))
    by_time = costs.Measured.from_runs(runs, "wall_seconds", structure="2:4")
    assert by_time == costs.Measured((0.5,), by_time.ratio)
    assert by_time.ratio[0] == pytest.approx(3.0)
    free = costs.Measured.from_runs(runs, "wall_seconds", structure="unstructured", modality="vision")
    np.testing.assert_allclose(free.ratio, [1.5, 1.7501, 1.9])
    both = costs.Measured.from_runs(runs, "wall_seconds")
    assert both.ratio[0] == pytest.approx(np.sqrt(1.5 * 3.0))
    assert both.scatter > 0.1


def test_measured_compares_with_dense_runs_of_the_size():
    """Seconds per parameter fall with size, which must not pass for an effect of sparsity."""
    runs = measured()
    seconds = runs["nonzero_params"] ** 0.6 * runs["data_seen"] * (1 + runs["sparsity"])
    keep = (runs["nonzero_params"] < 2e6) | (runs["sparsity"] == 0)
    found = costs.Measured.from_runs(measured(wall_seconds=np.where(keep, seconds, np.nan)), "wall_seconds")
    np.testing.assert_allclose(found.ratio, [1.5, 1.7501, 1.9])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"column": "wall_seconds"}, "no column 'wall_seconds'"),
        ({"modality": "audio"}, "2 dense runs of audio.*have 0"),
        ({"structure": "1:4"}, "2 sparse runs of 1:4 .*have 0"),
    ],
)
def test_measured_needs_runs(arguments, words):
    with pytest.raises(InputError, match=words):
        costs.Measured.from_runs(measured(), **arguments)


def test_measured_needs_both_kinds_and_a_table():
    with pytest.raises(InputError, match="2 dense runs that have train_flops"):
        costs.Measured.from_runs(measured(drop=(0,)))
    with pytest.raises(InputError, match="2 sparse runs beside dense ones"):
        costs.Measured.from_runs(measured(drop=(0.5, 0.7501, 0.9)))
    with pytest.raises(InputError, match="from_runs"):
        costs.get("measured")


@pytest.mark.parametrize(
    ("levels", "ratios"),
    [
        ((), ()),
        ((0.5,), (1.0, 2.0)),
        ((0.5, 0.5), (1, 2)),
        ((0.0,), (1.0,)),
        ((0.5,), (0.0,)),
        ((0.5,), (float("nan"),)),
    ],
)
def test_a_measured_cost_that_cannot_be(levels, ratios):
    with pytest.raises(InputError):
        costs.Measured(levels, ratios)


def test_the_sweep_that_ships_bears_the_schedule_out():
    """Its runners counted FLOPs step by step, which the formula of the cubic schedule knows nothing of."""
    found = costs.Measured.from_runs(bs.datasets.load("python-stdlib"))
    np.testing.assert_allclose(found.ratio, costs.Gradual().multiplier(np.array(found.sparsity)), rtol=0.01)
    assert found.scatter < 0.01
