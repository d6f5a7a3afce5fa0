# ruff: noqa: E402
"""Dropout and noise on inputs."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from bayes_scaling.runs import InputError
from runners.build import build_model
from runners.data import load_batches
from runners.devices import pick_device
from runners.ensemble import group, run_ensemble
from runners.noise import drawing, training_batch
from runners.train import RunConfig, run


class StopNow(Exception):  # noqa: N818
    """Ends a run from its progress callback."""


def stop_at(at):
    def stop(step, *_):
        if step >= at:
            raise StopNow

    return stop


def of(tiny, config):
    return load_batches(
        "language", tiny["corpus"], context=config.context, batch_size=config.batch_size, seed=config.seed
    )


@pytest.mark.parametrize(
    "knobs",
    [{"dropout": 0.3}, {"input_noise": 0.2}, {"dropout": 0.2, "input_noise": 0.1, "weight_decay": 0.3}],
    ids=repr,
)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_noisy_run_goes_on_bit_by_bit(tiny, tmp_path, knobs, device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA")
    config = RunConfig(**{**tiny, "data_seen": 60 * 64, "device": device}, sparsity=0.5, **knobs)
    whole = run(config)
    with pytest.raises(StopNow):
        run(config, tmp_path, stop_at(33), checkpoint_seconds=0.0)
    record = run(config, tmp_path)
    assert record["curve"] == whole["curve"]
    assert record["run"]["loss"] == whole["run"]["loss"]
    for name in ("dropout", "input_noise", "weight_decay"):
        assert record["run"][name] == getattr(config, name)


def test_dropout_drops_in_training_only_and_leaves_the_callers_state_alone(tiny):
    config = RunConfig(**tiny, dropout=0.5)
    batches = of(tiny, config)
    model = build_model(config, batches)
    inputs = torch.from_numpy(batches.batch(0)[0])
    cpu = pick_device("cpu")

    def logits(step):
        with drawing(config, step, cpu):
            return model(inputs)

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(logits(3), logits(3))
    assert not torch.equal(logits(3), logits(4))
    assert torch.rand(1) == expected
    model.eval()
    assert torch.equal(logits(3), logits(4))
    plain = build_model(RunConfig(**tiny), batches)
    assert torch.equal(model(inputs), plain(inputs))  # the same weights as without
    whole = run(RunConfig(**tiny))["run"]["loss"]
    assert run(config)["run"]["loss"] > whole


def test_noise_replaces_so_many_tokens_and_no_target(tiny):
    config = RunConfig(**tiny, input_noise=0.25)
    batches = of(tiny, config)
    changed = []
    for step in range(200):
        inputs, targets = training_batch(config, batches, step)
        clean, clean_targets = batches.batch(step)
        assert (targets == clean_targets).all()
        assert inputs.dtype == clean.dtype
        changed.append((inputs != clean).mean())
        assert (inputs == training_batch(config, batches, step)[0]).all()
    assert np.mean(changed) == pytest.approx(0.25 * 255 / 256, abs=0.012)
    assert training_batch(RunConfig(**tiny), batches, 7)[0] is not None
    assert (training_batch(RunConfig(**tiny), batches, 7)[0] == batches.batch(7)[0]).all()


def test_noise_on_images_has_its_standard_deviation(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="needs bayes-scaling[runners]")
    for i in range(60):
        (tmp_path / str(i % 2)).mkdir(exist_ok=True)
        pixels = np.random.default_rng(i).integers(256, size=(16, 16, 3)).astype(np.uint8)
        image.fromarray(pixels).save(tmp_path / str(i % 2) / f"{i}.png")
    config = RunConfig(modality="vision", corpus=str(tmp_path), image_size=16, batch_size=8, input_noise=0.5)
    batches = load_batches("vision", config.corpus, image_size=16, batch_size=8, seed=0)
    inputs, targets = training_batch(config, batches, 2)
    clean, clean_targets = batches.batch(2)
    assert inputs.dtype == np.float32
    assert (inputs - clean).std() == pytest.approx(0.5, rel=0.03)
    assert (targets == clean_targets).all()


def test_noisy_runs_train_together_and_dropout_alone(tiny):
    noisy = [RunConfig(**tiny, input_noise=0.2, seed=seed, weight_decay=decay) for seed, decay in ((0, 0.01), (1, 0.5))]
    dropped = [RunConfig(**tiny, dropout=0.1, seed=seed) for seed in (0, 1)]
    assert group([*noisy, RunConfig(**tiny), *dropped]) == [noisy, [RunConfig(**tiny)], *([each] for each in dropped)]
    for config, record in zip(noisy, run_ensemble(noisy), strict=True):
        assert record["run"]["loss"] == pytest.approx(run(config)["run"]["loss"], rel=2e-4)
    with pytest.raises(InputError, match=r"dropout 0.1 cannot train in an ensemble; runners.train.run trains it alone"):
        run_ensemble(dropped[:1])


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"dropout": 1.0}, r"dropout is 1.0; a number in \[0, 1\)"),
        ({"input_noise": 1.0}, r"input_noise is 1.0; a share in \[0, 1\)"),
        ({"input_noise": -0.1, "modality": "vision"}, "input_noise is -0.1; a standard deviation of at least 0"),
    ],
)
def test_wrong_noise(knobs, message):
    with pytest.raises(InputError, match=message):
        RunConfig(**knobs)


def test_knobs_that_are_off_leave_names_alone(tiny):
    off = {"dropout": 0.0, "input_noise": 0.0, "landscape": False}
    assert RunConfig(**tiny).run_id == RunConfig(**tiny, **off).run_id
    assert RunConfig(**tiny).run_id != RunConfig(**tiny, dropout=0.1).run_id
