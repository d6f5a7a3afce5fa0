import numpy as np
import pytest
import xarray as xr
from helpers import one_modality
from scipy.optimize import minimize

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.pointwise import log_likelihood
from bayes_scaling.refit import refit
from bayes_scaling.validate import predictions
from bayes_scaling.validate.loo import elpd_of, leave_one_out, stacking
from bayes_scaling.validate.scores import log_score

MIXED = "sparse+coupled"
NAMES = ["sparse", "coupled", MIXED]


@pytest.fixture(scope="module")
def runs():
    return bs.load_runs(one_modality())


@pytest.fixture(scope="module")
def found(runs):
    return leave_one_out(runs, NAMES, {name: {} for name in NAMES}, 0)[0]


def test_it_is_what_refits_without_the_run_say(runs, found):
    """The run that matters most and one that does not, of the mixture with its fixed shares."""
    order = np.argsort(found[MIXED].pareto_k.to_numpy())
    for i in (order[0], order[-1]):
        kept, out = runs.isel(run=np.arange(36) != i), runs.isel(run=[i])
        known = {}
        for name in NAMES:
            posterior = refit(kept, laws.get(name), seed=1, draws=4000, known=known)
            exact = log_score(log_likelihood(posterior, out).to_numpy().reshape(-1, 1))[0]
            assert float(found[name].elpd_i[i]) == pytest.approx(exact, abs=0.15), (name, i)


def test_a_mixture_keeps_its_shares(found):
    density = {name: np.exp(each.elpd_i.to_numpy()) for name, each in found.items()}
    np.testing.assert_allclose(density[MIXED], 0.25 * density["sparse"] + 0.75 * density["coupled"])
    worst = np.maximum(*(found[name].pareto_k for name in NAMES[:2]))
    np.testing.assert_array_equal(found[MIXED].pareto_k, worst)


def test_it_agrees_with_a_full_fit(single, found):
    import arviz as az

    long = az.loo(single, pointwise=True)
    np.testing.assert_allclose(found["sparse"].elpd_i, long.elpd_i, atol=0.1)
    assert found["sparse"].elpd == pytest.approx(long.elpd, abs=0.3)
    assert found["sparse"].se == pytest.approx(long.se, abs=0.2)


def test_refits_that_did_not_converge_are_noted(runs, found, monkeypatch):  # noqa: ARG001 (whose model is compiled)
    monkeypatch.setattr(predictions, "MAX_RHAT", 0.5)
    _, notes = leave_one_out(runs, ["sparse"], {"sparse": {}}, 0)
    assert [note.code for note in notes["sparse"]] == ["refit_not_converged"]


def test_stacking_weights_are_the_best():
    rng = np.random.default_rng(0)
    scores = rng.normal(3.0, 0.5, (3, 40)) + np.array([[0.0], [0.0], [-2.0]])
    named = {name: elpd_of(xr.DataArray(each, dims="run")) for name, each in zip("abc", scores, strict=True)}
    weights = stacking(named)
    assert list(weights) == ["a", "b", "c"]
    assert sum(weights.values()) == pytest.approx(1)

    def loss(z):
        share = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        return -np.log(share @ np.exp(scores)).sum()

    best = minimize(loss, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10, "maxiter": 5000})
    reached = -np.log(np.array(list(weights.values())) @ np.exp(scores)).sum()
    assert reached == pytest.approx(best.fun, abs=1e-4)
    assert weights["c"] < 0.05 < min(weights["a"], weights["b"])
