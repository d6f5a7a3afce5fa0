import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from helpers import one_modality, two_modalities
from pymc_extras.prior import Prior

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.assemble import prior_draws
from bayes_scaling.design import design_of
from bayes_scaling.errors import InputError
from bayes_scaling.refit import refit
from bayes_scaling.validate import sbc as module
from bayes_scaling.validate import simulations
from bayes_scaling.validate.sbc import sbc
from bayes_scaling.validate.simulations import Problem, Result, sampled

COEFFICIENTS = {"a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c", "sigma"}


def from_the_prior(law, design, *, seed, draws, thin):  # noqa: ARG001
    """A sampler that has not seen the runs: as calibrated as can be, and it takes no time."""
    return prior_draws(law, design, draws, np.random.default_rng(seed)), {"method": "prior", "khat": 0.0, "ess": 99.0}


def narrowed(sampler):
    """Draws half as far from their middle as a sampler's, on scales without bounds."""

    def narrow(law, design, *, seed, draws, thin):
        drawn, fit = sampler(law, design, seed=seed, draws=draws, thin=thin)
        half = {}
        for name, values in drawn.items():
            logs = name.startswith(("log_", "logit_")) or name.endswith("_offset")
            if logs or name == "sigma":
                scale = values if logs else np.log(values)
                middle = np.median(scale, axis=(0, 1))
                half[name] = middle + (scale - middle) / 2
                half[name] = half[name] if logs else np.exp(half[name])
            else:
                half[name] = values
        return half, fit

    return narrow


@pytest.fixture(scope="module")
def runs():
    return bs.load_runs(one_modality())


@pytest.fixture(scope="module")
def remembered():
    """The real sampler, which samples each simulation once for all tests.

    It stays with importance sampling where k-hat would call for NUTS, which takes ten times as long: so few ranks do
    not show the difference.
    """
    known = {}

    def sampler(law, design, *, seed, draws, thin):
        if seed not in known:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("bayes_scaling.refit.MAX_KHAT", 1.5)
                patch.setattr("bayes_scaling.refit.LEAST_ESS", 20)
                known[seed] = sampled(law, design, seed=seed, draws=draws, thin=thin)
        return known[seed]

    return sampler


@pytest.fixture
def use(monkeypatch):
    return lambda sampler: monkeypatch.setattr(simulations, "sampled", sampler)


def test_posteriors_of_the_model_are_calibrated(runs, remembered, use):
    use(remembered)
    found = sbc(runs, simulations=30, progressbar=False)
    assert found.ok, found
    assert set(found.ranks) == COEFFICIENTS | {"optimal_sparsity"}
    assert found.ranks.sizes["simulation"] == 30
    assert found.ranks["optimal_sparsity"].dims[-1] == "budget"
    assert set(found.fits["method"].to_numpy()) <= {"importance", "nuts"}


def test_posteriors_too_narrow_by_two_are_not(runs, remembered, use):
    use(narrowed(remembered))
    found = sbc(runs, simulations=30, progressbar=False)
    assert not found.ok
    assert "quantities are outside their bands" in str(found)


def test_a_sampler_that_ignores_the_runs_is_calibrated_on_the_prior(runs, use):
    use(from_the_prior)
    found = sbc(runs, simulations=60, of=("coefficients", "populations"), progressbar=False)
    assert found.ok, found
    assert {"b_N_population", "floor_spread"} <= set(found.ranks)
    assert "optimal_sparsity" not in found.ranks


def test_truths_come_from_a_stated_prior_and_samplers_are_told(runs, use):
    prior = {"b_N": Prior("LogNormal", mu=np.log(0.8), sigma=0.05)}
    how = {"prior": prior, "simulations": 60, "of": ("coefficients",), "progressbar": False}
    use(from_the_prior)
    assert sbc(runs, **how).ok

    def deaf(law, design, **more):  # noqa: ARG001
        return from_the_prior(laws.get("sparse"), design, **more)

    use(deaf)
    found = sbc(runs, **how)
    assert not found.ok
    with pytest.raises(InputError, match="b_Q"):
        sbc(runs, prior={"b_Q": prior["b_N"]}, progressbar=False)


def test_such_a_sampler_is_not_calibrated_on_the_posterior(runs, use):
    """Truths near the runs' own answer are in the middle of prior draws, not spread over them."""
    use(from_the_prior)
    found = sbc(runs, kind="posterior", simulations=60, of=("coefficients",), progressbar=False)
    assert not found.ok
    assert found.kind == "posterior"


