# ruff: noqa: E402
"""Several corpora in one run."""

import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

import bayes_scaling as bs
from bayes_scaling.runs import InputError
from runners.cost import units_of_work
from runners.data import load_batches
from runners.ensemble import group, run_ensemble
from runners.estimate import estimate
from runners.mixtures import composition, labels, mixture_of, one_at_a_time
from runners.plan import expand
from runners.states import changes
from runners.store import Store
from runners.train import RunConfig, run
from tests.runners.conftest import source_text


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """Three folders of text, of which the last has capitals only."""
    folders = []
    for number, name in enumerate(("one", "two", "loud")):
        folder = tmp_path_factory.mktemp("corpora") / name
        folder.mkdir()
        for seed in range(60):
            text = source_text(1000 * (number + 1) + seed)
            (folder / f"{seed}.py").write_text(text.upper() if name == "loud" else text)
        folders.append(str(folder))
    return folders


@pytest.fixture(scope="module")
def mixed(tiny, corpora):
    knobs = {name: value for name, value in tiny.items() if name != "corpus"}
    return {**knobs, "data_seen": 100 * 64, "mixture": dict(zip(corpora, (0.5, 0.2, 0.3), strict=True))}


def batches_of(weights, corpora, seed=0, batch_size=4):
    mixture = mixture_of(dict(zip(corpora, weights, strict=True)))
    return load_batches("language", None, mixture=mixture, context=16, batch_size=batch_size, seed=seed)


def test_every_corpus_has_its_share_of_any_number_of_steps(corpora):
    for weights in ((0.5, 0.2, 0.3), (0.05, 0.9, 0.05), (1 / 3, 1 / 3, 1 / 3), (0.0, 0.35, 0.65)):
        batches = batches_of(weights, corpora, seed=3)
        for steps in (1, 10, 777, 20_000):
            seen = batches.seen_of(steps)
            assert sum(seen.values()) == steps * 64
            for corpus, weight in zip(corpora, weights, strict=True):
                assert abs(seen[corpus] / 16 - weight * steps * 4) < 4


