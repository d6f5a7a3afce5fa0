import json

import pytest

pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

import bayes_scaling as bs
from bayes_scaling.runs import InputError
from runners import records, sweep
from runners.sweep import expand, load_plan, plan_names, run_plan, table


def plan_of(tiny, **grid):
    return {"defaults": dict(tiny), "grid": [grid or {"sparsity": [0.5, 0.75]}]}


def test_grids_are_crossed_and_repeats_dropped(tiny):
    grid = {"seed": [0, 1], "kind": [["dense", 0.0], ["2:4", 0.5], ["unstructured", 0.75]]}
    configs = expand({"defaults": dict(tiny), "grid": [grid, {"seed": 1, "kind": [["2:4", 0.5]]}]})
    assert len(configs) == 6
    assert {(c.structure, c.sparsity, c.seed) for c in configs} >= {("dense", 0.0, 0), ("2:4", 0.5, 1)}


def test_plans_are_read_from_toml_and_json(tiny, tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps(plan_of(tiny)))
    (tmp_path / "plan.toml").write_text("[defaults]\nnonzero_params = 6144\n[[grid]]\nseed = [0, 1, 2]\n")
    assert len(load_plan(tmp_path / "plan.json")) == 2
    assert [config.seed for config in load_plan(tmp_path / "plan.toml")] == [0, 1, 2]


def test_the_shipped_plan_is_sound():
    assert "first_sweep" in plan_names()
    configs = load_plan("first_sweep")
    assert len(configs) == len({config.run_id for config in configs}) >= 48
    assert len({config.nonzero_params for config in configs}) >= 4
    assert len({config.data_seen for config in configs}) >= 4
    assert {config.structure for config in configs} == {"dense", "unstructured", "2:4"}
    assert len({config.seed for config in configs}) > 1


def test_a_sweep_trains_the_cheapest_first_and_skips_what_is_done(tiny, tmp_path):
    configs = expand(plan_of(tiny, sparsity=[0.75, 0.0, 0.5]))
    lines = []
    first = run_plan(configs[:1], tmp_path)
    summary = run_plan(configs, tmp_path, progress=lambda where: lines.append(where))
    assert first.finished == summary.skipped == [configs[0].run_id]
    assert summary.finished == [configs[1].run_id, configs[2].run_id]
    assert [line.remaining for line in lines] == [1, 0]
    assert "3 done, 0 to go" in str(lines[-1])
    again = run_plan(configs, tmp_path)
    assert len(again.skipped) == 3
    assert not again.finished
    assert [row["sparsity"] for row in table(tmp_path)] == [0.0, 0.5, 0.75]


def test_worker_processes_give_the_same_losses(tiny, tmp_path):
    configs = expand(plan_of(tiny))
    run_plan(configs, tmp_path / "one")
    summary = run_plan(configs, tmp_path / "two", workers=2)
    assert sorted(summary.finished) == sorted(config.run_id for config in configs)
    losses = [[row["loss"] for row in table(tmp_path / store)] for store in ("one", "two")]
    assert losses[0] == losses[1]


def test_ctrl_c_leaves_whole_records_and_the_rest_for_later(tiny, tmp_path, monkeypatch):
    configs = expand(plan_of(tiny, seed=[0, 1, 2]))
    real, calls = sweep.run, []

    def interrupted(config, store):
        calls.append(config)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(config, store)

    monkeypatch.setattr(sweep, "run", interrupted)
    summary = run_plan(configs, tmp_path)
    assert summary.interrupted
    assert records.done(tmp_path) == set(summary.finished)
    assert len(summary.finished) == 1
    resumed = run_plan(configs, tmp_path)
    assert len(resumed.finished) == 2
    assert not resumed.interrupted


def test_one_failing_run_does_not_stop_the_others(tiny, tmp_path, monkeypatch):
    configs = expand(plan_of(tiny, seed=[0, 1]))
    real = sweep.run

    def failing(config, store):
        if config.seed == 0:
            raise RuntimeError("no memory")
        return real(config, store)

    monkeypatch.setattr(sweep, "run", failing)
    summary = run_plan(configs, tmp_path)
    assert summary.failed == {configs[0].run_id: "RuntimeError: no memory"}
    assert summary.finished == [configs[1].run_id]


def test_a_diverged_run_counts_as_done(tiny, tmp_path):
    configs = expand(plan_of(tiny, learning_rate=1e20, clip=1e30))
    assert run_plan(configs, tmp_path).diverged == [configs[0].run_id]
    assert run_plan(configs, tmp_path).skipped == [configs[0].run_id]
    assert table(tmp_path) == []


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({}, r"at least one \[\[grid\]\]"),
        ({"grid": [{"depth": 3}]}, r"a plan sets \['depth'\]; allowed are"),
        ({"grid": [{"kind": ["2:4", 0.5]}]}, r"a list of \[structure, sparsity\] pairs"),
        ({"grid": [{}], "runs": 3}, r"found also \['runs'\]"),
    ],
)
def test_wrong_plans(plan, message):
    with pytest.raises(InputError, match=message):
        expand(plan)


def test_unreadable_plans(tmp_path):
    with pytest.raises(InputError, match="neither a file nor one of the shipped plans"):
        load_plan("no_such_plan")
    (tmp_path / "plan.toml").write_text("grid = [")
    with pytest.raises(InputError, match="cannot be read"):
        load_plan(tmp_path / "plan.toml")


def test_wrong_number_of_workers(tmp_path):
    with pytest.raises(InputError, match="workers is 0"):
        run_plan([], tmp_path, workers=0)


def test_the_shipped_plan_is_the_one_of_the_shipped_table():
    shipped = bs.datasets.load("python-stdlib")
    assert sorted(config.run_id for config in load_plan("first_sweep")) == sorted(shipped["run_id"].to_numpy().tolist())


def test_a_run_without_memory_leaves_a_record_and_the_sweep_goes_on(tiny, tmp_path, monkeypatch):
    import torch

    from runners import train

    configs = expand(plan_of(tiny, sparsity=[0.0, 0.5]))
    build = train.build_optimizer

    def full(config, model):
        if config.sparsity == 0.5:
            torch.empty(2**62, dtype=torch.uint8)
        return build(config, model)

    monkeypatch.setattr(train, "build_optimizer", full)
    summary = run_plan(configs, tmp_path)
    assert summary.finished == [configs[0].run_id]
    assert "out of memory" in summary.failed[configs[1].run_id]
    assert bs.load_runs(tmp_path)["sparsity"].to_numpy().tolist() == [0.0]
    (tmp_path / f"{configs[0].run_id}.json").rename(tmp_path / "aside")
    with pytest.raises(InputError, match="holds 1 run records, and all of them failed"):
        bs.load_runs(tmp_path)
    (tmp_path / "aside").rename(tmp_path / f"{configs[0].run_id}.json")
    monkeypatch.undo()
    assert run_plan(configs, tmp_path).finished == [configs[1].run_id]
