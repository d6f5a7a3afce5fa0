import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from helpers import codes, one_modality, two_modalities
from scipy import stats

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.errors import InputError
from bayes_scaling.point_fit import point_fit
from bayes_scaling.refit import refit
from bayes_scaling.validate import predictions as module
from bayes_scaling.validate.holdout import holdout, kfold
from bayes_scaling.validate.predictions import predictions_of
from bayes_scaling.validate.scores import crps, interval_score

SIZES = [1e6, 4e6, 1.6e7, 6.4e7]


def rows():
    """Four sizes of language, three amounts of data, four sparsities; every fifth run has a stated error."""
    return one_modality(sizes=SIZES)


@pytest.fixture(scope="module")
def runs():
    return bs.load_runs(rows())


@pytest.fixture(scope="module")
def found(runs):
    return holdout(runs, "sparse", progressbar=False)


@pytest.fixture(scope="module")
def parts(runs):
    largest = runs["nonzero_params"].to_numpy() == SIZES[-1]
    return runs.isel(run=np.flatnonzero(~largest)), runs.isel(run=np.flatnonzero(largest))


def test_the_largest_runs_are_predicted_by_the_rest(found, parts):
    kept, held = parts
    here = found.predictions.sel(predicted_by="posterior")
    assert here["run"].to_numpy().tolist() == held["run_id"].to_numpy().tolist()
    np.testing.assert_allclose(here["observed"], np.log(held["loss"].to_numpy()))
    loss = bs.predict(refit(kept, laws.get("sparse"), seed=0), held, "new-run", seed=0)
    draws = np.log(loss.to_numpy().reshape(-1, held.sizes["run"]))
    np.testing.assert_allclose(here["median"], np.median(draws, axis=0))
    np.testing.assert_allclose(here["lower"], np.quantile(draws, 0.055, axis=0))
    np.testing.assert_allclose(here["upper"], np.quantile(draws, 0.945, axis=0))
    np.testing.assert_allclose(here["crps"], crps(here["observed"].to_numpy(), draws))
    np.testing.assert_allclose(here["pit"], (draws < here["observed"].to_numpy()).mean(axis=0))
    posterior = refit(kept, laws.get("sparse"), seed=0)
    mean = np.log(bs.predict(posterior, held).to_numpy()[0])
    density = stats.t.pdf(here["observed"].to_numpy(), 4, mean, posterior["posterior"]["sigma"].to_numpy()[0])
    np.testing.assert_allclose(here["log_score"], np.log(density.mean(axis=0)))
    assert found.fits[0]["kept"] == 36
    assert found.fits[0]["held_out"] == 12
    assert {"method", "khat", "ess"} <= set(found.fits[0])


def test_runs_from_the_law_are_covered(found):
    """At a noise of 0.4 %, and with four times the size as the distance."""
    score = found.score()
    assert score.runs == 12
    assert score.coverage >= 0.75
    assert abs(score.bias) < 0.01
    assert 0.01 < score.width < 0.06
    assert 0.001 < score.crps < 0.01


def test_scores_are_means_over_runs(found):
    for source in ("posterior", "bootstrap"):
        here, score = found.predictions.sel(predicted_by=source), found.score(source, "language")
        observed, lower, upper = (here[name].to_numpy() for name in ("observed", "lower", "upper"))
        assert score.coverage == np.mean((lower <= observed) & (observed <= upper))
        assert score.width == pytest.approx(np.mean(upper - lower))
        assert score.bias == pytest.approx(float((here["median"] - here["observed"]).mean()))
        assert score.crps == pytest.approx(float(here["crps"].mean()))
        assert score.interval_score == pytest.approx(interval_score(observed, lower, upper, 0.89).mean())
    assert found.score().log_score == pytest.approx(float(found.predictions["log_score"][0].mean()))
    assert np.isnan(found.score("bootstrap").log_score)  # draws without a density
    with pytest.raises(InputError, match="no score of posterior of vision"):
        found.score("posterior", "vision")


def test_losses_held_out_change_no_prediction(runs, found):
    largest = runs["nonzero_params"].to_numpy() == SIZES[-1]
    other = runs.assign(loss=("run", np.where(largest, 2 * runs["loss"].to_numpy(), runs["loss"].to_numpy())))
    changed = holdout(other, "sparse", against=(), progressbar=False)
    for name in ("median", "lower", "upper"):
        before = found.predictions[name].sel(predicted_by="posterior")
        np.testing.assert_array_equal(changed.predictions[name].sel(predicted_by="posterior"), before)
    assert changed.score().coverage == 0
    assert changed.score().bias == pytest.approx(found.score().bias - np.log(2))
    assert changed.score().crps > 0.6


