import json

import numpy as np
import pytest
from helpers import one_modality, two_modalities

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.refit import refit


def assert_like(quick, long, tolerance):
    """Means and spreads of all coefficients agree, in standard deviations of the long posterior."""
    quick, long = quick["posterior"].to_dataset(), long["posterior"].to_dataset()
    over = ("chain", "draw")
    for name in ("b_N", "b_D", "b_S", "c", "sigma", "reference_loss", "share", "floor"):
        one, other = quick[name], long[name]
        spread = other.std(over)
        off = np.abs((one.mean(over) - other.mean(over)) / spread)
        # a pair of modality and structure without runs is drawn from the population, where seeds differ more
        assert float(off.max()) < tolerance, (name, off.to_numpy())
        ratio = one.std(over) / spread
        assert ((ratio > 1 - 1.5 * tolerance) & (ratio < 1 + 1.5 * tolerance)).all(), (name, ratio.to_numpy())


def test_importance_sampling_agrees_with_nuts(single):
    quick = refit(bs.load_runs(one_modality()), laws.get("sparse"), seed=1, draws=4000)
    found = json.loads(quick.attrs["diagnostics"])
    assert found["method"] == "importance"
    assert found["khat"] <= 0.5
    assert_like(quick, single, 0.15)


def test_on_the_papers_runs(frantar, frantar_runs):
    quick = refit(frantar_runs, laws.get("sparse"), seed=1, draws=4000)
    assert json.loads(quick.attrs["diagnostics"])["method"] == "importance"
    assert_like(quick, frantar, 0.2)


def test_the_long_tail_is_there(frantar, frantar_runs):
    """Three values of D hardly tell T5's irreducible loss from its data term: c may be far below its mode."""
    quick = refit(frantar_runs, laws.get("sparse"), seed=1, draws=4000)
    for name in ("c", "b_D"):
        one, other = (tree["posterior"][name].sel(modality="language") for tree in (quick, frantar))
        for quantile in (0.055, 0.945):
            off = float(one.quantile(quantile) - other.quantile(quantile)) / float(other.std())
            assert abs(off) < 0.3, (name, quantile, off)


def test_nuts_where_the_weights_will_not_do(simulated, monkeypatch):
    import sys

    monkeypatch.setattr(sys.modules["bayes_scaling.refit"], "MAX_KHAT", -np.inf)
    quick = refit(bs.load_runs(two_modalities()), laws.get("sparse"), seed=1, draws=2000)
    assert json.loads(quick.attrs["diagnostics"])["method"] == "nuts"
    assert quick["posterior"].sizes["draw"] == 2000
    assert_like(quick, simulated, 0.15)


def test_it_answers_like_any_posterior():
    runs = bs.load_runs(two_modalities())
    quick = refit(runs, laws.get("sparse+coupled"), draws=1000)
    assert dict(quick["posterior"].sizes)["draw"] == 1000
    assert (quick["posterior"]["law"] == "sparse").sum() == 250
    assert bs.predict(quick, runs, kind="new-run").shape == (1, 1000, runs.sizes["run"])
    optimum = bs.optimal_sparsity(quick, nonzero_params=1e8, train_flops=1e20)
    assert ((optimum >= 0) & (optimum < 1)).all()
    assert set(json.loads(quick.attrs["diagnostics"])["laws"]) == {"sparse", "coupled"}


@pytest.mark.parametrize("law", ["sparse", "coupled"])
def test_the_seed_decides(law):
    runs = bs.load_runs(two_modalities())
    one, same, other = (refit(runs, laws.get(law), seed=s, draws=500)["posterior"]["b_N"] for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
