# ruff: noqa: E402
"""Whole runs of every method: counts, FLOPs, going on after a stop, company, and what is refused."""

import math

import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from bayes_scaling.runs import InputError
from runners import checkpoints, models
from runners.build import build_optimizer, build_sparsifier
from runners.cost import planned_flops
from runners.ensemble import group, run_ensemble
from runners.plan import load_plan
from runners.sparsity import methods
from runners.train import RunConfig, batches_of, run

STEPS = 60

METHODS = {
    "random": {"method": "random", "schedule": "constant"},
    "random, gradual": {"method": "random", "structure": "block:4x4"},
    "set": {"method": "set", "schedule": "constant", "update_every": 7, "distribution": "erk"},
    "rigl": {"method": "rigl", "schedule": "constant", "update_every": 7},
    "srste": {"method": "srste", "schedule": "constant", "structure": "2:8"},
    "srste, gradual": {"method": "srste", "structure": "1:4"},
    "snip": {"method": "snip", "schedule": "constant", "distribution": "global", "snip_batches": 3},
    "snip, an epoch": {"method": "snip", "schedule": "constant"},
    "power": {"power": 2.0},
    "srste with power": {"method": "srste", "structure": "1:4", "schedule": "constant", "power": 1.5},
    "pst": {"method": "pst", "pst_rank": 2, "schedule": "constant"},
    "pst, gradual": {"method": "pst", "pst_rank": 2, "structure": "1:4"},
}


@pytest.fixture(scope="module")
def dense(tiny, tmp_path_factory):
    """A trained dense model of as many weights as the sparse ones have, zeros included."""
    file = tmp_path_factory.mktemp("dense") / "dense.pt"
    run(RunConfig(**{**tiny, "nonzero_params": 4 * 3072}), keep_model=file)
    return file


@pytest.fixture(params=METHODS)
def config(request, tiny, dense):
    more = METHODS[request.param]
    start = {"pretrained": str(dense)} if more.get("method") == "pst" else {}
    return RunConfig(**{**tiny, "data_seen": STEPS * 4 * 16, "sparsity": 0.75, "seed": 3, **start, **more})


def stopped(config, store, at):
    class StopNow(Exception):  # noqa: N818
        """Ends a run from its progress callback."""

    def stop(step, steps, loss):  # noqa: ARG001
        if step >= at:
            raise StopNow

    with pytest.raises(StopNow):
        run(config, store, stop, checkpoint_seconds=0.0)


def test_a_run_has_the_counts_and_the_flops_it_promised_and_goes_on_bit_by_bit(config, tmp_path):
    whole = run(config, tmp_path, keep_model=tmp_path / "whole.pt")
    row = whole["run"]
    assert whole["status"] == "finished"
    assert row["nonzero_params"] == 3072
    assert row["sparsity"] == 0.75
    assert row["embedding_nonzero"] == row["embedding_params"] / 2  # 1 - sqrt(1 - .75)
    assert row["train_flops"] == pytest.approx(planned_flops(config), rel=1e-3)
    if config.schedule == "constant":
        assert row["train_flops"] == 6 * 3072 * row["data_seen"]
    assert all(math.isfinite(point["train_loss"]) for point in whole["curve"])

    # What is stored is what the model computes with, and has as many non-zeros.
    model = checkpoints.load(tmp_path / "whole.pt")["model"]
    stored = {name: value for name, value in model.items() if name.endswith("weight.original")}
    assert all((value[~model[name.replace("original", "0.mask")]] == 0).all() for name, value in stored.items())
    assert sum(int(value.count_nonzero()) for name, value in stored.items() if name.startswith("blocks")) == 3072

    for at in (9, 33):
        stopped(config, tmp_path / "cut", at)
    cut = run(config, tmp_path / "cut", keep_model=tmp_path / "cut.pt")
    times = ("wall_seconds", "units_per_second", "peak_memory")
    assert {k: v for k, v in cut["run"].items() if k not in times} == {k: v for k, v in row.items() if k not in times}
    assert (cut["curve"], cut["flops"]) == (whole["curve"], whole["flops"])
    other = checkpoints.load(tmp_path / "cut.pt")["model"]
    assert model.keys() == other.keys()
    assert all(torch.equal(model[name], other[name]) for name in model)


