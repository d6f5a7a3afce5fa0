# ruff: noqa: E402
import math
import platform

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

from bayes_scaling.runs import InputError
from runners.rates import learning_rate
from runners.store import Store
from runners.train import RunConfig, run


@pytest.mark.parametrize(("structure", "sparsity"), [("unstructured", 0.75), ("2:4", 0.5), ("dense", 0.0)])
def test_a_run_ends_as_a_record_with_the_counts_it_promised(tiny, tmp_path, structure, sparsity):
    config = RunConfig(**tiny, structure=structure, sparsity=sparsity)
    record = run(config, tmp_path)
    row = record["run"]
    assert Store(tmp_path).read(config.run_id)["run"] == row
    assert record["status"] == "finished"
    assert row["structure"] == structure
    assert row["nonzero_params"] == 3072
    assert row["total_params"] == config.shape.block_weights == round(3072 / (1 - sparsity))
    assert row["sparsity"] == pytest.approx(sparsity, abs=1e-12)
    assert row["data_seen"] == 24 * 4 * 16
    assert row["unique_data"] == row["data_seen"]
    assert 1 < row["loss"] < math.log(256)
    assert record["curve"][-1]["heldout_loss"] == row["loss"]
    assert record["parameters"]["blocks"]["nonzero"] == 3072
    assert row["embedding_params"] == 2 * 256 * config.shape.width
    assert record["versions"]["python"] == platform.python_version()
    if structure == "dense":
        assert row["train_flops"] == 6 * 3072 * row["data_seen"]
    else:
        assert 6 * 3072 * row["data_seen"] < row["train_flops"] < 6 * row["total_params"] * row["data_seen"]


def test_flops_follow_the_cubic_schedule(tiny):
    config = RunConfig(**{**tiny, "data_seen": 200 * 64, "prune_every": 1}, sparsity=0.75)
    row = run(config)["run"]
    assert row["train_flops"] / (6 * row["nonzero_params"] * row["data_seen"]) == pytest.approx(2.125, rel=0.01)


def test_embeddings_are_pruned_by_the_square_root_rule_or_not_at_all(tiny):
    row = run(RunConfig(**tiny, sparsity=0.75))["run"]
    assert row["embedding_nonzero"] == row["embedding_params"] / 2  # 1 - sqrt(1 - .75)
    row = run(RunConfig(**tiny, sparsity=0.75, embedding_sparsity="none"))["run"]
    assert row["embedding_nonzero"] == row["embedding_params"]


def test_the_same_configuration_gives_the_same_loss_and_another_seed_another(tiny):
    config = RunConfig(**tiny, sparsity=0.5)
    torch.manual_seed(99)
    first, before = run(config), torch.rand(1)
    torch.manual_seed(99)
    assert torch.rand(1) == before  # the caller's random state is left alone
    second = run(config)
    assert first["run"]["loss"] == second["run"]["loss"]
    assert first["curve"] == second["curve"]
    assert run(RunConfig(**tiny, sparsity=0.5, seed=1))["run"]["loss"] != first["run"]["loss"]


@pytest.mark.parametrize("family", [{"activation": "swiglu"}, {"scaling": "depth", "width": 16}, {"head_size": 4}])
def test_other_architectures_hit_their_target_too(tiny, family):
    row = run(RunConfig(**{**tiny, "nonzero_params": 12288, **family}, sparsity=0.75))["run"]
    assert row["nonzero_params"] == pytest.approx(12288, rel=0.02)
    assert row["sparsity"] == pytest.approx(0.75, abs=1e-3)


def test_flops_of_embeddings_and_attention_are_counted_apart(tiny):
    record = run(RunConfig(**tiny))
    width, context = record["run"]["width"], 16
    data = record["run"]["data_seen"]
    assert record["flops"]["embeddings"] == 6 * 256 * width * data  # the head; the look-up is no product
    assert record["flops"]["attention"] == 12 * 2 * width * context * data
    assert record["run"]["all_flops"] == sum(record["flops"].values())
    assert record["run"]["train_flops"] == record["flops"]["blocks"]


def test_images_train_alike(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for kind, colour in (("red", (200, 60, 60)), ("blue", (60, 60, 200))):
        (tmp_path / kind).mkdir()
        for i in range(150):
            noise = rng.integers(-50, 50, (16, 16, 3))
            picture = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / kind / f"{i}.png")
    config = RunConfig(
        modality="vision",
        corpus=str(tmp_path),
        nonzero_params=3072,
        data_seen=150 * 8,
        sparsity=0.5,
        batch_size=8,
        image_size=16,
        learning_rate=0.01,
        device="cpu",
    )
    record = run(config)
    row = record["run"]
    assert (row["modality"], row["data_unit"], config.model) == ("vision", "examples", "vit")
    assert row["loss"] < 0.1 < math.log(2)  # two colours are easily told apart
    assert row["nonzero_params"] == 3072
    assert row["data_seen"] == 1200
    assert row["unique_data"] < 300 < row["data_seen"]  # some pictures are held out, the others come again
    assert record["flops"]["blocks"] > 6 * 16 * 3072 * row["data_seen"]  # 16 patches, dense at first


