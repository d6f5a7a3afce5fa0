# ruff: noqa: E402
"""Parametrizations under which one learning rate suits all widths and densities: what they promise, by computing it."""

import math

import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from bayes_scaling.runs import InputError
from runners.build import build_model, build_optimizer, build_sparsifier
from runners.ensemble import run_ensemble
from runners.evaluate import cross_entropy
from runners.mup import set_rates
from runners.train import RunConfig, batches_of, run

STATIC = {"method": "random", "schedule": "constant", "embedding_sparsity": "none"}


def of_width(tiny, width, sparsity=0.0, **more):
    """A run on a decoder of two blocks whose MLP is four times as wide."""
    weights = round(24 * width**2 * (1 - sparsity))
    config = RunConfig(**{**tiny, "nonzero_params": weights, "sparsity": sparsity, **more})
    assert (config.shape.width, config.shape.mlp_width) == (width, 4 * width)
    return config


def started(config):
    """Model and optimizer before the first step, with the masks of that step."""
    batches = batches_of(config)
    model = build_model(config, batches)
    sparsifier = build_sparsifier(config, model)
    optimizer = build_optimizer(config, model)
    sparsifier.before(0, optimizer)
    return batches, model, sparsifier, optimizer


def moved(config, steps=4):
    """How far some pre-activations and the logits go in a few steps, root mean square: (queries, MLP, logits)."""
    batches, model, sparsifier, optimizer = started(config)
    inputs = torch.from_numpy(batches.batch(0)[0])
    seen = {}
    for name in ("qkv", "up"):
        layer = getattr(model.blocks[1], name)
        layer.register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, out.detach()))

    def look():
        with torch.no_grad():
            logits = model(inputs)
        return [*seen.values(), logits]

    before = look()
    for step in range(steps):
        set_rates(config, optimizer, step)
        sparsifier.before(step, optimizer)
        x, y = map(torch.from_numpy, batches.batch(step))
        cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
    return [(new - old).pow(2).mean().sqrt().item() for new, old in zip(look(), before, strict=True)]


@pytest.fixture(scope="module")
def knobs(tiny):
    return {**tiny, "context": 32, "batch_size": 8, "data_seen": 64 * 256, "learning_rate": 0.01, "warmup": 0.0}


def spread(changes):
    """Largest over smallest, of each of the things that moved."""
    return [max(values) / min(values) for values in zip(*changes, strict=True)]


def test_steps_change_what_is_computed_alike_at_all_widths(knobs):
    changes = {
        name: [moved(of_width(knobs, width, parametrization=name)) for width in (32, 64, 128)]
        for name in ("standard", "mup")
    }
    assert max(spread(changes["mup"])) < 1.35
    assert max(spread(changes["standard"])) > 1.8
    assert changes["mup"][0] == changes["standard"][0]  # the base


def test_steps_change_what_is_computed_alike_at_all_densities(knobs):
    changes = {
        name: [moved(of_width(knobs, 128, s, parametrization=name, **STATIC if s else {})) for s in (0.0, 0.5, 0.875)]
        for name in ("standard", "mup", "smupar")
    }
    assert max(spread(changes["smupar"])) < 1.25
    assert min(spread(changes["mup"])) > 2.5  # width alone leaves sparse models behind
    assert max(spread(changes["standard"])) > 4


def figures(config, step=0):
    """Deviation of the weights in use, learning rate over the peak's, and weight decay, by layer."""
    _, model, _, optimizer = started(config)
    set_rates(config, optimizer, step)
    peak = set_rates_alone(config, step)
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    found = {}
    for name in ("token_embedding", "blocks.0.qkv", "blocks.1.down", "blocks.1.mlp_norm", "head"):
        layer = model.get_submodule(name)
        weight, group = layer.weight.detach(), groups[id(next(layer.parameters()))]
        found[name] = weight[weight != 0].std().item(), group["lr"] / peak, group["weight_decay"]
    return found


def set_rates_alone(config, step):
    """The rate of a step where nothing scales it."""
    plain = RunConfig(**{**vars_of(config), "parametrization": "standard", "sparsity": 0.0, "structure": "dense"})
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter])
    set_rates(plain, optimizer, step)
    return optimizer.param_groups[0]["lr"]


def vars_of(config):
    return {name: getattr(config, name) for name in RunConfig.__dataclass_fields__}


# Width 64 over a base of 32, density 1/4 of the blocks and 1/2 of the output layer: m_d 2, m_rho 1/4 and 1/2.
TABLE = {
    ("mup", "dense"): {"blocks": (1, 1 / 2, 2), "head": (2**-0.5, 1 / 2, 2)},
    ("mup", "static"): {"blocks": (1, 1 / 2, 2), "head": (2**-0.5, 1 / 2, 2)},
    ("smupar", "static"): {"blocks": (2, 2, 1 / 2), "head": (2**-0.5 * 2, 1, 1)},
    ("smupar", "gradual"): {"blocks": (1, 1 / 2, 2), "head": (2**-0.5, 1 / 2, 2)},  # dense yet
}