def test_what_a_step_has_is_what_the_corpora_have_in_their_own_orders(corpora):
    batches = batches_of((0.5, 0.2, 0.3), corpora, seed=5)
    alone = {c: load_batches("language", c, context=16, batch_size=1, seed=5) for c in sorted(corpora)}
    taken = dict.fromkeys(alone, 0)
    for step in range(400):  # more than an epoch of the first
        inputs, targets = batches.batch(step)
        assert inputs.shape == targets.shape == (4, 16)
        row = 0
        for corpus, part in alone.items():
            for _ in range((batches.seen_of(step + 1)[corpus] - batches.seen_of(step)[corpus]) // 16):
                assert (inputs[row] == part.batch(taken[corpus])[0][0]).all()
                assert (targets[row] == part.batch(taken[corpus])[1][0]).all()
                taken[corpus] += 1
                row += 1
        assert row == 4
    assert batches.unique(400) == sum(part.unique(taken[corpus]) for corpus, part in alone.items())
    assert batches.unique_of(400) == {corpus: part.unique(taken[corpus]) for corpus, part in alone.items()}


def test_a_step_hangs_on_seed_and_step_alone(corpora):
    first, again, other = (batches_of((0.5, 0.2, 0.3), corpora, seed=seed) for seed in (1, 1, 2))
    late = again.batch(9000)
    for step in (0, 17, 9000):
        assert all((a == b).all() for a, b in zip(first.batch(step), again.batch(step), strict=True))
    assert (late[0] == first.batch(9000)[0]).all()
    assert (first.batch(0)[0] != other.batch(0)[0]).any()


def test_one_corpus_of_a_mixture_is_that_corpus(tiny, corpora, mixed):
    alone = run(RunConfig(**{**tiny, "corpus": corpora[0]}))
    knobs = {**mixed, "data_seen": tiny["data_seen"], "mixture": {corpora[0]: 1.0}}
    record = run(RunConfig(**knobs))
    assert record["run"]["loss"] == alone["run"]["loss"] == record["run"]["mixture_loss"]
    assert record["run"]["eval_se"] == alone["run"]["eval_se"]


def test_a_record_has_every_corpus(mixed, corpora, tmp_path):
    config = RunConfig(**mixed)
    row = run(config, tmp_path)["run"]
    record = Store(tmp_path).read(config.run_id)
    parts = {part["corpus"]: part for part in record["mixture"]}
    assert list(parts) == sorted(corpora)
    assert row["loss"] == pytest.approx(np.mean([part["loss"] for part in parts.values()]))
    weights = dict(zip(corpora, (0.5, 0.2, 0.3), strict=True))
    assert row["mixture_loss"] == pytest.approx(sum(weights[c] * part["loss"] for c, part in parts.items()))
    assert row["loss"] != pytest.approx(row["mixture_loss"], abs=1e-4)
    assert sum(part["data_seen"] for part in parts.values()) == row["data_seen"] == 6400
    assert sum(part["unique_data"] for part in parts.values()) == row["unique_data"]
    assert row["eval_se"] == pytest.approx(math.hypot(*(part["eval_se"] for part in parts.values())) / 3)
    table = bs.load_runs(tmp_path)
    for corpus, label in labels(config.mixture).items():
        assert table[f"weight_{label}"].item() == weights[corpus]
        assert table[f"loss_{label}"].item() == parts[corpus]["loss"]
        assert table[f"amount_{label}"].item() == parts[corpus]["data_seen"]
    assert RunConfig(**record["config"]) == config
    assert record["data"]["corpora"][corpora[0]]["kind"] == "folders"


def test_a_corpus_of_weight_0_is_not_trained_on_but_held_out(mixed, corpora):
    losses = {}
    for weights in ((1.0, 0.0, 0.0), (0.5, 0.0, 0.5)):
        record = run(RunConfig(**{**mixed, "mixture": dict(zip(corpora, weights, strict=True))}))
        loud = next(part for part in record["mixture"] if part["corpus"] == corpora[2])
        losses[weights] = loud["loss"]
        assert (loud["data_seen"] == 0) == (weights[2] == 0)
    assert losses[0.5, 0.0, 0.5] < losses[1.0, 0.0, 0.0] - 0.5


def test_a_diverged_run_has_its_corpora_without_losses(mixed):
    record = run(RunConfig(**mixed, learning_rate=1e20, clip=1e30))
    assert record["status"] == "diverged"
    assert all(math.isnan(part["loss"]) for part in record["mixture"])
    assert math.isnan(record["run"]["mixture_loss"])


class StopNow(Exception):  # noqa: N818
    """Ends a run from its progress callback."""


def test_a_mixed_run_goes_on_bit_by_bit(mixed, tmp_path):
    config = RunConfig(**mixed, sparsity=0.5)

    def stop(step, *_):
        if step >= 55:
            raise StopNow

    whole = run(config)
    with pytest.raises(StopNow):
        run(config, tmp_path, stop, checkpoint_seconds=0.0)
    told = []
    record = run(config, tmp_path, lambda step, *_: told.append(step))
    assert told[0] == 55
    for part in ("curve", "mixture", "flops"):
        assert record[part] == whole[part]


def test_members_of_one_mixture_train_together(mixed, corpora):
    configs = [RunConfig(**mixed, seed=seed) for seed in (0, 1)]
    other = RunConfig(**{**mixed, "mixture": dict.fromkeys(corpora[:2], 0.5)})
    assert group([*configs, other]) == [configs, [other]]
    for config, record in zip(configs, run_ensemble(configs), strict=True):
        alone = run(config)
        for part, own in zip(record["mixture"], alone["mixture"], strict=True):
            assert part.pop("loss") == pytest.approx(own.pop("loss"), rel=2e-4)
            assert part.pop("eval_se") == pytest.approx(own.pop("eval_se"), rel=1e-2)
            assert part == own


def test_one_mixture_has_one_name(mixed, corpora):
    config = RunConfig(**mixed)
    backwards = dict(reversed(mixed["mixture"].items()))
    assert config.run_id == RunConfig(**{**mixed, "mixture": backwards}).run_id
    assert config.run_id == RunConfig(**{**mixed, "mixture": json.dumps(backwards)}).run_id
    assert config.run_id != RunConfig(**{**mixed, "mixture": dict.fromkeys(corpora[:2], 0.5)}).run_id


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"mixture": {"a": 0.5, "b": 0.6}}, r"weights that sum to 1.1 \(0.5 \+ 0.6\); a sum of 1 is needed"),
        ({"mixture": {"a": 1.5, "b": -0.5}}, "gives 'b' the weight -0.5; a number of at least 0"),
        ({"mixture": {"a": "half", "b": 0.5}}, "gives 'a' the weight 'half'"),
        ({"mixture": {}}, "mixture is {}; a table of corpora and weights"),
        ({"mixture": "stdlib"}, "mixture is 'stdlib'; a table of corpora and weights"),
        ({"mixture": 0.5}, "mixture is 0.5; a table"),
        ({"mixture": {"a": 1.0}, "corpus": "b"}, "corpus is 'b' beside a mixture; one of the two"),
        ({"mixture": {"a": 1.0}, "modality": "vision"}, "mixture is of texts, found modality 'vision'"),
    ],
)
def test_wrong_mixtures(knobs, message):
    with pytest.raises(InputError, match=message) as caught:
        RunConfig(**knobs)
    assert "\n" not in str(caught.value)