def test_the_bootstrap_is_that_of_the_point_fit_with_noise(found, parts):
    kept, held = parts
    point = point_fit(kept, "sparse")
    refits = point.bootstrap(200)
    known, mean = (point.intervals(held, refits, kind) for kind in ("new-run", "mean"))
    here = found.predictions.sel(predicted_by="bootstrap")
    for name in ("lower", "median", "upper"):
        np.testing.assert_allclose(here[name], np.log(known[name]), atol=0.006)
    width = (here["upper"] - here["lower"]).to_numpy()
    assert (width > 1.15 * np.log(mean["upper"] / mean["lower"]).to_numpy()).mean() > 0.9


def test_distance_beyond_the_runs_kept(found):
    assert found.beyond["language"] == pytest.approx(
        {"nonzero_params": np.log(4), "data_seen": 0.0, "sparsity": 0.0, "train_flops": np.log(4)}
    )
    far = found.predictions["beyond"].sel(axis="train_flops").to_numpy()
    assert far.min() == 0
    assert (found.predictions["beyond"].sel(axis="nonzero_params") == pytest.approx(np.log(4))).all()


def test_it_prints_as_a_table_and_goes_into_json(found):
    text = str(found)
    score = found.score("bootstrap")
    for shown in ("the largest level of nonzero_params", "89% nominal", "bootstrap", f"{score.width:.2%}", "1.39 nats"):
        assert shown in text
    again = json.loads(json.dumps(found.to_dict()))
    assert again["scores"][0]["predicted_by"] == "posterior"
    assert again["scores"][0]["log_score"] == found.score().log_score
    assert again["scores"][1]["log_score"] is None
    assert again["prob"] == 0.89
    assert set(again) == {"law", "held_out", "prob", "scores", "beyond", "fits", "notes"}
    failed = replace(found, fits=[{"khat": float("inf"), "laws": {"sparse": {"khat": float("nan")}}}])
    assert failed.to_dict()["fits"] == [{"khat": None, "laws": {"sparse": {"khat": None}}}]


def test_three_levels_less_one_are_flagged():
    found = holdout(one_modality(), "sparse", against=(), progressbar=False)
    assert codes(found.notes).count("few_levels_left") == 1
    assert "two_levels_nonzero_params" not in codes(found.notes)  # it would say the same
    assert "few_levels_left" in str(found)
    assert found.predictions["predicted_by"].to_numpy().tolist() == ["posterior"]


def test_the_default_law_and_its_discrepancy(runs):
    """Refits of two laws; what they may miss beyond the runs widens intervals."""
    with_it, without = (holdout(runs, against=(), discrepancy=d, progressbar=False) for d in (True, False))
    assert with_it.law == "sparse+coupled"
    assert set(with_it.fits[0]["laws"]) == {"sparse", "coupled"}
    assert with_it.score().width > without.score().width
    assert with_it.score().coverage >= 0.75


def test_a_fraction_of_the_costliest_runs(runs):
    found = holdout(runs, "sparse", by="train_flops", fraction=0.1, prob=0.5, against=(), progressbar=False)
    assert found.held_out == "the largest 10% of train_flops"
    assert found.prob == 0.5
    size, data, sparsity = (runs[n].to_numpy() for n in ("nonzero_params", "data_seen", "sparsity"))
    flops = 6 * size * data * bs.costs.get("gradual").multiplier(sparsity)
    costliest = runs["run_id"].to_numpy()[np.argsort(flops)[-5:]]
    assert set(found.predictions["run"].to_numpy()) == set(costliest)


def test_diverged_runs_are_set_aside(runs):
    loss = runs["loss"].to_numpy().copy()
    loss[[0, -1]] = np.nan
    found = holdout(runs.assign(loss=("run", loss)), "sparse", against=(), progressbar=False)
    assert found.fits[0]["kept"] == 35
    assert found.fits[0]["held_out"] == 11
    assert np.isfinite(found.score().crps)


def test_every_run_is_held_out_once_in_folds(runs, monkeypatch):
    kept = []

    def quick(rows_kept, held, law, **how):  # noqa: ARG001
        kept.append(set(rows_kept["run_id"].to_numpy()))
        assert not kept[-1] & set(held["run_id"].to_numpy())
        return module._dataset(held, {"posterior": np.zeros((2, held.sizes["run"]))}, 0.89, _nowhere(held)), {}, []

    monkeypatch.setattr("bayes_scaling.validate.holdout.predictions_of", quick)
    found = kfold(runs, "sparse", folds=4, progressbar=False)
    assert sorted(found.predictions["run"].to_numpy()) == sorted(runs["run_id"].to_numpy())
    assert [len(each) for each in kept] == [36] * 4
    assert len(set(found.predictions["fold"].to_numpy())) == 4
    assert [fit["fold"] for fit in found.fits] == [f"fold {i} of 4" for i in (1, 2, 3, 4)]


