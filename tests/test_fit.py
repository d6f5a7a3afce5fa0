import json
import re
import sys

import numpy as np
import pytest
from helpers import TRUTH, codes, one_modality, paper_loss, simulate, two_modalities
from scipy import stats

import bayes_scaling as bs
from bayes_scaling.design import FEWEST_RUNS
from bayes_scaling.diagnostics import MAX_RHAT, MIN_ESS, diagnose, gate_notes, nearly
from bayes_scaling.errors import InputError
from bayes_scaling.summary import summarise

CELL = ("a_S", "b_S", "c_S")
MODALITY = ("b_N", "a_D", "b_D", "c")
GROUPS = {
    "posterior",
    "sample_stats",
    "posterior_predictive",
    "log_likelihood",
    "observed_data",
    "constant_data",
    "prior",
}
POSTERIORS = ["simulated", "single", "starts"]


def fit(rows, **settings):
    return bs.fit(rows, **{"law": "sparse", "progressbar": False} | settings)


def assert_same_draws(one, other):
    a, b = one["posterior"].to_dataset(), other["posterior"].to_dataset()
    assert set(a.data_vars) == set(b.data_vars)
    for name in a.data_vars:
        np.testing.assert_array_equal(a[name].to_numpy(), b[name].transpose(*a[name].dims).to_numpy(), err_msg=name)


@pytest.fixture(params=POSTERIORS)
def posterior(request):
    return request.getfixturevalue(request.param)


# --- the contract ----------------------------------------------------------------------------------------------------


def test_groups(posterior):
    assert set(posterior.children) >= GROUPS
    draws = posterior["posterior"].to_dataset()
    assert draws.sizes["chain"] == 4
    assert draws.sizes["draw"] == 1000
    assert all(np.isfinite(v).all() for v in draws.data_vars.values())


def test_names_and_dimensions(simulated, single):
    for posterior in (simulated, single):
        draws = posterior["posterior"]
        for name in CELL:
            assert draws[name].dims == ("chain", "draw", "modality", "structure")
        for name in MODALITY:
            assert draws[name].dims == ("chain", "draw", "modality")
        assert "strategy" not in draws.dims
        assert "rho" not in draws
        assert "dense" not in draws["structure"].to_numpy()
    assert simulated["posterior"]["modality"].to_numpy().tolist() == ["language", "vision"]
    assert simulated["posterior"]["structure"].to_numpy().tolist() == ["unstructured", "2:4"]
    assert single["posterior"]["structure"].to_numpy().tolist() == ["unstructured"]


def test_a_strategy_dimension_where_runs_have_both(starts):
    draws = starts["posterior"]
    assert draws["strategy"].to_numpy().tolist() == ["scratch", "pretrained"]
    for name in CELL:
        assert set(draws[name].dims) == {"chain", "draw", "modality", "structure", "strategy"}
    assert draws["rho"].dims == ("chain", "draw", "modality")
    assert ((draws["rho"] > 0) & (draws["rho"] < 1)).all()


def test_populations_have_means_and_spreads(posterior):
    draws = posterior["posterior"].to_dataset()
    for name in ("b_N", "b_D", "b_S"):
        assert draws[f"{name}_population"].dims == ("chain", "draw")
        assert (draws[f"{name}_population"] > 0).all()
        assert (draws[f"{name}_spread"] > 0).all()


def test_one_dense_model_per_modality(posterior):
    draws = posterior["posterior"].to_dataset()
    total = draws["a_S"] + draws["c_S"]
    first = total.isel({dim: 0 for dim in ("structure", "strategy") if dim in total.dims})
    np.testing.assert_allclose(total, first.broadcast_like(total), rtol=1e-10)
    assert (draws[["a_S", "c_S", "b_S", "b_N", "b_D", "a_D", "c"]].to_array() > 0).all()


def test_units_and_meanings_are_attributes(simulated):
    for name in (*CELL, *MODALITY):
        attrs = simulated["posterior"][name].attrs
        assert attrs["units"]
        assert attrs["long_name"]


