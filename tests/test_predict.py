import numpy as np
import pytest
import xarray as xr
from helpers import codes, hand_built, law_alone, one_modality, paper_loss, random_coefficients
from scipy import stats

import bayes_scaling as bs
from bayes_scaling.errors import InputError
from bayes_scaling.intervals import interval

ASKED = {"modality": "language", "structure": "unstructured", "sparsity": 0.6, "nonzero_params": 1e9, "data_seen": 1e11}


def law_at(posterior, modality, structure, S, N, D):
    draws = posterior["posterior"].to_dataset().sel(modality=modality, structure=structure)
    return paper_loss(S, N, D, **{n: draws[n].to_numpy() for n in ("a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c")})


def test_mean_is_the_law(simulated):
    rows = [
        ASKED,
        ASKED | {"structure": "2:4", "sparsity": 0.5},
        ASKED | {"modality": "vision", "data_unit": "examples", "sparsity": 0.75, "data_seen": 1e9},
        ASKED | {"structure": "dense", "sparsity": 0},
    ]
    rows = [row | {"run_id": f"new-{i}"} for i, row in enumerate(rows)]
    found = bs.predict(law_alone(simulated), rows)
    assert found.dims == ("chain", "draw", "run")
    assert found["run"].to_numpy().tolist() == ["new-0", "new-1", "new-2", "new-3"]
    for i, row in enumerate(rows):
        structure = "unstructured" if row["structure"] == "dense" else row["structure"]
        expected = law_at(
            simulated, row["modality"], structure, row["sparsity"], row["nonzero_params"], row["data_seen"]
        )
        np.testing.assert_allclose(found.isel(run=i), expected, rtol=1e-10)
    assert codes(found.attrs) == []


def test_new_runs_add_the_noise_of_a_run(simulated):
    rows = [ASKED | {"run_id": str(i)} for i in range(20)]
    mean, new = bs.predict(simulated, rows), bs.predict(simulated, rows, kind="new-run")
    sigma = simulated["posterior"]["sigma"].sel(modality="language")
    standard = (np.log(new) - np.log(mean)) / sigma
    assert stats.kstest(standard.to_numpy().ravel()[::7], stats.t(4).cdf).pvalue > 1e-3
    # runs have noise of their own
    assert (
        abs(np.corrcoef(standard.isel(run=0).to_numpy().ravel(), standard.isel(run=1).to_numpy().ravel())[0, 1]) < 0.1
    )
    assert (interval(new.isel(run=0))["upper"] - interval(new.isel(run=0))["lower"]) > (
        interval(mean.isel(run=0))["upper"] - interval(mean.isel(run=0))["lower"]
    )