def _nowhere(held):
    return xr.DataArray(np.zeros((held.sizes["run"], 1)), {"axis": ["nonzero_params"]}, ("run", "axis"))


def test_random_folds_are_covered(runs):
    found = kfold(runs, "sparse", folds=2, progressbar=False, against=())
    assert found.score().runs == 48
    assert 0.75 <= found.score().coverage <= 1
    assert found.score().width < 0.03  # there is nothing to extrapolate


def test_an_unseen_structure_is_answered_from_the_population():
    """By the posterior; the bootstrap has no population and no answer."""
    language = [row for row in two_modalities() if row["modality"] == "language"]
    runs = bs.load_runs(language)
    pattern = runs["structure"].to_numpy() == "2:4"
    kept, held = (runs.isel(run=np.flatnonzero(rows)) for rows in (~pattern, pattern))
    found, _, notes = predictions_of(kept, held, laws.get("sparse"), prob=0.89, seed=0, against=("bootstrap",))
    assert {"unseen_pair", "no_bootstrap"} <= set(codes(notes))
    assert np.isfinite(found["median"].sel(predicted_by="posterior")).all()
    for name in ("median", "lower", "crps", "pit"):
        assert np.isnan(found[name].sel(predicted_by="bootstrap")).all()
    with_both = predictions_of(kept, runs, laws.get("sparse"), prob=0.89, seed=0, against=("bootstrap",))[0]
    answered = np.isfinite(with_both["median"].sel(predicted_by="bootstrap").to_numpy())
    np.testing.assert_array_equal(answered, ~pattern)


def test_chains_that_disagree_are_noted(parts):
    kept, _ = parts
    posterior = refit(kept, laws.get("sparse"), draws=400)
    assert module.refit_notes(posterior) == []
    stuck = posterior.copy()
    b_N = posterior["posterior"]["b_N"]
    stuck["posterior"]["b_N"] = b_N + xr.where(b_N["draw"] < 100, 3 * float(b_N.std()), 0.0)
    (note,) = module.refit_notes(stuck)
    assert note.code == "refit_not_converged"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"by": "width"}, r"by is 'width', which is no column"),
        ({"levels": 0}, r"levels is 0.*at least 1"),
        ({"levels": 4}, r"4 levels of nonzero_params; to hold out 4 levels, it needs 5"),
        ({"levels": 1, "fraction": 0.2}, r"levels is 1 and fraction is 0.2; one of the two"),
        ({"fraction": 0.0}, r"fraction is 0.0; it lies between 0 and 1"),
        ({"fraction": 1.0}, r"fraction is 1.0; it lies between 0 and 1"),
        ({"side": "left"}, r"side is 'left'; it is one of largest, smallest"),
        ({"prob": 1.0}, r"prob is 1.0"),
        ({"seed": -1}, r"seed is -1.*at least 0"),
        ({"against": ("jackknife",)}, r"against is .*'jackknife'.*it is a list of any of bootstrap"),
        ({"against": "bootstrap"}, r"against is 'bootstrap'; it is a list"),
        ({"law": "no such"}, r"law 'no such' is not known"),
        ({"group": "corpus"}, r"'corpus' is no column"),
        ({"by": "seed", "levels": 41}, r"without the largest 41 levels of seed, 7 of 48 runs are left, .* at least 8"),
    ],
)
def test_holding_out_what_cannot_be(runs, settings, words):
    with pytest.raises(InputError, match=words):
        holdout(runs, progressbar=False, **settings)


def test_a_modality_whose_last_run_is_held_out(runs):
    lone = runs.assign(modality=("run", np.where(np.arange(48) == 5, "vision", "language")))
    with pytest.raises(InputError, match=r"without fold \d of 5, no run of vision is left"):
        kfold(lone, progressbar=False)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"folds": 1}, r"folds is 1; it is a whole number from 2"),
        ({"folds": 3, "by": "data_seen"}, r"folds is 3 and by is 'data_seen'; one of the two"),
        ({"by": "modality"}, r"modality 'language' is all of language"),
        ({"prob": 0}, r"prob is 0"),
    ],
)
def test_folds_that_cannot_be(runs, settings, words):
    with pytest.raises(InputError, match=words):
        kfold(runs, progressbar=False, **settings)