def test_the_law_and_everything_else_travels(simulated):
    assert simulated.attrs["law"] == "sparse"
    assert json.loads(simulated.attrs["settings"]) == {
        "seed": 0, "draws": 1000, "chains": 4, "group": "modality", "discrepancy": True,
    }  # fmt: skip
    assert {"python", "pymc", "nutpie", "arviz"} <= set(json.loads(simulated.attrs["versions"]))
    seconds = json.loads(simulated.attrs["seconds"])
    assert seconds["compile"] > 0
    assert seconds["sample"] > 0
    runs = bs.load_runs(two_modalities())
    travelled = simulated["runs"].to_dataset()
    assert set(travelled.variables) == set(runs.variables)
    for name in runs.variables:
        np.testing.assert_array_equal(travelled[name].to_numpy(), runs[name].to_numpy())
    constant = simulated["constant_data"].to_dataset()
    np.testing.assert_array_equal(constant["sparsity"], runs["sparsity"])
    np.testing.assert_allclose(np.exp(simulated["observed_data"]["log_loss"]), runs["loss"])


def test_reference_scales_travel(simulated):
    runs = bs.load_runs(two_modalities())
    for i, name in enumerate(["language", "vision"]):
        mine = (runs["modality"] == name).to_numpy()
        expected = np.exp(np.log(runs["nonzero_params"].to_numpy()[mine]).mean())
        assert float(simulated["constant_data"]["reference_nonzero_params"][i]) == pytest.approx(expected)


def loss_of(posterior, runs, i):
    """The law at one run, from the coefficients that the posterior reports."""
    row = runs.isel(run=i)
    draws = posterior["posterior"].to_dataset().sel(modality=str(row["modality"].values))
    sparse = float(row["sparsity"]) > 0
    at = draws.sel(structure=str(row["structure"].values)) if sparse else draws.isel(structure=-1)
    data = float(row["data_seen"])
    if "strategy" in at.dims:
        at = at.sel(strategy=str(row["strategy"].values))
    if str(row["strategy"].values) == "pretrained":
        data = data + at["rho"].to_numpy() * float(row["pretrain_data"])
    k = {name: at[name].to_numpy() for name in (*CELL, *MODALITY)}
    mean = paper_loss(float(row["sparsity"]), float(row["nonzero_params"]), data, **k)
    return mean, draws["sigma"].to_numpy()


def test_log_likelihood_is_the_density_of_the_runs(posterior):
    runs = posterior["runs"].to_dataset()
    found = posterior["log_likelihood"]["log_loss"]
    assert found.sizes["run"] == runs.sizes["run"]
    for i in range(0, runs.sizes["run"], 5):
        mean, sigma = loss_of(posterior, runs, i)
        expected = stats.t.logpdf(np.log(runs["loss"].to_numpy()[i]), 4, np.log(mean), sigma)
        np.testing.assert_allclose(found.isel(run=i).transpose("chain", "draw"), expected, rtol=1e-7, atol=1e-7)


def test_posterior_predictive_is_law_and_noise(simulated):
    runs = simulated["runs"].to_dataset()
    predicted = simulated["posterior_predictive"]["log_loss"]
    standard = []
    for i in range(0, runs.sizes["run"], 9):
        mean, sigma = loss_of(simulated, runs, i)
        standard.append((predicted.isel(run=i).transpose("chain", "draw").to_numpy() - np.log(mean)) / sigma)
    assert stats.kstest(np.ravel(standard), stats.t(4).cdf).pvalue > 1e-4
    inside = np.quantile(predicted, [0.055, 0.945], axis=(0, 1))
    measured = simulated["observed_data"]["log_loss"].to_numpy()
    assert 0.8 < ((measured > inside[0]) & (measured < inside[1])).mean() <= 1


def test_prior_group_has_the_same_variables(posterior):
    prior, draws = posterior["prior"].to_dataset(), posterior["posterior"].to_dataset()
    assert set(prior.data_vars) == set(draws.data_vars)
    for name in draws.data_vars:
        assert prior[name].dims == draws[name].dims
    for name in ("b_N", "b_D", "c"):
        assert (prior[name].std() > 2 * draws[name].std(("chain", "draw"))).all()


