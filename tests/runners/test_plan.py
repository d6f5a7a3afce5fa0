import json

import pytest

pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

import bayes_scaling as bs
from bayes_scaling.runs import InputError
from runners.plan import expand, load_plan, plan_names


def plan_of(tiny, **grid):
    return {"defaults": dict(tiny), "grid": [grid]}


def test_grids_are_crossed_and_repeats_counted(tiny):
    grid = {"seed": [0, 1], "kind": [["dense", 0.0], ["2:4", 0.5], ["unstructured", 0.75]]}
    plan = expand({"about": "x", "defaults": dict(tiny), "grid": [grid, {"seed": 1, "kind": [["2:4", 0.5]]}]})
    assert len(plan.configs) == 6
    assert (plan.repeats, plan.about) == (1, "x")
    assert {(c.structure, c.sparsity, c.seed) for c in plan.configs} >= {("dense", 0.0, 0), ("2:4", 0.5, 1)}


def test_plans_are_read_from_toml_and_json(tiny, tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps(plan_of(tiny, sparsity=[0.5, 0.75])))
    (tmp_path / "plan.toml").write_text("[defaults]\nnonzero_params = 6e3\n[[grid]]\nseed = [0, 1, 2]\n")
    assert len(load_plan(tmp_path / "plan.json").configs) == 2
    configs = load_plan(tmp_path / "plan.toml").configs
    assert [config.seed for config in configs] == [0, 1, 2]
    assert configs[0].nonzero_params == 6000
    assert isinstance(configs[0].nonzero_params, int)


def test_settings_hold_whatever_the_plan_says(tiny):
    configs = expand(plan_of(tiny, seed=[0, 1], batch_size=8), {"batch_size": 2}).configs
    assert {config.batch_size for config in configs} == {2}


def test_the_shipped_plans_are_sound():
    assert "first_sweep" in plan_names()
    for name in plan_names():
        plan = load_plan(name)
        assert len(plan.configs) == len({config.run_id for config in plan.configs}) >= 12
        assert plan.about
    configs = load_plan("first_sweep").configs
    assert {config.structure for config in configs} == {"dense", "unstructured", "2:4"}
    assert len({config.seed for config in configs}) > 1


def test_filters_drop_combinations(tiny):
    grid = {"sparsity": [0.0, 0.5, 0.75], "seed": [0, 1], "where": "seed == 0 or sparsity < 0.6"}
    plan = plan_of(tiny, **grid) | {"where": ["block_weights < 10_000"]}
    assert {(c.sparsity, c.seed) for c in expand(plan).configs} == {(0.0, 0), (0.0, 1), (0.5, 0), (0.5, 1)}
    # What would be impossible may be filtered away.
    grid = {
        "structure": ["unstructured", "2:4"],
        "sparsity": [0.5, 0.75],
        "where": "structure != '2:4' or sparsity == 0.5",
    }
    assert len(expand(plan_of(tiny, **grid)).configs) == 3


def test_a_pattern_implies_its_sparsity(tiny):
    configs = expand(plan_of(tiny, structure=["1:4", "2:4"])).configs
    assert [config.sparsity for config in configs] == [0.75, 0.5]


def test_pretrained_runs_bring_the_dense_run_that_they_start_from(tiny):
    grid = {"strategy": ["scratch", "pretrained"], "sparsity": [0.5, 0.75], "pretrain_data": 2048}
    configs = expand(plan_of(tiny, **grid)).configs
    sparse = [config for config in configs if config.pretrained is not None]
    starts = {config.run_id: config for config in configs if config.sparsity == 0}
    assert len(configs) == 6
    assert len(sparse) == len(starts) == 2
    for config in sparse:
        assert configs.index(starts[config.start]) < configs.index(config)
        assert starts[config.start].shape == config.shape
        assert starts[config.start].data_seen == 2048


def test_pretrained_runs_of_one_shape_share_their_start(tiny):
    grid = {"strategy": "pretrained", "kind": [["unstructured", 0.5], ["2:4", 0.5]], "pretrain_data": 2048}
    configs = expand(plan_of(tiny, **grid)).configs
    assert len([config for config in configs if config.sparsity == 0]) == 1