def test_runs_train_together_where_the_method_can_and_alone_where_it_cannot(tiny):
    shared = {**tiny, "data_seen": 40 * 4 * 16, "sparsity": 0.75, "schedule": "constant", "update_every": 7}
    together = [
        RunConfig(**shared, method="random", seed=1),
        RunConfig(**shared, method="set"),
        RunConfig(**shared, method="snip", snip_batches=2, distribution="global"),
        RunConfig(**{**shared, "schedule": "polynomial"}),
    ]
    alone = [
        RunConfig(**shared, method="rigl"),
        RunConfig(**shared, method="srste", structure="1:4"),
        RunConfig(**shared, power=2.0),
        RunConfig(**shared, power=2.0, seed=1),
    ]
    assert group([*together, *alone]) == [together, *([config] for config in alone)]
    for config, record in zip(together, run_ensemble(together), strict=True):
        single = run(config)
        assert record["run"]["loss"] == pytest.approx(single["run"]["loss"], rel=2e-4)
        assert record["flops"] == single["flops"]
        assert record["parameters"] == single["parameters"]
    for config in alone:
        with pytest.raises(InputError, match=r"cannot train in an ensemble; runners\.train\.run trains it alone"):
            run_ensemble([config])


def test_powerpropagation_starts_from_the_same_model(tiny):
    plain, power = (RunConfig(**tiny, sparsity=0.75, power=power) for power in (1.0, 3.0))
    batches = batches_of(plain)
    built = [models.get("decoder").build(plain.shape, batches.classes, (16,)) for _ in range(2)]
    built[1].load_state_dict(built[0].state_dict())
    for config, model in zip((plain, power), built, strict=True):
        build_sparsifier(config, model)
    for one, other in zip(*([*m.block_layers(), *m.embedding_layers()] for m in built), strict=True):
        assert torch.allclose(one.weight, other.weight, rtol=1e-5, atol=1e-8)
    row = run(power)["run"]
    assert (row["power"], row["method"]) == (3.0, "magnitude")
    assert "power" not in run(plain)["run"]