def test_truths_from_the_posterior_are_refitted_with_the_runs_beside_them(runs, use):
    seen = []

    def sampler(law, design, *, seed, draws, thin):
        seen.append(design)
        return from_the_prior(law, design, seed=seed, draws=draws, thin=thin)

    use(sampler)
    posterior = refit(runs, laws.get("sparse"), draws=100)
    sbc(runs, kind="posterior", posterior=posterior, simulations=20, of=("coefficients",), progressbar=False)
    design = design_of(runs)
    for each in seen:
        observed, simulated = np.split(each.runs["log_loss"], 2)
        np.testing.assert_array_equal(observed, design.runs["log_loss"])
        assert np.abs(simulated - observed).max() < 0.2  # near the runs, and not the runs
        assert (simulated != observed).all()
        np.testing.assert_array_equal(each.rough_log_loss, design.rough_log_loss)
        np.testing.assert_array_equal(each.runs["sparsity"], np.tile(design.runs["sparsity"], 2))


def test_the_prior_stays_where_it_was(runs, monkeypatch):
    """A truth whose losses are far from the runs' is refitted under the prior that it was drawn from."""
    seen = []

    def sampler(law, design, *, seed, draws, thin):
        seen.append(design)
        return from_the_prior(law, design, seed=seed, draws=draws, thin=thin)

    monkeypatch.setattr(simulations, "sampled", sampler)
    sbc(runs, simulations=20, of=("coefficients",), progressbar=False)
    rough = design_of(runs).rough_log_loss
    medians = np.array([np.median(each.runs["log_loss"]) for each in seen])
    assert np.abs(medians - rough).max() > 0.3
    assert all((each.rough_log_loss == rough).all() for each in seen)


def test_equal_draws_are_ranked_at_random():
    sample = ("chain", "draw")
    truth = xr.DataArray(np.zeros((1, 1, 3)), dims=(*sample, "group"))
    draws = xr.DataArray(np.stack([np.zeros(99), np.ones(99), np.r_[np.zeros(49), -np.ones(50)]], axis=1)[None],
                         dims=(*sample, "group"))  # fmt: skip
    rng = np.random.default_rng(0)
    found = np.stack([simulations._rank(truth, draws, rng).to_numpy() for _ in range(400)])
    assert found[:, 0].min() < 0.02  # all equal: anywhere
    assert found[:, 0].max() > 0.98
    assert found[:, 1].max() < 0.01  # all above: in the first step of a hundred
    assert 0.5 < found[:, 2].min() < 0.51  # fifty below, and the rest equal
    assert found[:, 2].max() > 0.99


def test_optimal_sparsity_at_multiples_of_the_reference_budget(runs):
    posterior = refit(runs, laws.get("sparse"), draws=50)
    design = design_of(runs)
    problem = Problem(laws.get("sparse"), design, runs, "prior", None, ("decision",), (1.0, 4.0), 0)
    found = simulations.quantities(posterior, problem)["optimal_sparsity"]
    size, data = design.nonzero_params[0], design.data_seen[0]
    for times in (1.0, 4.0):
        budget = 6 * size * data * times
        expected = bs.optimal_sparsity(posterior, size, budget, "language", "unstructured")
        here = found.sel(budget=times, modality="language", structure="unstructured")
        np.testing.assert_allclose(here, expected, atol=1e-9)


def test_groups_that_no_run_had_are_ranked_too(use):
    use(from_the_prior)
    found = sbc(two_modalities(), simulations=20, progressbar=False)
    labels = {each.quantity for each in found.quantities}
    assert {"b_S[vision, 2:4]", "b_N[vision]", "optimal_sparsity[vision, 2:4, × 10]"} <= labels


def test_an_interrupted_run_goes_on(runs, use, tmp_path):
    use(from_the_prior)
    whole = sbc(runs, simulations=20, progressbar=False)
    count = []

    def breaks(law, design, *, seed, draws, thin):
        count.append(seed)
        if len(count) == 8:
            raise KeyboardInterrupt
        return from_the_prior(law, design, seed=seed, draws=draws, thin=thin)

    use(breaks)
    store = tmp_path / "store"
    with pytest.raises(KeyboardInterrupt):
        sbc(runs, simulations=20, store=store, progressbar=False)
    assert len(list(store.glob("0*.json"))) == 7
    assert not list(store.glob(".*"))
    resumed = sbc(runs, simulations=20, store=store, progressbar=False)
    assert len(count) == 8 + 13
    xr.testing.assert_allclose(resumed.ranks, whole.ranks)
    longer = sbc(runs, simulations=25, store=store, progressbar=False)
    assert len(count) == 8 + 13 + 5
    xr.testing.assert_allclose(longer.ranks.isel(simulation=slice(20)), whole.ranks)
    with pytest.raises(InputError, match=r"holds simulations with seed 0, not 1; give these another store"):
        sbc(runs, simulations=20, seed=1, store=store, progressbar=False)
    other = runs.assign(loss=runs["loss"] * 1.5)
    with pytest.raises(InputError, match=r"holds simulations with runs '"):
        sbc(other, simulations=20, store=store, progressbar=False)
    (store / "settings.json").write_text("{")
    with pytest.raises(InputError, match=r"cannot be used as a store"):
        sbc(runs, simulations=20, store=store, progressbar=False)


