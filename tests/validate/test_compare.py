import json
import sys

import numpy as np
import pytest
from helpers import TRUTH, codes, one_modality, paper_loss
from scipy.special import logsumexp

import bayes_scaling as bs
from bayes_scaling.errors import InputError
from bayes_scaling.validate import predictions
from bayes_scaling.validate.comparison import FOLDS, LOO, SCALE

SIZES = [1e6, 4e6, 1.6e7, 6.4e7]
module = sys.modules["bayes_scaling.validate.compare"]

BOTH = ["sparse", "coupled"]
MIXED = "sparse+coupled"


def coupled_rows(k):
    """The simulated sweep with its terms of size and data coupled by a power; 1 leaves it as it is."""
    truth = TRUTH["language", "unstructured"]
    above = paper_loss(0.0, 8e6, 4e9, **truth) - truth["c"]
    rows = one_modality(sizes=SIZES)
    for row in rows:
        mean = paper_loss(row["sparsity"], row["nonzero_params"], row["data_seen"], **truth)
        row["loss"] *= (truth["c"] + above * ((mean - truth["c"]) / above) ** k) / mean
    return rows


@pytest.fixture(scope="module")
def alike():
    """k = 1, where both laws hold: all laws, the mixture among them."""
    return bs.compare(coupled_rows(1.0), folds=2, progressbar=False)


@pytest.fixture(scope="module")
def apart():
    """k = 2, which the law `sparse` cannot say."""
    return bs.compare(coupled_rows(2.0), BOTH, folds=2, progressbar=False)


def test_the_default_is_every_law_and_the_mixture(alike):
    assert alike.laws == ["coupled", "sparse", MIXED]


def test_nothing_is_better_than_the_law_that_made_the_runs(alike):
    for other in ("coupled", MIXED):
        assert alike.difference(other, "sparse").lower < 0
        assert alike.difference(other, "sparse", FOLDS).lower < 0
        assert alike.chance(other, "sparse") > 0.05
        assert alike.loo[other].elpd < alike.loo["sparse"].elpd + 2 * alike.loo[other].difference_se
    assert "weights_unclear" in codes(alike.notes)
    assert "weights_disagree" not in codes(alike.notes)


def test_the_coupled_law_wins_where_it_holds(apart):
    assert apart.best == "coupled"
    assert apart.ranked == ["coupled", "sparse"]
    for where, least in ((SCALE, 2), (FOLDS, 5), (LOO, 5)):
        found = apart.difference("coupled", "sparse", where)
        assert found.mean > least * found.se
        assert found.lower > 0
        assert apart.difference("coupled", "sparse", where).mean == -apart.difference("sparse", "coupled", where).mean
    for where in (SCALE, FOLDS):
        found = apart.difference("coupled", "sparse", where, "crps")
        assert found.mean < -2 * found.se
    assert apart.loo["sparse"].difference < -5 * apart.loo["sparse"].difference_se
    assert apart.chance("coupled", "sparse") < 0.01
    assert apart.chance("sparse", "coupled") > 0.5
    for where in (SCALE, LOO):
        assert apart.weights[where]["coupled"] > 0.95
        assert sum(apart.weights[where].values()) == pytest.approx(1)
    assert not {"weights_unclear", "weights_disagree"} & set(codes(apart.notes))


def test_the_same_runs_are_held_out_for_every_law_as_holdout_does(alike):
    """A law by itself and within the mixture, refitted once."""
    for law in ("sparse", MIXED):
        alone = bs.holdout(coupled_rows(1.0), law, against=(), progressbar=False)
        here = alike.held_out[SCALE][law]
        assert here.predictions.equals(alone.predictions)
        assert here.score() == alone.score()
    for where, count in ((SCALE, 12), (FOLDS, 48), (LOO, 48)):
        scores = alike.pointwise[where]["log_score"]
        assert dict(scores.sizes) == {"law": 3, "run": count}
        assert np.isfinite(scores).all()
    fits = [alike.held_out[FOLDS][law].predictions["fold"].to_numpy().tolist() for law in alike.laws]
    assert fits[0] == fits[1] == fits[2]


def test_differences_are_paired(alike):
    scores = alike.pointwise[FOLDS]["log_score"]
    each = (scores.sel(law="coupled") - scores.sel(law="sparse")).to_numpy()
    found = alike.difference("coupled", "sparse", FOLDS)
    assert found.mean == pytest.approx(each.mean())
    assert found.se == pytest.approx(each.std(ddof=1) / np.sqrt(48))
    assert found.se < 0.5 * np.hypot(*(scores.sel(law=law).std(ddof=1) / np.sqrt(48) for law in BOTH))
    scale = alike.difference("coupled", "sparse")
    assert (scale.runs, scale.prob) == (12, 0.89)
    assert scale.grouped_by in {"run", "data_seen", "sparsity"}  # of size there is one level


def test_the_mixture_keeps_its_shares_and_has_no_weight_of_its_own(alike):
    assert alike.weights["default"] == {"sparse": 0.25, "coupled": 0.75}
    assert set(alike.weights[SCALE]) == set(alike.weights[LOO]) == set(BOTH)
    scores = alike.pointwise[LOO]["log_score"]
    parts = np.stack([np.log(share) + scores.sel(law=law) for law, share in alike.weights["default"].items()])
    np.testing.assert_allclose(scores.sel(law=MIXED), logsumexp(parts, axis=0))
    # At a scale held out its draws are a sample of the parts', so this holds but for which draws were picked.
    scores = alike.pointwise[SCALE]["log_score"]
    parts = np.stack([np.log(share) + scores.sel(law=law) for law, share in alike.weights["default"].items()])
    np.testing.assert_allclose(scores.sel(law=MIXED), logsumexp(parts, axis=0), atol=0.06)