@pytest.mark.parametrize(("name", "masks"), TABLE)
def test_the_table_of_rules(knobs, name, masks):
    sparse = {"static": (0.75, {**STATIC, "embedding_sparsity": "sqrt"}), "gradual": (0.75, {}), "dense": (0.0, {})}
    sparsity, more = sparse[masks]
    config = of_width(knobs, 64, sparsity, parametrization=name, weight_decay=0.03, **more)
    plain = figures(of_width(knobs, 64, weight_decay=0.03))
    rules = TABLE[name, masks] | {"token_embedding": (1, 1, 1), "blocks.1.mlp_norm": (1, 1, 1)}
    for layer, (deviation, rate, decay) in figures(config).items():
        times, faster, stronger = rules.get(layer, rules["blocks"])
        if "norm" not in layer:
            assert deviation == pytest.approx(plain[layer][0] * times, rel=0.03), layer
        assert rate == pytest.approx(faster), layer
        assert decay == pytest.approx(plain[layer][2] * stronger), layer


def test_a_gradual_schedule_raises_rates_as_weights_go(knobs):
    config = of_width(knobs, 64, 0.75, parametrization="smupar", embedding_sparsity="none")
    for step in range(0, config.steps, 7):
        density = 1 - 0.75 * config.pruning_schedule.ramp(step, config.steps)
        found = figures(config, step)
        assert found["blocks.0.qkv"][1] == pytest.approx(1 / (2 * density))
        assert found["blocks.0.qkv"][2] == pytest.approx(0.01 * 2 * density)
        assert found["head"][1] == pytest.approx(1 / 2)
    assert found["blocks.0.qkv"][1] == pytest.approx(2)


def test_at_the_base_nothing_changes(knobs):
    standard, mup = (run(of_width(knobs, 32, parametrization=name))["run"] for name in ("standard", "mup"))
    assert mup["loss"] == standard["loss"]
    assert (mup["parametrization"], mup["base_width"]) == ("mup", 32)
    assert "parametrization" not in standard
    assert run(of_width(knobs, 32, parametrization="mup", base_width=64))["run"]["loss"] != standard["loss"]


def test_the_default_rate_is_that_of_the_base(tiny):
    base = RunConfig(**{**tiny, "nonzero_params": 24 * 32**2}).learning_rate
    for sparsity in (0.0, 0.75):
        assert of_width(tiny, 64, sparsity, parametrization="smupar").learning_rate == base
    assert of_width(tiny, 64).learning_rate != base


def test_names_of_runs_without_it_stay():
    assert RunConfig(base_width=64).run_id == RunConfig().run_id
    names = {RunConfig(parametrization="mup", base_width=width).run_id for width in (32, 64)}
    assert len(names | {RunConfig().run_id, RunConfig(parametrization="smupar").run_id}) == 4


def test_members_of_an_ensemble_keep_their_own_rates(knobs):
    alike = {**knobs, "weight_decay": 0.1, "prune_every": 3}
    configs = [
        of_width(alike, 16),
        of_width(alike, 16, parametrization="mup"),
        of_width(alike, 16, 0.75, parametrization="smupar"),
        of_width(alike, 16, 0.75, parametrization="smupar", base_width=64, **STATIC),
    ]
    together = [record["run"]["loss"] for record in run_ensemble(configs)]
    alone = [run(config)["run"]["loss"] for config in configs]
    assert together == pytest.approx(alone, rel=2e-4)
    assert len({round(loss, 3) for loss in alone}) == len(configs)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"parametrization": "ntk"}, "parametrization is 'ntk'; allowed are 'standard', 'mup', 'smupar'"),
        ({"base_width": 0}, "base_width is 0"),
        ({"parametrization": "mup", "power": 2.0}, "'mup' is of weights as they are stored, found power 2"),
        ({"parametrization": "mup", "method": "pst", "pretrained": "x.pt"}, "which method 'pst' freezes"),
        ({"parametrization": "smupar", "distribution": "erk"}, "distribution 'erk' gives each its own"),
        ({"parametrization": "smupar", "schedule": "constant"}, "method 'magnitude' chooses from the first step on"),
        (
            {"parametrization": "smupar", "schedule": "constant", "method": "srste", "structure": "2:8"},
            "method 'srste' chooses from the first step on",
        ),
    ],
)
def test_what_the_rules_do_not_hold_for_is_refused(more, message):
    with pytest.raises(InputError, match=message) as caught:
        RunConfig(**{"sparsity": 0.75, **more})
    assert "\n" not in str(caught.value)


def test_what_starts_by_chance_or_dense_is_not_refused():
    for more in ({}, {"distribution": "erk", "parametrization": "mup"}, STATIC, {**STATIC, "method": "rigl"}):
        config = RunConfig(**{"sparsity": 0.75, "parametrization": "smupar", **more})
        assert math.isfinite(config.learning_rate)
