import io
import json
import shlex

import matplotlib.image as image
import pytest
from helpers import one_modality
from rich.console import Console

import bayes_scaling as bs
from bayes_scaling.demo import questions, run_demo
from bayes_scaling.errors import InputError


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The demo's folder and text, on a sweep whose model other tests have compiled."""
    out = tmp_path_factory.mktemp("demo") / "my[bold]demo"
    text = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bs.datasets, "load", lambda _: bs.load_runs(one_modality()))
        run_demo(out, seed=0, console=Console(file=text, width=100))
    return out, text.getvalue()


def test_it_leaves_a_posterior_and_pictures(shown):
    out, text = shown
    posterior = bs.load(out / "posterior.nc")
    assert json.loads(posterior.attrs["diagnostics"])["ok"]
    pictures = sorted(path.name for path in out.glob("*.png"))
    assert len(pictures) == 3
    for name in pictures:
        pixels = image.imread(out / name)
        assert min(pixels.shape[:2]) > 200
        assert pixels.std() > 0.01
        assert name in text
    assert "36 training runs" in text
    assert "passed" in text
    assert "train at sparsity" in text


def test_the_paths_are_shown_as_they_are(shown):
    out, text = shown
    assert str(out / "posterior.nc") in text


def test_the_question_it_suggests_can_be_asked(shown, command):
    out, text = shown
    suggested = next(line for line in text.splitlines() if "bayes-scaling recommend" in line)
    options = shlex.split(suggested.partition("bayes-scaling recommend")[2])[1:]
    done = command("recommend", out / "posterior.nc", *options, "--json")
    assert done.status == 0
    (answer,) = json.loads(done.out)["answers"]
    assert f"{answer['recommended']['sparsity']:.2f}" in text


def test_the_sentence_in_short_is_the_recommendation(shown):
    out, text = shown
    (asked,) = questions(bs.load_runs(one_modality()))
    (answer,) = bs.recommend(bs.load(out / "posterior.nc"), asked.nonzero_params, asked.train_flops).answers
    assert answer.recommended["sparsity"] > 0
    sentence = (
        f"language: train unstructured at sparsity {answer.recommended['sparsity']:.2f}; the chance that it beats"
    )
    assert sentence in " ".join(text.split())


def test_the_question_is_of_the_sweep():
    (asked,) = questions(bs.load_runs(one_modality()))
    assert asked.modality == "language"
    assert asked.nonzero_params == 6.4e7
    assert asked.flops_per_unit == 6
    multiplier = bs.costs.get("gradual").multiplier(0.875)
    assert asked.train_flops == pytest.approx(10 * 6 * 6.4e7 * 3.2e10 * multiplier)


def test_the_shipped_sweep_is_asked_for_each_modality_in_its_own_flops():
    runs = bs.datasets.load("structures")
    assert [(each.modality, each.flops_per_unit) for each in questions(runs)] == [("vision", 6 * 16), ("language", 6)]
    for each in questions(runs):
        mine = runs.isel(run=runs["modality"].to_numpy() == each.modality)
        assert each.nonzero_params == mine["nonzero_params"].max()
        assert each.train_flops == pytest.approx(10 * float(mine["train_flops"].max()))


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "demo").write_text("")
    with pytest.raises(InputError, match="demo"):
        run_demo(tmp_path / "demo", seed=0, console=Console(file=io.StringIO()))