def test_results_as_json_arviz_and_text(runs, use):
    import arviz_plots as azp

    use(from_the_prior)
    found = sbc(runs, simulations=20, budgets=(1.0, 2.5), progressbar=False)
    again = json.loads(json.dumps(found.to_dict()))
    assert again["ok"] is found.ok
    assert len(again["quantities"]) == len(COEFFICIENTS) + 2
    text = str(found)
    for shown in ("optimal_sparsity[language, unstructured, × 2.5]", "20 truths from the prior", "1%"):
        assert shown in text
    assert 0.2 < found.band < 0.6
    tree = xr.DataTree.from_dict({"prior_sbc": found.ranks})
    azp.plot_ecdf_pit(tree, var_names=["b_N"], sample_dims="simulation", backend="none")


def test_the_family_has_one_error_rate(runs):
    """Uniform ranks of many quantities rarely leave any band; without adjustment, one in five such families would."""
    rng = np.random.default_rng(4)
    fit = {"method": "importance", "khat": 0.1, "ess": 500.0}
    problem = Problem(laws.get("sparse"), design_of(runs), runs, "prior", None, ("coefficients",), (1.0,), 0)
    outside = 0
    for _ in range(40):
        ranks = rng.random((30, 20))
        results = [Result(xr.Dataset({"x": ("group", row)}, {"group": np.arange(20)}), fit) for row in ranks]
        outside += not module._judged(problem, results).ok
    assert outside <= 3


def test_long_tables_show_what_matters(runs):
    rng = np.random.default_rng(5)
    fit = {"method": "importance", "khat": 0.1, "ess": 500.0}
    problem = Problem(laws.get("sparse"), design_of(runs), runs, "prior", None, ("coefficients",), (1.0,), 0)
    ranks = rng.random((30, 60))
    ranks[:, 7] /= 10
    results = [Result(xr.Dataset({"x": ("group", row)}, {"group": np.arange(60)}), fit) for row in ranks]
    text = str(module._judged(problem, results))
    assert "x[7]" in text
    assert text.count("x[") == 40
    assert "20 more, all inside, are not shown" in text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"simulations": 19}, r"simulations is 19.*at least 20"),
        ({"seed": -1}, r"seed is -1"),
        ({"of": ()}, r"of is \(\); it is a list of any of coefficients, decision, populations"),
        ({"of": "decision"}, r"of is 'decision'"),
        ({"budgets": (1.0, 0.0)}, r"budgets is .*above 0"),
        ({"kind": "both"}, r"kind is 'both'; it is one of prior, posterior"),
        ({"law": "no such"}, r"law 'no such' is not known"),
        ({"law": "sparse+coupled"}, r"gives sparse, coupled fixed shares"),
        ({"group": "corpus"}, r"'corpus' is no column"),
    ],
)
def test_settings_out_of_range(runs, settings, words):
    with pytest.raises(InputError, match=words):
        sbc(runs, **settings, progressbar=False)


def test_posteriors_that_do_not_belong(runs):
    posterior = refit(runs, laws.get("sparse"), draws=20)
    ask = {"kind": "posterior", "progressbar": False}
    with pytest.raises(InputError, match=r"kind is 'prior'"):
        sbc(runs, posterior=posterior)
    with pytest.raises(InputError, match=r"the law 'sparse', not 'coupled'"):
        sbc(runs, "coupled", posterior=posterior, **ask)
    with pytest.raises(InputError, match=r"fitted to other runs"):
        sbc(runs.isel(run=slice(1, None)), posterior=posterior, **ask)


def test_another_prior_is_another_store(runs):
    law = laws.get("sparse")
    problem = Problem(law, design_of(runs), runs, "prior", None, ("coefficients",), (1.0,), 0)
    wider = replace(law, priors={**law.priors, "b_N": replace(law.priors["b_N"], sd=1.0)})
    assert problem.fingerprint() == replace(problem).fingerprint()
    assert problem.fingerprint()["runs"] != replace(problem, law=wider).fingerprint()["runs"]