def test_truth_is_recovered(simulated):
    draws = simulated["posterior"].to_dataset()
    for (modality, structure), truth in TRUTH.items():
        at = draws.sel(modality=modality, structure=structure)
        exponents = {"b_N", "b_D", "c", "b_S"} - ({"b_S"} if structure == "2:4" else set())
        for name in exponents:
            score = (float(at[name].mean()) - truth[name]) / float(at[name].std())
            assert abs(score) < 3.5, (modality, structure, name)
        for name in {"a_S", "c_S", "a_D"} - ({"a_S", "c_S"} if structure == "2:4" else set()):
            logs = np.log(at[name])
            score = (float(logs.mean()) - np.log(truth[name])) / float(logs.std())
            assert abs(score) < 3.5, (modality, structure, name)
    sigma = draws["sigma"].median(("chain", "draw"))
    assert ((sigma > 0.0025) & (sigma < 0.0065)).all()


def test_the_worth_of_pretraining_data_is_recovered(starts):
    rho = starts["posterior"]["rho"]
    assert abs(float(rho.mean()) - 0.4) < 3.5 * float(rho.std())
    assert float(rho.std()) < 0.5 * float(starts["prior"]["rho"].std())


def test_summary(simulated):
    for prob in (0.89, 0.5):
        rows = summarise(simulated, prob)
        assert {"b_N[language]", "b_S[language, unstructured]", "c_S[vision, 2:4]", "b_N_population"} <= set(rows)
        b_N = simulated["posterior"]["b_N"].sel(modality="vision").to_numpy().ravel()
        row = rows["b_N[vision]"]
        expected = np.quantile(b_N, [0.5, (1 - prob) / 2, (1 + prob) / 2])
        np.testing.assert_allclose([row["median"], row["lower"], row["upper"]], expected)
        assert row["mean"] == pytest.approx(b_N.mean())
        assert row["sd"] == pytest.approx(b_N.std(), rel=1e-3)


@pytest.mark.parametrize("prob", [0, 1, 1.5, -0.1, float("nan")])
def test_a_probability_lies_between_0_and_1(simulated, prob):
    with pytest.raises(InputError, match="prob"):
        summarise(simulated, prob)


# --- seeds, updates, what is set aside -------------------------------------------------------------------------------


def test_the_seed_decides_every_number(single):
    runs = bs.load_runs(one_modality())
    before = runs.copy(deep=True)
    again = fit(runs)
    assert runs.identical(before)  # the table that was given is left alone
    assert_same_draws(again, single)
    for group in ("posterior_predictive", "prior", "log_likelihood", "unseen_structure"):
        for name, values in single[group].to_dataset().data_vars.items():
            np.testing.assert_array_equal(again[group][name], values)
    other = fit(one_modality(), seed=1)
    assert (other["posterior"]["b_N"].to_numpy() != single["posterior"]["b_N"].to_numpy()).mean() > 0.99
    # another seed, the same answer
    for name in MODALITY:
        one, two = (p["posterior"][name] for p in (single, other))
        assert abs(float(one.mean() - two.mean())) < 0.2 * float(one.std())


def test_update_is_a_fit_of_all_runs(single):
    rows = one_modality()
    first = fit(rows[:20])
    updated = bs.update(first, rows[20:], progressbar=False)
    assert_same_draws(updated, single)
    assert updated["runs"]["run_id"].to_numpy().tolist() == [row["run_id"] for row in rows]
    assert updated.attrs["settings"] == single.attrs["settings"]
    # what was given is left alone
    assert first["runs"].sizes["run"] == 20
    with pytest.raises(InputError, match=re.escape(rows[0]["run_id"])):
        bs.update(first, rows[:1], progressbar=False)


