import json

import numpy as np
import pytest
from helpers import law_alone, two_modalities

import bayes_scaling as bs
from bayes_scaling.summary import summarise


@pytest.fixture(scope="module")
def default():
    """What a fit is when no law is named."""
    return bs.fit(two_modalities(), seed=0, progressbar=False)


def test_every_chain_has_the_shares_of_the_laws(default):
    law = default["posterior"]["law"]
    assert law.dims == ("chain", "draw")
    np.testing.assert_array_equal((law == "sparse").sum("draw"), 250)
    np.testing.assert_array_equal((law == "coupled").sum("draw"), 750)
    # in random order, so that no part of a chain is one law's
    assert ((law == "sparse").isel(draw=slice(100)).sum("draw") > 10).all()


def test_draws_of_sparse_are_the_case_k_one(default):
    draws = default["posterior"].to_dataset()
    sparse = (draws["law"] == "sparse").to_numpy()
    k = draws["k"].to_numpy()
    assert (k[sparse] == 1).all()
    assert (k[~sparse] != 1).all()
    lacking = {str(name) for name, values in draws.data_vars.items() if np.isnan(values).any()}
    assert lacking == {"k_population", "k_spread"}


def test_its_draws_are_the_laws_own(default, simulated):
    draws = default["posterior"].to_dataset()
    sparse = draws["law"] == "sparse"
    for name in ("b_N", "a_S", "c"):
        own = simulated["posterior"][name]
        np.testing.assert_array_equal(draws[name].where(sparse), own.where(sparse))


def test_diagnostics_are_the_worst_of_both(default):
    found = json.loads(default.attrs["diagnostics"])
    parts = found["laws"]
    assert set(parts) == {"sparse", "coupled"}
    assert found["max_rhat"] == max(p["max_rhat"] for p in parts.values())
    assert found["min_ess_bulk"] == min(p["min_ess_bulk"] for p in parts.values())
    assert found["ok"]


def test_answers_carry_law_uncertainty(default, simulated):
    far = [{"run_id": "far", "sparsity": 0.5, "nonzero_params": 1e10, "data_seen": 1e13, "modality": "vision"}]
    # what the laws may both miss there is the same, and larger
    both, one = (float(np.log(bs.predict(law_alone(p), far)).std()) for p in (default, simulated))
    assert both > one
    answer = bs.recommend(default, 1e9, 1e21, modality="language", structure="unstructured").answers[0]
    assert 0 < answer.recommended["sparsity"] < 1


def test_it_is_saved_loaded_and_updated(default, tmp_path):
    loaded = bs.load(bs.save(default, tmp_path / "p.nc"))
    assert loaded.attrs["law"] == "sparse+coupled"
    np.testing.assert_array_equal(loaded["posterior"]["law"], default["posterior"]["law"])
    question = {"nonzero_params": 1e8, "train_flops": 1e20}
    np.testing.assert_array_equal(bs.optimal_sparsity(loaded, **question), bs.optimal_sparsity(default, **question))
    assert bs.recommend(loaded, **question).to_dict() == bs.recommend(default, **question).to_dict()


def test_arviz_reads_it(default):
    import arviz as az

    table = az.summary(default, var_names=["b_N", "k"], ci_prob=0.89)
    assert np.isfinite(table["r_hat"]).all()
    assert np.isfinite(float(az.loo(default).elpd))


def test_what_one_law_lacks_is_summarised_over_the_others_draws(default):
    rows = summarise(default)
    assert all(np.isfinite(list(row.values())).all() for row in rows.values())
    draws = default["posterior"]["k_population"].to_numpy()
    assert rows["k_population"]["median"] == pytest.approx(np.nanmedian(draws))
