import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from helpers import codes

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.intervals import interval
from bayes_scaling.notes import read_notes
from bayes_scaling.studies.transfer_points import data_for, regression

SCRATCH = {"A": 30.0, "b_N": 0.5, "a_D": 3e6, "b_D": 0.5, "c": 0.5, "k": 0.5}
WORTH = {"text": {"k": 600.0, "alpha": 0.2, "beta": 0.4}, "code": {"k": 6000.0, "alpha": 0.1, "beta": 0.4}}
GAIN = 1.7
"""Dense parameters that one of a model of sparsity 0.5 is worth."""


def simulated():
    """From scratch and after two corpora, dense and sparse, and a small model that fine-tuning makes worse."""
    law, rng, rows = laws.get("dense_coupled"), np.random.default_rng(5), []

    def add(size, data, sparsity=0.0, before="", seed=0, factor=1.0):
        worth = bs.transfer.transferred(data, size, **WORTH[before]) if before else 0.0
        loss = law.loss(0.0, size * (GAIN if sparsity else 1.0), data + worth, **SCRATCH) * factor
        row = {
            "nonzero_params": size,
            "sparsity": sparsity,
            "data_seen": 3 * data,
            "available_data": data,
            "seed": seed,
        }
        row |= {"strategy": "pretrained" if before else "scratch", "pretrain_corpus": before}
        rows.append(row | {"loss": loss * np.exp(0.004 * rng.standard_t(4))})

    for size in (1e4, 1e5, 1e6):
        for data in (1e4, 1e5, 1e6, 1e7):
            add(size, data)
            if data <= 1e6:
                for before in WORTH:
                    add(size, data, before=before)
    for size in (1e4, 1e6):
        for data in (1e5, 1e7):
            add(size, data, sparsity=0.5)
    for seed in (1, 2):
        add(1e4, 1e7, seed=seed)
    add(1e4, 1e7, before="text", factor=1.08)
    return rows


@pytest.fixture(scope="module")
def known():
    return bs.transfer.fit(simulated(), draws=400, progressbar=False)


def test_the_published_coefficients_give_the_worked_example():
    """A model of 4e7 parameters on 3e5 characters: the paper reads about 1000 D_F off its curves."""
    found = [bs.transfer.transferred(3e5, 4e7, **each) / 3e5 for each in bs.transfer.PUBLISHED.values()]
    np.testing.assert_allclose(found, [474, 1818], rtol=0.01)
    assert found[0] < 1000 < found[1]


def test_shipped_runs_say_what_a_start_is_worth(transfer_posterior):
    assert json.loads(transfer_posterior.attrs["diagnostics"])["ok"]
    draws = transfer_posterior["posterior"]
    assert interval(draws["beta"])["lower"] > 0, "larger models transfer more"
    assert interval(draws["alpha"])["upper"] < 1, "and the more data, the less it multiplies them"
    more = bs.transfer.multiplier(transfer_posterior)
    data, size = more["finetune_data"], more["nonzero_params"]
    worth = draws["k"] * data ** draws["alpha"] * size ** draws["beta"]
    np.testing.assert_allclose(more, (1 + worth / data).transpose(*more.dims), rtol=1e-12)
    told = interval(more.sel(nonzero_params=24576, finetune_data=8192))
    assert 8 < told["lower"] < told["upper"] < 20
    (left,) = [note for note in read_notes(transfer_posterior.attrs) if note.code == "starts_left_out"]
    assert left.numbers == {"starts": 4, "diverged": 0}
    assert "ossification" not in codes(transfer_posterior.attrs)


def test_losses_of_the_fine_tuned_are_those_from_scratch_on_effective_data(transfer_posterior):
    losses = bs.transfer.predict(transfer_posterior, nonzero_params=24576, finetune_data=[8192, 131072])
    assert (losses["pretrained"] < losses["scratch"]).all()
    few = transfer_posterior.map_over_datasets(lambda ds: ds.isel(draw=slice(5)) if "draw" in ds.dims else ds)
    few.attrs = transfer_posterior.attrs
    found = bs.transfer.effective_data(few)
    law, draws = laws.get("dense_coupled"), few["posterior"].to_dataset()
    scratch = {name.removeprefix("scratch_"): draws[name] for name in draws if name.startswith("scratch_")}
    there = np.isfinite(found)
    assert there.mean() > 0.9
    runs = few["runs"].to_dataset()
    seen = runs["loss"].to_numpy()[runs["strategy"].to_numpy() == "pretrained"]
    again = law.loss(0.0, found["nonzero_params"], found, **scratch).transpose(*found.dims)
    np.testing.assert_allclose(again.where(there), xr.full_like(found, 1.0).where(there) * seen, rtol=1e-9)