def test_diverged_runs_are_set_aside_counted_and_kept(single):
    rows = one_modality()
    bad = [rows[0] | {"run_id": "nan", "loss": float("nan")}, rows[1] | {"run_id": "inf", "loss": float("inf")}]
    said = rows[2] | {"run_id": "said", "status": "diverged", "loss": 9.9}
    posterior = fit([*bad, *rows[:10], said, *rows[10:]])
    assert_same_draws(posterior, single)
    assert posterior["constant_data"].sizes["run"] == len(rows)
    assert posterior["runs"].sizes["run"] == len(rows) + 3
    assert codes(posterior.attrs) == ["diverged_runs"]
    assert "3 of 39" in json.loads(posterior.attrs["notes"])[0]["message"]


def test_no_run_is_left():
    with pytest.raises(InputError, match="0 finished runs"):
        fit([row | {"loss": float("nan")} for row in one_modality()])


def test_too_few_runs():
    with pytest.raises(InputError, match=f"7 finished runs.*{FEWEST_RUNS}"):
        fit(one_modality()[:7])


@pytest.mark.parametrize(
    ("grid", "code"),
    [({"data": [4e9]}, "one_level_data_seen"), ({"sizes": [8e6]}, "one_level_nonzero_params")],
)
def test_one_level_of_an_axis_fits_and_says_so(grid, code):
    rows = one_modality(**grid)
    posterior = fit(rows)
    assert code in codes(posterior.attrs)
    # what the axis does comes from the prior, so its exponent stays as wide
    name = {"one_level_data_seen": "b_D", "one_level_nonzero_params": "b_N"}[code]
    kept = np.log(posterior["posterior"][name]).std() / np.log(posterior["prior"][name]).std()
    assert 0.5 < float(kept) < 1.6
    measured, predicted = posterior["observed_data"]["log_loss"], posterior["posterior_predictive"]["log_loss"]
    assert float(abs(predicted.median(("chain", "draw")) - measured).max()) < 0.1


def test_another_column_may_hold_the_groups():
    rows = [row | {"corpus": row["modality"], "modality": "text"} for row in two_modalities()]
    rows = [row for row in rows if row["structure"] != "2:4"]
    mixed = [row | {"data_unit": "tokens"} for row in rows]
    posterior = fit(mixed, group="corpus")
    assert posterior["posterior"]["modality"].to_numpy().tolist() == ["language", "vision"]
    assert json.loads(posterior.attrs["settings"])["group"] == "corpus"
    for modality in ("language", "vision"):
        b_N = posterior["posterior"]["b_N"].sel(modality=modality)
        assert abs(float(b_N.mean()) - TRUTH[modality, "unstructured"]["b_N"]) < 3.5 * float(b_N.std())


def test_a_group_that_is_no_column():
    with pytest.raises(InputError, match=r"'corpus' is no column.*remark"):
        fit(one_modality(), group="corpus")


def test_an_unknown_law():
    with pytest.raises(InputError, match=r"'chinchilla'.*sparse"):
        fit(one_modality(), law="chinchilla")