def test_seed_is_the_posteriors_unless_said(simulated):
    one, two, other = (bs.predict(simulated, [ASKED], "new-run", seed=seed) for seed in (None, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert (one != other).mean() > 0.99


def test_what_a_single_modality_leaves_unsaid(single):
    row = {"sparsity": 0.6, "nonzero_params": 1e7, "data_seen": 1e10}
    np.testing.assert_array_equal(bs.predict(single, [row]), bs.predict(single, [row | {"modality": "language"}]))


def test_dense_runs_are_the_same_whatever_their_structure(simulated):
    dense = ASKED | {"sparsity": 0}
    found = bs.predict(
        simulated, [dense | {"structure": s, "run_id": s} for s in ("dense", "unstructured", "2:4", "3:16")]
    )
    for i in range(1, 4):
        np.testing.assert_allclose(found.isel(run=i), found.isel(run=0), rtol=1e-12)
    assert codes(found.attrs) == []


def test_an_unseen_pair_is_answered_from_the_population(simulated):
    row = ASKED | {"modality": "vision", "data_unit": "examples", "structure": "2:4", "sparsity": 0.5}
    row |= {"nonzero_params": 1e7, "data_seen": 1e9}
    found = bs.predict(simulated, [row | {"run_id": "p"}, row | {"run_id": "x", "structure": "unstructured"}])
    assert codes(found.attrs) == ["unseen_pair"]
    assert "vision" in str(found.attrs["notes"])
    np.testing.assert_allclose(found.isel(run=0), law_at(simulated, "vision", "2:4", 0.5, 1e7, 1e9), rtol=1e-10)
    spread = np.log(found).std(("chain", "draw"))
    assert float(spread[0]) > 1.5 * float(spread[1])


def test_a_structure_that_no_run_had(simulated):
    rows = [ASKED | {"structure": s, "sparsity": 0.75, "run_id": s} for s in ("1:4", "unstructured")]
    found = bs.predict(law_alone(simulated), rows)
    assert codes(found.attrs) == ["unseen_pair"]
    spread = np.log(found).std(("chain", "draw"))
    assert float(spread[0]) > 1.5 * float(spread[1])
    # the dense model is the same, and a sparse one is no worse than a dense one of the same non-zero size
    dense = bs.predict(law_alone(simulated), [ASKED | {"structure": "dense", "sparsity": 0}]).isel(run=0)
    assert (found.isel(run=0) < dense).all()


def test_an_unseen_modality_is_an_error_that_lists_what_there_is(simulated):
    with pytest.raises(InputError, match=r"'s'.*audio.*language, vision"):
        bs.predict(simulated, [ASKED | {"modality": "audio", "run_id": "s"}])


def test_kinds(simulated):
    with pytest.raises(InputError, match=r"median.*mean, new-run"):
        bs.predict(simulated, [ASKED], kind="median")


def test_losses_are_not_needed_and_not_used(simulated):
    np.testing.assert_array_equal(bs.predict(simulated, [ASKED | {"loss": 1.0}]), bs.predict(simulated, [ASKED]))
    np.testing.assert_array_equal(
        bs.predict(simulated, [ASKED | {"loss": float("nan")}]), bs.predict(simulated, [ASKED])
    )


def test_pretrained_runs(starts):
    row = {"modality": "language", "sparsity": 0.75, "nonzero_params": 1e7, "data_seen": 1e9}
    before = row | {"strategy": "pretrained", "pretrain_data": 2e9, "run_id": "p"}
    found = bs.predict(starts, [row | {"run_id": "s"}, before])
    draws = starts["posterior"].to_dataset().sel(modality="language", structure="unstructured")
    for i, (strategy, data) in enumerate([("scratch", 1e9), ("pretrained", 1e9 + draws["rho"].to_numpy() * 2e9)]):
        at = draws.sel(strategy=strategy)
        k = {n: at[n].to_numpy() for n in ("a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c")}
        np.testing.assert_allclose(found.isel(run=i), paper_loss(0.75, 1e7, data, **k), rtol=1e-10)
    with pytest.raises(InputError, match="pretrain_data"):
        bs.predict(starts, [row | {"strategy": "pretrained"}])


def test_a_strategy_that_no_run_had_is_no_silent_guess(single):
    row = {"sparsity": 0.75, "nonzero_params": 1e7, "data_seen": 1e9, "strategy": "pretrained", "pretrain_data": 2e9}
    with pytest.raises(InputError, match="pretrained"):
        bs.predict(single, [row])


def test_predictions_of_the_runs_fitted_are_near_them(single):
    rows = one_modality()
    found = bs.predict(single, rows).median(("chain", "draw"))
    np.testing.assert_allclose(np.log(found), np.log([row["loss"] for row in rows]), atol=0.03)


# --- dense equivalents -----------------------------------------------------------------------------------------------


def test_dense_equivalent_is_the_size_of_an_equal_dense_model(simulated):
    times = bs.dense_equivalent(simulated, 0.75, "language", "unstructured")
    assert times.dims == ("chain", "draw")
    equal = law_at(simulated, "language", "unstructured", 0.0, times.to_numpy() * 1e8, 1e10)
    np.testing.assert_allclose(equal, law_at(simulated, "language", "unstructured", 0.75, 1e8, 1e10), rtol=1e-10)
    assert (times > 1).all()
    np.testing.assert_allclose(bs.dense_equivalent(simulated, 0.0), 1.0)


def test_dense_equivalent_keeps_the_dimensions_asked_for(simulated, starts):
    every = bs.dense_equivalent(simulated, 0.5)
    assert dict(every.sizes) == {"chain": 4, "draw": 1000, "modality": 2, "structure": 2}
    some = bs.dense_equivalent(simulated, 0.5, ["vision"], ["2:4", "unstructured"])
    assert some["structure"].to_numpy().tolist() == ["2:4", "unstructured"]
    np.testing.assert_array_equal(
        some.sel(modality="vision", structure="2:4"), every.sel(modality="vision", structure="2:4")
    )
    levels = xr.DataArray([0.0, 0.5, 0.75], dims="sparsity")
    swept = bs.dense_equivalent(simulated, levels, "language")
    assert set(swept.dims) == {"chain", "draw", "structure", "sparsity"}
    assert (swept.diff("sparsity") > 0).all()
    both = bs.dense_equivalent(starts, 0.5, "language", "unstructured")
    assert set(both.dims) == {"chain", "draw", "strategy"}
    one = bs.dense_equivalent(starts, 0.5, "language", "unstructured", "pretrained")
    np.testing.assert_array_equal(one, both.sel(strategy="pretrained").transpose(*one.dims))


@pytest.mark.parametrize("sparsity", [1.0, -0.1, 75, float("nan")])
def test_dense_equivalent_refuses(simulated, sparsity):
    with pytest.raises(InputError, match="sparsity"):
        bs.dense_equivalent(simulated, sparsity)


def test_dense_equivalent_of_an_unknown_modality(simulated):
    with pytest.raises(InputError, match=r"audio.*language, vision"):
        bs.dense_equivalent(simulated, 0.5, "audio")


def test_coefficients_without_draws_of_their_own():
    """One hand-built draw gives the law's own number."""
    k = random_coefficients(1, 5)
    posterior = hand_built(k, [ASKED | {"strategy": "scratch", "data_unit": "tokens"}])
    np.testing.assert_allclose(bs.predict(posterior, [ASKED])[0, :, 0], paper_loss(0.6, 1e9, 1e11, **k), rtol=1e-12)


# --- the real runs of arXiv:2309.08520 -------------------------------------------------------------------------------


def test_vision_agrees_with_the_published_fit(frantar):
    import json

    assert json.loads(frantar.attrs["diagnostics"])["ok"]
    draws = frantar["posterior"].to_dataset().sel(modality="vision")
    for name, published in {"b_N": 0.392, "b_D": 0.890, "b_S": 0.821, "c": 4.517}.items():
        values = draws[name].isel(structure=0) if "structure" in draws[name].dims else draws[name]
        assert abs(float(values.mean()) - published) < 2.5 * float(values.std()), name


@pytest.mark.parametrize(("modality", "expected"), [("vision", (1.60, 2.17, 2.63)), ("language", (1.77, 2.27, 2.51))])
def test_multipliers_agree_with_the_best_point_fits(frantar, modality, expected):
    for sparsity, times in zip((0.5, 0.75, 0.875), expected, strict=True):
        found = interval(bs.dense_equivalent(frantar, sparsity, modality, "unstructured"))
        assert found["lower"] <= times <= found["upper"], (sparsity, found)
        assert found["upper"] - found["lower"] < 0.35


@pytest.mark.parametrize(("modality", "expected"), [("language", (0.432, 0.596)), ("vision", (0.36, 0.79))])
def test_optimal_sparsity_of_the_real_runs(frantar, modality, expected):
    from helpers import dense_optimal_flops

    draws = frantar["posterior"].to_dataset().sel(modality=modality).isel(structure=0)
    k = {n: draws[n].to_numpy().ravel() for n in ("a_S", "c_S", "b_N", "a_D", "b_D")}
    budget = np.median(dense_optimal_flops(1e8, **k))
    for times, level in zip((1, 10), expected, strict=True):
        found = bs.optimal_sparsity(frantar, 1e8, times * budget, modality, "unstructured")
        assert float(found.median()) == pytest.approx(level, abs=0.03)


def test_another_data_unit_is_refused(single):
    row = {"sparsity": 0.5, "nonzero_params": 1e8, "data_seen": 1e10}
    assert bs.predict(single, [row]).sizes["run"] == 1
    with pytest.raises(InputError, match=r"run-0001.*counts examples.*count tokens"):
        bs.predict(single, [row | {"data_unit": "examples"}])


def test_a_stated_standard_error_widens_a_new_run(single):
    run = {"nonzero_params": 8e6, "data_seen": 4e9, "sparsity": 0.5}
    asked = bs.load_runs([run, run | {"loss_se": 0.3}], need_loss=False)
    loss = np.log(bs.predict(single, asked, kind="new-run", seed=1))
    exact, measured = loss.quantile([0.055, 0.945], ("chain", "draw")).diff("quantile").to_numpy().ravel()
    middle = float(bs.predict(single, asked).isel(run=0).median())
    assert measured == pytest.approx(2 * stats.t.ppf(0.945, 4) * 0.3 / middle, rel=0.1)
    assert exact < measured / 3
    same = bs.predict(single, asked)
    np.testing.assert_array_equal(same.isel(run=0), same.isel(run=1))