def test_questions_beyond_the_runs_say_how_far(transfer_posterior):
    more = bs.transfer.multiplier(transfer_posterior, nonzero_params=[24576, 1e6], finetune_data=1024)
    np.testing.assert_allclose(more["extrapolation_nonzero_params"], [0.0, np.log(1e6 / 49152)])
    np.testing.assert_allclose(more["extrapolation_finetune_data"], [np.log(8)])
    with pytest.raises(bs.InputError, match="finetune_data is 0; it is a finite number above 0"):
        bs.transfer.multiplier(transfer_posterior, finetune_data=0)


def test_a_saved_posterior_answers_alike_and_no_question_about_losses(transfer_posterior, tmp_path):
    loaded = bs.load(bs.save(transfer_posterior, tmp_path / "posterior.nc"))
    np.testing.assert_array_equal(bs.transfer.multiplier(loaded), bs.transfer.multiplier(transfer_posterior))
    with pytest.raises(bs.InputError, match=r"posterior is of 'transfer'.*ask it through bs\.transfer"):
        bs.recommend(loaded, 1e9, 1e20)


def test_what_was_put_in_is_found_again_in_groups_and_kinds(known):
    assert json.loads(known.attrs["diagnostics"])["ok"]
    draws = known["posterior"].to_dataset()
    assert draws["group"].to_numpy().tolist() == ["text", "code"]
    for group, truth in WORTH.items():
        told = interval(draws["alpha"].sel(group=group), 0.98)
        assert told["lower"] < truth["alpha"] < told["upper"]
        more = bs.transfer.multiplier(known, nonzero_params=1e5, finetune_data=1e5).sel(group=group)
        told = interval(more, 0.98)
        assert told["lower"] < 1 + bs.transfer.transferred(1e5, 1e5, **truth) / 1e5 < told["upper"]
        assert told["upper"] / told["lower"] < 1.5
    told = interval(draws["beta"], 0.98)
    assert told["lower"] < 0.4 < told["upper"]
    assert draws["kind"].to_numpy().tolist() == ["unstructured, sparsity 0.5"]
    told = interval(draws["size_multiplier"].isel(kind=0), 0.998)
    assert told["lower"] < GAIN < told["upper"]


def test_a_model_that_fine_tuning_makes_worse_is_named_with_numbers(known):
    (note,) = [note for note in read_notes(known.attrs) if note.code == "ossification"]
    assert note.about == {"group": "text"}
    assert (note.numbers["cells"], note.numbers["nonzero_params"], note.numbers["finetune_data"]) == (1, 1e4, 1e7)
    assert 0.04 < note.numbers["log_loss_excess"] < 0.09
    assert note.numbers["probability"] > 0.99


@pytest.mark.parametrize("name", ["dense_coupled", "kaplan", "dense"])
def test_the_data_for_a_loss_are_those_that_give_it(name):
    law = laws.get(name)
    truth = {"kaplan": {"N_c": 3e5, "D_c": 4e8, "alpha_N": 0.18, "alpha_D": 0.09}}.get(name, SCRATCH)
    truth = {n: xr.DataArray(v) for n, v in truth.items() if n in law.coefficients}
    size, data = xr.DataArray([1e4, 1e6], dims="run"), xr.DataArray([3e3, 5e8], dims="run")
    loss = law.loss(0.0, size, data, **truth)
    np.testing.assert_allclose(data_for(law, truth, size, loss, 1e5), data, rtol=1e-8)
    least = law.loss(0.0, size, 1e40, **truth)
    assert np.isinf(data_for(law, truth, size, least * 0.99, 1e5)).all()


def test_the_published_procedure_is_exact_without_noise():
    rng = np.random.default_rng(0)
    data, size = np.exp(rng.uniform(8, 14, 20)), np.exp(rng.uniform(9, 18, 20))
    found = regression(data, size, data + bs.transfer.transferred(data, size, **WORTH["text"]))
    assert found == pytest.approx(WORTH["text"] | {"runs": 20}, rel=1e-9)
    with pytest.raises(bs.InputError, match="3 fine-tuned runs do better than from scratch, and they do not differ"):
        regression(data[:3], np.ones(3), 2 * data[:3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[t["strategy"] == "scratch"], "has 0 runs with strategy 'pretrained', where 3 are needed"),
        (lambda t: t[t["strategy"] == "pretrained"], "has 0 runs with strategy 'scratch', where 4 are needed"),
        (lambda t: t.assign(corpus=["a", *["b"] * (len(t) - 1)]), "on 2 corpora (a, b), where all that are compared"),
        (lambda t: t.drop(columns="nonzero_params"), "has no column 'nonzero_params'"),
    ],
)
def test_tables_that_are_wrong_are_refused(change, message):
    with pytest.raises(bs.InputError) as refused:
        bs.transfer.load(change(pd.DataFrame(simulated())))
    assert message in str(refused.value)


def test_another_law_from_scratch_is_one_of_dense_models():
    with pytest.raises(bs.InputError, match="law is 'sparse'; the law from scratch is one of dense_coupled, kaplan"):
        bs.transfer.fit(simulated(), law="sparse")