@pytest.mark.parametrize("settings", [{"draws": 0}, {"chains": 0}, {"seed": -1}])
def test_settings_that_cannot_be(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        fit(one_modality(), **settings)


def test_one_compiled_model_serves_all_runs_with_as_many_groups(starts):
    """Pretrained runs with two structures have as many cells as one structure with two strategies."""
    truth = TRUTH["language", "unstructured"] | {"rho": 0.4}
    grid = [1e6, 8e6, 6.4e7], [5e8, 4e9, 3.2e10], [0, 0.5, 0.75]
    parts = [("language", "unstructured", "pretrained", truth, *grid, before) for before in (2e9, 1e11)]
    rows = [row | {"run_id": f"{row['run_id']}-{i}"} for i, row in enumerate(simulate(parts))]
    pattern = [row | {"structure": "1:4", "run_id": f"{row['run_id']}-p", "loss": 1.02 * row["loss"]}
               for row in rows if row["sparsity"] == 0.75]  # fmt: skip
    posterior = fit(rows + pattern)
    assert "strategy" not in posterior["posterior"].dims
    assert posterior["posterior"]["structure"].to_numpy().tolist() == ["unstructured", "1:4"]
    runs = posterior["runs"].to_dataset()
    for i in range(0, runs.sizes["run"], 7):
        mean, sigma = loss_of(posterior, runs, i)
        expected = stats.t.logpdf(np.log(runs["loss"].to_numpy()[i]), 4, np.log(mean), sigma)
        np.testing.assert_allclose(posterior["log_likelihood"]["log_loss"].isel(run=i), expected, rtol=1e-7, atol=1e-7)
    assert starts["posterior"]["rho"].dims == posterior["posterior"]["rho"].dims


# --- the gate --------------------------------------------------------------------------------------------------------


def test_the_gate_passes_on_good_sweeps(posterior):
    found = json.loads(posterior.attrs["diagnostics"])
    assert found["ok"] is True
    assert found["max_rhat"] <= MAX_RHAT
    assert min(found["min_ess_bulk"], found["min_ess_tail"]) >= MIN_ESS
    assert found["divergences"] == found["max_treedepth"] == 0
    assert not [code for code in codes(posterior.attrs) if code.startswith("gate_")]
    again = diagnose(posterior)
    assert again.keys() == found.keys()
    assert again["max_rhat"] == pytest.approx(found["max_rhat"])


GOOD = {
    "max_rhat": 1.002, "min_ess_bulk": 900.0, "min_ess_tail": 800.0, "divergences": 0, "max_treedepth": 0,
    "min_ebfmi": 0.9,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("max_rhat", 1.02, "gate_rhat"),
        ("max_rhat", float("nan"), "gate_rhat"),
        ("min_ess_bulk", 399.0, "gate_ess_bulk"),
        ("min_ess_tail", float("nan"), "gate_ess_tail"),
        ("divergences", 1, "gate_divergences"),
        ("max_treedepth", 3, "gate_treedepth"),
        ("min_ebfmi", 0.2, "gate_energy"),
    ],
)
def test_every_part_of_the_gate_can_fail(name, value, code):
    assert gate_notes(GOOD) == []
    failed = gate_notes(GOOD | {name: value})
    assert [(note.code, note.severity) for note in failed] == [(code, "error")]
    assert "Do not trust" in failed[0].message


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, False),
        ({"min_ess_bulk": 350.0}, True),
        ({"min_ess_tail": 250.0, "max_rhat": 1.015}, True),
        ({"min_ess_tail": 120.0}, False),
        ({"max_rhat": 1.05}, False),
        ({"min_ess_bulk": 350.0, "divergences": 1}, False),
        ({"min_ess_bulk": float("nan")}, False),
    ],
)
def test_longer_chains_are_for_fits_that_lack_a_few_draws_and_nothing_else(found, expected):
    assert nearly(GOOD | found) is expected


def test_a_first_try_that_lacks_draws_is_followed_by_longer_chains(monkeypatch):
    tries = []

    def diagnosed(posterior):
        tries.append(posterior["sample_stats"]["step_size"])
        return diagnose(posterior) | ({"min_ess_bulk": 350.0, "ok": False} if len(tries) == 1 else {})

    monkeypatch.setattr(sys.modules["bayes_scaling.fit"], "diagnose", diagnosed)
    kept = fit(one_modality(), draws=500)
    assert len(tries) == 2
    assert kept["posterior"].sizes["draw"] == 500  # as many as ever, from chains of four times the length
    assert json.loads(kept.attrs["diagnostics"])["ok"]


def test_the_gate_sees_chains_that_disagree(single):
    broken = single.copy(deep=True)
    broken["posterior"]["b_N"].values[0] *= 1.1
    found = diagnose(broken)
    assert not found["ok"]
    assert found["max_rhat"] > MAX_RHAT
    stuck = single.copy(deep=True)
    stuck["posterior"]["c"].values[:] = 1.0
    assert not diagnose(stuck)["ok"]
    diverged = single.copy(deep=True)
    diverged["sample_stats"]["diverging"].values[0, 3] = True
    assert diagnose(diverged)["divergences"] == 1
    assert not diagnose(diverged)["ok"]