def test_pst_trains_one_or_two_per_cent_of_a_sensible_model(tiny, dense):
    config = RunConfig(nonzero_params=12_600_000, sparsity=0.75, head_size=64, method="pst", pretrained="dense.pt")
    with torch.device("meta"):
        model = models.get("decoder").build(config.shape, classes=32_000, input_shape=(64,))
        everything = sum(parameter.numel() for parameter in model.parameters())
        build_sparsifier(config, model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    share = sum(parameter.numel() for parameter in trained) / everything
    assert config.shape.width >= 1024
    assert 0.01 < share < 0.025
    held = {id(p) for group in build_optimizer(config, model).param_groups for p in group["params"]}
    assert held == {id(parameter) for parameter in trained}

    config = RunConfig(**tiny, sparsity=0.75, method="pst", pst_rank=1, pretrained=str(dense))
    row = run(config)["run"]
    outputs_and_inputs = sum(sum(layer.weight.shape) for layer in _layers(config))
    assert row["trained_params"] == 3 * outputs_and_inputs  # a row and a column of U V, of A B, and of R + C
    assert row["trained_share"] == pytest.approx(row["trained_params"] / _weights(config))
    assert row["strategy"] == "pretrained"


def _model(config):
    return models.get("decoder").build(config.shape, classes=256, input_shape=(16,))


def _layers(config):
    model = _model(config)
    return [*model.block_layers(), *model.embedding_layers()]


def _weights(config):
    return sum(parameter.numel() for parameter in _model(config).parameters())


def test_snip_looks_at_an_epoch_and_no_further(tiny):
    from runners.train import first_losses

    config = RunConfig(**{**tiny, "data_seen": 500_000, "batch_size": 64}, sparsity=0.75)
    batches = batches_of(config)
    asked = []

    class Model(torch.nn.Module):
        def forward(self, tokens):
            asked.append(tokens)
            return torch.zeros(*tokens.shape, batches.classes)

    for _ in first_losses(config, batches, Model(), torch.device("cpu")):
        pass
    assert batches.order.epoch(len(asked) - 1) == 0
    assert batches.order.epoch(len(asked)) == 1
    assert len(asked) < config.steps


def test_new_knobs_leave_the_names_of_earlier_runs_alone():
    assert RunConfig().run_id == "n6144-d1048576-dense-s0-0-c7c6efbb"
    assert RunConfig(sparsity=0.75).run_id == "n6144-d1048576-unstructured-s0.75-0-a54a9d66"


def test_knobs_of_other_methods_make_no_other_run():
    sparse = {"sparsity": 0.75, "schedule": "constant"}
    assert RunConfig(**sparse).run_id == RunConfig(**sparse, pst_rank=3, update_every=7).run_id
    assert RunConfig().run_id == RunConfig(power=2.0, snip_batches=4).run_id
    rigl = RunConfig(**sparse, method="rigl")
    assert rigl.run_id != RunConfig(**sparse, method="rigl", update_every=7).run_id
    assert rigl.run_id != RunConfig(**sparse, method="set").run_id


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"method": "snip"}, "'snip' prunes at initialisation, which schedule 'polynomial' does not"),
        ({"method": "snip", "schedule": "constant", "pretrained": "x.pt"}, "with pretrained there is none"),
        ({"method": "srste"}, "'srste' is for n:m, found structure unstructured"),
        ({"method": "srste", "structure": "block:4x4"}, "found structure block:4x4"),
        ({"method": "set"}, "'set' trains sparse from the first step, which schedule 'polynomial' does not"),
        ({"method": "rigl", "schedule": "one_shot"}, "schedule 'one_shot' does not; schedule 'constant' is needed"),
        ({"method": "rigl", "schedule": "constant", "structure": "1:4"}, "cannot keep structure 1:4"),
        ({"method": "set", "schedule": "constant", "structure": "block:4x4"}, "cannot keep structure block:4x4"),
        ({"method": "rigl", "schedule": "constant", "power": 2.0}, "a weight at zero has no gradient"),
        ({"method": "pst"}, "'pst' fine-tunes a trained dense model; pretrained is needed"),
        ({"method": "pst", "pretrained": "x.pt", "power": 2.0}, "'pst' freezes the weights that it would act on"),
        ({"power": 0.5}, "power is 0.5; a number of at least 1"),
        ({"power": math.nan}, "power is nan"),
        ({"method": "set", "schedule": "constant", "update_every": 0}, "update_every is 0"),
        ({"method": "set", "schedule": "constant", "update_end": 1.5}, "update_end is 1.5"),
        ({"method": "srste", "structure": "1:4", "srste_decay": -0.1}, "srste_decay is -0.1"),
        ({"snip_batches": -1}, "snip_batches is -1"),
        ({"pst_rank": 0}, "pst_rank is 0"),
        (
            {"method": "movement"},
            "method 'movement' is not known; the methods are 'magnitude', 'pst', 'random', 'rigl'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(knobs, message):
    with pytest.raises(InputError, match=message) as caught:
        RunConfig(**{"sparsity": 0.75, **knobs})
    assert "\n" not in str(caught.value)


def test_the_plan_of_all_methods_compares_like_with_like():
    configs = {config.run_id: config for config in load_plan("methods").configs}
    assert {config.method for config in configs.values()} == set(methods.names())
    assert {config.start for config in configs.values()} - {None} < set(configs)
    for sparsity in (0.75, 0.9):
        alike = [config for config in configs.values() if config.sparsity == sparsity]
        assert len({(config.shape, config.data_seen, config.nonzero_params) for config in alike}) == 1
        assert {config.seed for config in alike} == {0, 1, 2}