def test_a_method_for_pretrained_models_gets_its_start(tiny):
    grid = {"strategy": "pretrained", "method": "pst", "pst_rank": 2, "sparsity": 0.5, "pretrain_data": 2048}
    start, sparse = expand(plan_of(tiny, **grid)).configs
    assert (sparse.method, sparse.start) == ("pst", start.run_id)
    assert start.sparsity == 0


def test_a_table_of_runs_is_a_plan(tiny, tmp_path):
    runs = [
        {"nonzero_params": 3072, "data_seen": 1536, "sparsity": s, "modality": "language", "batch_size": 64, "rank": 1}
        for s in (0.0, 0.5)
    ]
    bs.save_runs(bs.load_runs(runs, need_loss=False), tmp_path / "next.csv")
    knobs = {name: value for name, value in tiny.items() if name not in ("nonzero_params", "data_seen")}
    configs = load_plan(tmp_path / "next.csv", knobs).configs
    assert [(c.nonzero_params, c.data_seen, c.sparsity, c.batch_size) for c in configs] == [
        (3072, 1536, 0.0, tiny["batch_size"]),
        (3072, 1536, 0.5, tiny["batch_size"]),
    ]
    with pytest.raises(InputError, match="has 2 runs, more than the 1 allowed"):
        load_plan(tmp_path / "next.csv", knobs, max_runs=1)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({}, r"at least one \[\[grid\]\]"),
        ({"grid": [{"depth": 3}]}, r"a plan sets \['depth'\]; allowed are"),
        ({"grid": [{"kind": ["2:4", 0.5]}]}, r"a list of \[structure, sparsity\] pairs"),
        ({"grid": [{}], "runs": 3}, r"found also \['runs'\]"),
        ({"grid": [{"where": "sparsity > 0.5"}]}, "its filters leave none of 1 combinations"),
        ({"grid": [{"seed": []}]}, "leave none of 0 combinations"),
        ({"grid": [{"where": "depth > 3"}]}, r"'depth > 3' cannot be evaluated .* it may name .*nonzero_params"),
        ({"grid": [{"where": 3}]}, "where is 3; an expression"),
        ({"grid": [{}, {"structure": "2:4", "sparsity": 0.7}]}, r"grid 2 of the plan, with .*2:4 means sparsity 0.5"),
        ({"grid": [{"strategy": "pretrained", "sparsity": 0.5}]}, "needs pretrain_data"),
        ({"grid": [{"strategy": "pretrained", "pretrain_data": 2048}]}, "sparsity above 0 is needed"),
        ({"grid": [{"strategy": "warm", "sparsity": 0.5}]}, "'scratch' or 'pretrained' is needed"),
        ({"grid": [{"seed": list(range(1000)), "layers": list(range(1, 1001))}]}, "1,000,000 combinations, more than"),
    ],
)
def test_wrong_plans(plan, message):
    with pytest.raises(InputError, match=message):
        expand(plan)


def test_a_start_of_another_shape_is_refused(tiny):
    # The pattern asks for multiples of 8, which no dense model is asked for.
    grid = {"strategy": "pretrained", "structure": "2:8", "nonzero_params": 5000, "pretrain_data": 2048}
    with pytest.raises(InputError, match=r"no dense model has the shape of the sparse one .* set multiple_of"):
        expand(plan_of(tiny, **grid))
    assert len(expand(plan_of(tiny, **grid, multiple_of=8)).configs) == 2


def test_unreadable_plans(tmp_path):
    with pytest.raises(InputError, match="neither a file nor one of the shipped plans"):
        load_plan("no_such_plan")
    (tmp_path / "plan.toml").write_text("grid = [")
    with pytest.raises(InputError, match="cannot be read"):
        load_plan(tmp_path / "plan.toml")


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("structures", "structures"),
        ("python-stdlib", "first_sweep"),
        ("transfer", "transfer"),
        ("regularisers", "regularisers"),
        ("batch_size", "batch_size"),
        ("mixtures", "mixtures"),
    ],
)
def test_the_shipped_plans_are_those_of_the_shipped_tables(name, plan):
    shipped = bs.datasets.load(name)
    planned = [config.run_id for config in load_plan(plan).configs]
    assert sorted(planned) == sorted(shipped["run_id"].to_numpy().tolist())
