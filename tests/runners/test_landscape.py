# ruff: noqa: E402
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

import bayes_scaling as bs
from runners import checkpoints
from runners.ensemble import run_ensemble
from runners.landscape import eigenvalues, figures, landscape, power_law_tail
from runners.train import RunConfig, run


def matrix_with(singular, rows, columns, seed=0):
    """A random matrix with these singular values."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((size, len(singular))))[0] for size in (rows, columns))
    return torch.tensor(left * singular @ right.T)


def test_figures_of_a_known_spectrum():
    singular = np.array([3.0, 2.0, 1.0, 0.5])
    found = figures(matrix_with(singular, 7, 5))
    shares = singular**2 / (singular**2).sum()
    assert found["spectral_norm"] == pytest.approx(3.0)
    assert found["frobenius_norm"] == pytest.approx(math.sqrt(14.25))
    assert found["stable_rank"] == pytest.approx(14.25 / 9)
    assert found["entropy"] == pytest.approx(-(shares * np.log(shares)).sum() / math.log(4))
    assert found["weighted_exponent"] == pytest.approx(found["tail_exponent"] * math.log10(9))


def test_a_tail_is_found_where_it_begins():
    rng = np.random.default_rng(1)
    bulk, tail = rng.uniform(0.1, 1.0, 3000), (1 - rng.random(2000)) ** (-1 / 1.5)  # density λ^-2.5 from 1 on
    found = power_law_tail(np.sort(np.concatenate([bulk, tail])))
    assert found.exponent == pytest.approx(2.5, abs=3 * 1.5 / math.sqrt(found.size))
    assert 0.9 < found.start < 1.5
    assert found.ks < 1.5 / math.sqrt(found.size)
    # What is no power law fits worse than one.
    assert power_law_tail(np.sort(rng.uniform(1.0, 2.0, 2000))).ks > 2 * found.ks


def test_the_exponent_does_not_hang_on_the_scale():
    weight = torch.randn(40, 30, generator=torch.Generator().manual_seed(0))
    one, other = figures(weight), figures(100 * weight)
    for name in ("stable_rank", "tail_exponent", "tail_ks", "tail_size", "entropy"):
        assert other[name] == pytest.approx(one[name], rel=1e-5)


def test_matrices_without_much_of_a_spectrum():
    even = figures(torch.eye(8))
    assert (even["stable_rank"], even["entropy"], even["tail_exponent"]) == (pytest.approx(8), pytest.approx(1), None)
    single = figures(torch.ones(5, 4))
    assert (single["stable_rank"], single["entropy"], single["tail_exponent"]) == (pytest.approx(1), 0.0, None)
    assert len(eigenvalues(torch.randn(16, 2) @ torch.randn(2, 16))) == 2  # rounding is no rank
    nothing = figures(torch.zeros(3, 3))
    assert (nothing["spectral_norm"], nothing["entropy"], nothing["stable_rank"]) == (0.0, None, None)


def test_figures_are_those_of_weightwatcher():
    ww = pytest.importorskip("weightwatcher", reason="the oracle is optional: pip install weightwatcher")
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 96, bias=False), torch.nn.Linear(96, 40, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.randn(96, 64, generator=generator) * torch.linspace(0.1, 3, 64))
        model[1].weight.copy_(torch.randn(40, 96, generator=generator))
    details = ww.WeightWatcher(model=model).analyze(min_evals=8, randomize=False)
    for layer, (_, theirs) in zip(model, details.iterrows(), strict=True):
        own = figures(layer.weight)
        assert own["spectral_norm"] == pytest.approx(theirs["sv_max"], rel=1e-5)
        assert own["frobenius_norm"] ** 2 == pytest.approx(theirs["norm"], rel=1e-5)
        assert own["stable_rank"] == pytest.approx(theirs["stable_rank"], rel=1e-5)
        assert own["tail_exponent"] == pytest.approx(theirs["alpha"], rel=1e-4)
        assert own["tail_ks"] == pytest.approx(theirs["D"], rel=1e-3)
        assert own["tail_size"] == theirs["num_pl_spikes"]
        assert own["weighted_exponent"] == pytest.approx(theirs["alpha_weighted"], rel=1e-4)
        assert own["entropy"] == pytest.approx(theirs["entropy"], rel=1e-5)


def test_a_record_has_the_landscape_before_and_after(tiny, tmp_path):
    config = RunConfig(**tiny, sparsity=0.5, landscape=True)
    record = run(config, tmp_path, keep_model=tmp_path / "models" / "end.pt")
    before, after = record["landscape"]["before"], record["landscape"]["after"]
    assert before.keys() == after.keys()
    assert {"blocks.0.qkv", "blocks.1.down", "head", "token_embedding"} <= set(after)
    state = checkpoints.load(tmp_path / "models" / "end.pt")["model"]
    for name in ("blocks.0.qkv", "head"):  # the weights in use, without those that a mask removes
        key = f"{name}.parametrizations.weight"
        assert after[name] == figures(state[f"{key}.original"] * state[f"{key}.0.mask"])
        assert after[name] != before[name]
    exponents = [each["tail_exponent"] for name, each in after.items() if name.startswith("blocks.")]
    assert record["run"]["mean_tail_exponent"] == pytest.approx(np.mean(exponents))
    assert bs.load_runs(tmp_path)["mean_stable_rank"].item() == record["run"]["mean_stable_rank"]
    assert config.run_id != RunConfig(**tiny, sparsity=0.5).run_id
    plain = run(RunConfig(**tiny, sparsity=0.5))
    assert "landscape" not in plain
    assert plain["run"]["loss"] == record["run"]["loss"]


def test_the_landscape_before_is_that_of_the_weights_it_starts_from(tiny, tmp_path):
    dense = run(RunConfig(**{**tiny, "landscape": True, "nonzero_params": 6144}), keep_model=tmp_path / "dense.pt")
    later = run(RunConfig(**tiny, sparsity=0.5, pretrained=str(tmp_path / "dense.pt"), landscape=True))
    assert later["landscape"]["before"] == dense["landscape"]["after"]


def test_members_of_an_ensemble_have_theirs(tiny):
    configs = [RunConfig(**tiny, landscape=True), RunConfig(**{**tiny, "nonzero_params": 1536}, sparsity=0.5, seed=1)]
    together = run_ensemble(configs)
    alone = run(configs[0])
    for when in ("before", "after"):
        for name, each in alone["landscape"][when].items():
            assert together[0]["landscape"][when][name] == pytest.approx(each, rel=1e-2)
    assert "landscape" not in together[1]


def test_a_diverged_run_has_none_after(tiny):
    record = run(RunConfig(**tiny, learning_rate=1e20, clip=1e30, landscape=True))
    assert record["landscape"]["after"] == {}
    assert record["landscape"]["before"]
    assert record["run"]["mean_tail_exponent"] is None


def test_images_have_a_landscape_too():
    from runners import models

    model = models.get("vit").build(models.Shape(1, 16, 32), classes=4, input_shape=(3, 16, 16))
    assert {"patch_embedding", "blocks.0.up", "head"} <= set(landscape(model))