def test_labels_are_names_of_columns():
    mixture = mixture_of({"stdlib:!test/*": 0.25, "stdlib:test/*": 0.25, "a-b": 0.25, "a/b": 0.25})
    assert labels(mixture) == {
        "a-b": "a_b",
        "a/b": "a_b__2",
        "stdlib:!test/*": "stdlib_not_test",
        "stdlib:test/*": "stdlib_test",
    }


def test_one_corpus_at_a_time_leaves_the_amounts_of_the_others(corpora, mixed):
    design = one_at_a_time(corpora, 0.2, 3.0)
    assert len(design) == 2 * 3 + 1
    for amounts in design:
        mixture, data_seen = composition(amounts, 9000)
        for corpus, weight in mixture:
            assert weight * data_seen == pytest.approx(3000 * amounts[corpus], abs=1)
    plan = {
        "defaults": {name: value for name, value in mixed.items() if name != "mixture"} | {"data_seen": 9000},
        "grid": [{"one_at_a_time": {"corpora": corpora}, "seed": [0, 1], "where": "data_seen > 3000"}],
    }
    configs = expand(plan).configs
    assert len(configs) == 14
    assert [config.data_seen for config in configs[::2]] == [9000, 6600, 15000, 6600, 15000, 6600, 15000]
    assert configs[0].mixture == tuple((corpus, pytest.approx(1 / 3)) for corpus in sorted(corpora))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"corpora": ["a"]}, "two or more are needed, each once"),
        ({"corpora": ["a", "a"]}, "two or more are needed, each once"),
        ({"corpora": ["a", "b"], "reduced": 2.0}, "0 < reduced < 1 < increased"),
        ({"corpora": ["a", "b"], "increased": "much"}, "0 < reduced < 1 < increased"),
        ({"corpora": "a"}, "a table with a list 'corpora'"),
        ({"corpora": ["a", "b"], "factor": 2}, "a table with a list 'corpora'"),
    ],
)
def test_wrong_designs(table, message):
    with pytest.raises(InputError, match=message):
        expand({"grid": [{"one_at_a_time": table}]})


def test_a_dry_run_counts_the_held_out_data_of_every_corpus(mixed, corpora):
    config = RunConfig(**mixed)
    assert units_of_work(config) == pytest.approx(6400 + 3 * 32 * 16 / 3)
    assert estimate([config]).seconds[config.run_id] > 0
    two = run(config), run(RunConfig(**{**mixed, "mixture": dict(zip(corpora, (0.2, 0.5, 0.3), strict=True))}))
    assert changes({record["run"]["run_id"]: record for record in two}, two[0]["code"]) == []