def test_training_lowers_the_loss(tiny):
    short = run(RunConfig(**tiny))["run"]["loss"]
    long = run(RunConfig(**{**tiny, "data_seen": 10 * 24 * 64}))["run"]["loss"]
    assert long < short - 0.5


def test_repeated_data_is_counted_as_seen_but_not_as_unique(tiny):
    row = run(RunConfig(**{**tiny, "data_seen": 2**18, "context": 64, "batch_size": 128}))["run"]
    assert row["unique_data"] < row["data_seen"] == 2**18


def test_a_diverged_run_is_recorded(tiny, tmp_path):
    config = RunConfig(**tiny, learning_rate=1e20, clip=1e30)
    record = run(config, tmp_path)
    assert record["status"] == "diverged"
    assert math.isnan(record["run"]["loss"])
    assert Store(tmp_path).read(config.run_id)["run"]["loss"] is None
    assert Store(tmp_path).done() == {config.run_id}


def test_progress_is_told(tiny):
    told = []
    run(RunConfig(**tiny), progress=lambda *where: told.append(where))
    assert told[-1][:2] == (24, 24)


def test_learning_rate_warms_up_and_decays():
    config = RunConfig(learning_rate=0.01, data_seen=1000 * 32 * 64, batch_size=32)
    rates = [learning_rate(config, step) for step in range(1000)]
    assert rates[0] < 2e-4
    assert max(rates) == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(0.001, rel=1e-2)


def test_warmup_stable_decay():
    config = RunConfig(learning_rate=0.01, data_seen=1000 * 32 * 64, batch_size=32, decay="wsd")
    rates = [learning_rate(config, step) for step in range(1000)]
    assert rates[100:800] == pytest.approx([0.01] * 700)
    assert rates[900] == pytest.approx(0.01 * (0.1 + 0.9 * 0.5))
    assert rates[-1] == pytest.approx(0.001, rel=0.05)
    assert np.all(np.diff(rates[800:]) < 0)


def test_run_id_tells_every_knob_apart():
    base = RunConfig()
    assert base.run_id == RunConfig().run_id
    assert base.run_id != RunConfig(weight_decay=0.02).run_id
    assert base.run_id == RunConfig(learning_rate=base.learning_rate).run_id


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"structure": "blocks", "sparsity": 0.5}, "structure is 'blocks'; allowed are"),
        ({"structure": "1:4", "sparsity": 0.5}, "structure 1:4 means sparsity 0.75, found sparsity 0.5"),
        ({"structure": "dense", "sparsity": 0.5}, "structure 'dense' goes with sparsity 0"),
        ({"sparsity": 1.0}, r"sparsity is 1.0; a fraction in \[0, 1\)"),
        ({"sparsity": -0.1}, "sparsity is -0.1"),
        ({"sparsity": math.nan}, "sparsity is nan"),
        ({"device": "abacus"}, "device is 'abacus'; allowed are 'auto', 'cpu', 'cuda', 'mps'"),
        ({"data_seen": -5}, "data_seen is -5; a whole number of at least 1"),
        ({"nonzero_params": 1.5}, "nonzero_params is 1.5"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; a number above 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"head_size": 7}, "head_size is 7; an even number"),
        ({"modality": "sound"}, "modality is 'sound'; allowed are 'language', 'vision'"),
        ({"model": "vit"}, "model 'vit' is for vision, found modality 'language'"),
        ({"model": "rnn"}, "model 'rnn' is not known; the models are decoder, vit"),
        ({"method": "magic"}, "method 'magic' is not known; the methods are 'magnitude'"),
        ({"distribution": "even"}, "distribution 'even' is not known"),
        ({"schedule": "cubic"}, "schedule 'cubic' is not known"),
        ({"activation": "relu"}, "activation is 'relu'; allowed are 'gelu', 'swiglu'"),
        ({"decay": "linear"}, "decay is 'linear'; allowed are 'cosine', 'wsd'"),
        ({"decay": "wsd", "warmup": 0.5, "cooldown": 0.6}, "exceed the run"),
        ({"precision": "int8"}, "precision is 'int8'"),
        ({"structure": "2:5", "sparsity": 0.6, "nonzero_params": 700}, "within 2 % of 700 non-zero block weights"),
        ({"prune_start": 0.8}, "0 <= start < end <= 1"),
        ({"embedding_sparsity": "all"}, "embedding_sparsity is 'all'"),
    ],
)
def test_mistakes_are_told_in_one_sentence(knobs, message):
    with pytest.raises(InputError, match=message) as caught:
        RunConfig(**knobs)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_there(tiny):
    with pytest.raises(InputError, match="which this machine lacks"):
        run(RunConfig(**{**tiny, "device": "cuda"}))