def test_the_best_comes_first_and_the_table_says_why(apart):
    text = str(apart)
    head = text.splitlines()[2]
    assert head.index("coupled") < head.index("sparse")
    for words in ("weight by the scale held out", "weight by leave-one-out", "chance of that", "Pareto k", "12 runs"):
        assert words in text
    assert text.index("weight by the scale held out") < text.index("weight by leave-one-out")
    found = apart.difference("sparse", "coupled")
    assert f"{found.mean:+.3f} ± {found.se:.3f}" in text


def test_it_goes_into_json(apart, alike):
    again = json.loads(json.dumps(apart.to_dict(), allow_nan=False))
    assert set(again) == {"held_out", "runs", "prob", "best", "laws", "notes"}
    first, second = again["laws"]
    assert (first["law"], second["law"]) == ("coupled", "sparse")
    assert first["weights"] == {where: apart.weights[where]["coupled"] for where in (SCALE, LOO, "default")}
    assert "difference" not in first[SCALE]
    assert second[SCALE]["difference"] == vars(apart.difference("sparse", "coupled"))
    assert second[SCALE]["chance_of_lead"] == apart.chance("coupled", "sparse")
    assert second[FOLDS]["scores"][0]["log_score"] == apart.held_out[FOLDS]["sparse"].score().log_score
    assert second[LOO] == vars(apart.loo["sparse"])
    assert again["runs"] == {SCALE: 12, FOLDS: 48}
    (mixed,) = [row for row in alike.to_dict()["laws"] if row["law"] == MIXED]
    assert mixed["weights"] == {SCALE: None, LOO: None, "default": None}


def test_refits_that_did_not_converge_are_noted(monkeypatch):
    refits = sys.modules["bayes_scaling.refit"]
    monkeypatch.setattr(refits, "MAX_KHAT", np.inf)
    monkeypatch.setattr(refits, "LEAST_ESS", 0)
    monkeypatch.setattr(predictions, "MAX_RHAT", 0.5)
    found = bs.compare(one_modality(sizes=SIZES), BOTH, folds=2, discrepancy=False, progressbar=False)
    assert "refit_not_converged" in codes(found.notes)


def test_priors_go_to_the_laws_that_have_the_quantity():
    from pymc_extras.prior import Prior

    own = {"k": Prior("LogNormal", mu=0.0, sigma=0.1), "sigma": Prior("LogNormal", mu=-5.0, sigma=0.5)}
    assert module._priors(own, ["sparse", MIXED]) == {
        "sparse": {"sigma": own["sigma"]}, MIXED: own, "coupled": own,
    }  # fmt: skip
    assert module._priors(None, BOTH) == {"sparse": {}, "coupled": {}}
    with pytest.raises(InputError, match="it is a dict of"):
        module._priors([own], BOTH)


@pytest.mark.parametrize(
    ("laws", "settings", "words"),
    [
        (["sparse"], {}, r"laws is \['sparse'\]; it takes two or more of average, coupled"),
        ("sparse", {}, r"laws is \['sparse'\]; it takes two or more"),
        ([], {}, r"laws is \[\]; it takes two or more"),
        (["sparse", "sparse"], {}, r"laws has 'sparse' twice"),
        (["sparse", "cubic"], {}, r"law 'cubic' is not known"),
        (BOTH, {"by": "width"}, r"by is 'width', which is no column"),
        (BOTH, {"by": "loss"}, r"by is 'loss', which is the outcome"),
        (BOTH, {"levels": 4}, r"to hold out 4 levels, it needs 5"),
        (BOTH, {"levels": 1, "fraction": 0.5}, r"one of the two is allowed"),
        (BOTH, {"fraction": 1.5}, r"fraction is 1.5; it lies between 0 and 1"),
        (BOTH, {"folds": 1}, r"folds is 1; it is a whole number from 2"),
        (BOTH, {"folds": 99}, r"folds is 99; it is a whole number from 2 to the 48 runs"),
        (BOTH, {"prob": 0.0}, r"prob is 0"),
        (BOTH, {"seed": -1}, r"seed is -1"),
        (BOTH, {"group": "corpus"}, r"'corpus' is no column"),
        (BOTH, {"prior": {"width": None}}, r"prior names 'width', which is no quantity of sparse, coupled"),
    ],
)
def test_what_cannot_be_compared(monkeypatch, laws, settings, words):
    monkeypatch.setattr("bayes_scaling.validate.holdout.predictions_of", None)  # refused before anything is fitted
    with pytest.raises(InputError, match=words):
        bs.compare(one_modality(sizes=SIZES), laws, progressbar=False, **settings)


def test_differences_that_are_not_there(apart):
    for arguments, words in (
        (("sparse", MIXED), r"law 'sparse\+coupled' was not compared; sparse, coupled were"),
        (("sparse", "coupled", "sbc"), r"where is 'sbc'; it is one of held_out_scale, random_folds, loo"),
        (("sparse", "coupled", "loo", "crps"), r"score is 'crps'; of loo there is log_score"),
    ):
        with pytest.raises(InputError, match=words):
            apart.difference(*arguments)
    with pytest.raises(InputError, match="was not compared"):
        apart.chance("coupled", "nothing")
