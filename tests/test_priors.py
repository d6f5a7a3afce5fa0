import json

import numpy as np
import pytest
from helpers import one_modality, two_modalities, two_starts
from pymc_extras.prior import Prior
from scipy import stats
from scipy.special import expit

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.assemble import assemble, prior_draws
from bayes_scaling.design import design_of
from bayes_scaling.log_prior import log_prior
from bayes_scaling.model import build_model
from bayes_scaling.priors import as_json, given, stated

SPARSE = laws.get("sparse")

POOLED = Prior(
    "Normal",
    mu=Prior("Normal", mu=-0.7, sigma=0.05),
    sigma=Prior("HalfNormal", sigma=0.02),
    transform="exp",
    dims="modality",
)
"""A population of exponents near 0.5, where the runs say 0.24."""

MIXED = {
    "b_N": Prior("LogNormal", mu=-1.2, sigma=0.3),
    "b_D": Prior("Normal", mu=-1.0, sigma=0.4, transform="exp"),
    "b_S": Prior("Uniform", lower=0.9, upper=1.5, dims=("modality", "structure")),
    "floor": Prior("Beta", alpha=3, beta=2),
    "share": Prior("Dirichlet", a=[3, 1, 2]),
    "reference_loss": Prior("Gamma", mu=3, sigma=1),
    "sigma": Prior("HalfNormal", sigma=0.02),
}
"""Every quantity of `sparse`, in every form that is no hierarchy."""


def converted(law=SPARSE, **prior):
    return given(law, stated(prior, law))


@pytest.fixture(scope="module")
def fitted():
    return bs.fit(bs.load_runs(one_modality()), law="sparse", prior=MIXED, progressbar=False)


def test_a_hierarchy_becomes_the_laws_own_kind():
    own = SPARSE.priors["b_N"]
    for prior in (
        POOLED,
        Prior("LogNormal", mu=Prior("Normal", mu=-0.7, sigma=0.05), sigma=Prior("HalfNormal", sigma=0.02)),
        Prior(
            "Normal",
            mu=Prior("Normal", mu=-0.7, sigma=0.05),
            sigma=Prior("HalfNormal", sigma=0.02),
            transform="exp",
            centered=False,
        ),
    ):
        found = converted(b_N=prior).priors["b_N"]
        assert (found.center, found.sd, found.spread) == (pytest.approx(np.exp(-0.7)), 0.05, 0.02)
        assert (found.link, found.over, found.slope_of) == (own.link, own.over, own.slope_of)
    floor = Prior("LogitNormal", mu=Prior("Normal", mu=0.4, sigma=0.8), sigma=Prior("HalfNormal", sigma=0.5))
    assert converted(floor=floor).priors["floor"].center == pytest.approx(expit(0.4))


def test_other_quantities_keep_the_laws_priors():
    law = converted(b_N=POOLED)
    assert {n: p for n, p in law.priors.items() if n != "b_N"} == {n: p for n, p in SPARSE.priors.items() if n != "b_N"}
    assert SPARSE is laws.get("sparse")
    assert SPARSE.priors["b_N"].center == 0.3


def test_priors_survive_as_json():
    stored = json.loads(json.dumps(as_json(stated(MIXED | {"b_N": POOLED}, SPARSE))))
    assert stated(stored, SPARSE) == MIXED | {"b_N": POOLED}


def test_pooled_prior_moves_the_posterior_where_it_says(single):
    runs = bs.load_runs(one_modality())
    pulled = bs.fit(runs, law="sparse", prior={"b_N": POOLED}, progressbar=False)
    before, after = (float(p["posterior"]["b_N"].median()) for p in (single, pulled))
    assert before < 0.27
    assert before + 0.02 < after < 0.55
    prior = pulled["prior"]["b_N"].to_numpy()
    assert np.median(prior) == pytest.approx(np.exp(-0.7), rel=0.03)
    assert np.log(prior).std() == pytest.approx(np.hypot(0.05, 0.02), rel=0.15)


def test_validation_takes_priors_too():
    runs = bs.load_runs(one_modality())
    kept = {"by": "nonzero_params", "against": (), "progressbar": False}
    own, changed = (bs.holdout(runs, "sparse", **kept, prior=p).predictions for p in (None, {"b_N": POOLED}))
    # Other exponents, so other losses beyond the sizes kept, by more than draws differ with the same seed.
    assert float(np.abs(changed["median"] - own["median"]).max()) > 0.005


def test_a_mixed_law_hands_priors_to_the_parts_that_have_them():
    coupled = laws.get("coupled")
    prior = stated({"k": Prior("LogNormal", mu=0, sigma=0.1), "b_N": POOLED}, laws.get("sparse+coupled"))
    assert "k" not in given(SPARSE, prior).priors
    assert given(coupled, prior).priors["k"].distribution == "LogNormal"
    assert given(coupled, prior).priors["b_N"].slope_of == coupled.priors["b_N"].slope_of


@pytest.mark.parametrize("rows", [one_modality, two_modalities, two_starts])
def test_density_of_the_model_is_that_of_the_priors(rows):
    design = design_of(bs.load_runs(rows()))
    model = build_model(converted(**MIXED), design)
    rng = np.random.default_rng(0)
    groups, cells = len(design.modality), len(design.cells)
    value = {
        "log_b_N": rng.normal(-1, 0.2, groups),
        "log_b_D": rng.normal(-1, 0.2, groups),
        "b_S": rng.uniform(1.0, 1.4, cells),
        "logit_floor": rng.normal(0, 1, cells),
        "log_reference_loss": rng.normal(1, 0.1, groups),
        "log_sigma": rng.normal(-4, 0.5, groups),
    }
    floor, loss, sigma = expit(value["logit_floor"]), np.exp(value["log_reference_loss"]), np.exp(value["log_sigma"])
    expected = {
        "log_b_N": stats.norm.logpdf(value["log_b_N"], -1.2, 0.3),
        "log_b_D": stats.norm.logpdf(value["log_b_D"], -1.0, 0.4),
        "b_S": stats.uniform.logpdf(value["b_S"], 0.9, 0.6),
        "logit_floor": stats.beta.logpdf(floor, 3, 2) + np.log(floor * (1 - floor)),
        "log_reference_loss": stats.gamma.logpdf(loss, 9, scale=1 / 3) + np.log(loss),
        "log_sigma": stats.halfnorm.logpdf(sigma, scale=0.02) + np.log(sigma),
    }
    for name, values in value.items():
        variable = model[name]
        # The slope of an exponent's term is a parameter that its density does not depend on.
        at = {model.rvs_to_values[v]: v for v in (variable,)}
        density = model.logp(vars=[variable], jacobian=False, sum=False)[0]
        point = model.initial_point()
        inner = next(iter(at))
        moved = _unconstrained(model, variable, inner, values, point)
        got = np.sum(
            density.eval({v: moved[v.name] for v in model.value_vars if v in _inputs(density)}, mode="FAST_COMPILE")
        )
        assert got == pytest.approx(expected[name].sum(), rel=1e-9), name


def _inputs(graph):
    from pytensor.graph.traversal import explicit_graph_inputs

    return set(explicit_graph_inputs([graph]))


def _unconstrained(model, variable, inner, values, point):
    """The point at which a variable has these values."""
    transform = model.rvs_to_transforms[variable]
    if transform is None:
        return point | {inner.name: values}
    if "slope" in inner.name:
        # Forward adds the log of a share; at the initial point all shares are known, and the shift is undone here.
        shift = _shift(model, variable, inner, point)
        return point | {inner.name: values + shift}
    return point | {inner.name: transform.forward(values, *variable.owner.inputs).eval(mode="FAST_COMPILE")}


def _shift(model, variable, inner, point):
    back = model.replace_rvs_by_values([variable])[0]
    zero = point | {inner.name: np.zeros_like(point[inner.name])}
    return -back.eval({v: zero[v.name] for v in model.value_vars if v in _inputs(back)}, mode="FAST_COMPILE")


@pytest.mark.parametrize("rows", [one_modality, two_modalities, two_starts])
def test_prior_draws_follow_the_stated_priors(rows):
    law, design = converted(**MIXED), design_of(bs.load_runs(rows()))
    drawn = prior_draws(law, design, 3000, np.random.default_rng(1))
    posterior, unseen = assemble(drawn, law, design, np.random.default_rng(2))
    expected = {
        "b_N": stats.lognorm(0.3, scale=np.exp(-1.2)),
        "b_D": stats.lognorm(0.4, scale=np.exp(-1.0)),
        "b_S": stats.uniform(0.9, 0.6),
        "floor": stats.beta(3, 2),
        "reference_loss": stats.gamma(9, scale=1 / 3),
        "sigma": stats.halfnorm(scale=0.02),
    }
    for name, distribution in expected.items():
        values = posterior[name].transpose("chain", "draw", ...).to_numpy().reshape(3000, -1)
        for group in values.T:
            assert stats.kstest(group, distribution.cdf).pvalue > 1e-4, name
        if values.shape[1] > 1:  # groups know nothing of each other
            assert np.abs(np.corrcoef(values.T) - np.eye(values.shape[1])).max() < 0.1
    assert stats.kstest(unseen["b_S"].to_numpy().ravel()[:3000], expected["b_S"].cdf).pvalue > 1e-4
    share = posterior["share"].mean(("chain", "draw"))
    np.testing.assert_allclose(share.transpose("modality", "term"), [[0.5, 1 / 6, 1 / 3]] * len(share), atol=0.02)
    density = log_prior(posterior, law, design)
    loss = posterior["reference_loss"].to_numpy()
    np.testing.assert_allclose(density["reference_loss"], expected["reference_loss"].logpdf(loss))
    np.testing.assert_allclose(density["sigma"], expected["sigma"].logpdf(posterior["sigma"].to_numpy()))


def test_fit_under_independent_priors(fitted, single):
    found = json.loads(fitted.attrs["diagnostics"])
    assert found["ok"], found
    draws = fitted["posterior"].to_dataset()
    assert 0.9 < float(draws["b_S"].min()) < float(draws["b_S"].max()) < 1.5
    assert "b_N_population" not in draws
    own = single["posterior"].to_dataset()
    for name in ("b_N", "b_D", "reference_loss"):  # sure of themselves, whatever the prior
        assert abs(float(draws[name].median() - own[name].median())) < float(own[name].std()), name
    assert np.isfinite(fitted["log_prior"].to_dataset().to_array()).all()
    assert np.isfinite(bs.optimal_sparsity(fitted, 1e8, 1e19)).all()


def test_priors_travel_with_the_posterior(fitted, tmp_path):
    again = bs.load(bs.save(fitted, tmp_path / "posterior.nc"))
    stored = json.loads(again.attrs["settings"])["prior"]
    assert stated(stored, SPARSE) == MIXED
    rows = [row | {"run_id": f"again-{row['run_id']}"} for row in one_modality()]
    more = bs.update(again, bs.load_runs(rows), progressbar=False)
    assert json.loads(more.attrs["settings"])["prior"] == stored
    assert float(more["posterior"]["b_S"].min()) > 0.9


REFUSED = {
    "unknown name": (
        {"b_M": POOLED},
        "prior names 'b_M', and the law 'sparse' has no such quantity; it has reference_",
    ),
    "k is not of this law": ({"k": POOLED}, "has no such quantity"),
    "no prior": ({"b_N": 0.3}, "the prior of b_N is 0.3; it is a pymc_extras.prior.Prior"),
    "negative": ({"b_N": Prior("Normal", mu=0.3, sigma=0.2)}, "b_N is any number above 0"),
    "negative, hardly ever": ({"b_N": Prior("Normal", mu=0.3, sigma=0.01)}, "b_N is any number above 0"),
    "above one": ({"floor": Prior("LogNormal", mu=-1, sigma=0.1)}, "floor is any number between 0 and 1"),
    "discrete": ({"b_N": Prior("Poisson", mu=40)}, "whole numbers only"),
    "transform": ({"b_N": Prior("Normal", transform="tanh")}, "has the transform 'tanh'; it has none, or 'exp'"),
    "dims": ({"b_N": Prior("Gamma", alpha=2, beta=5, dims="structure")}, "has the dims ('structure',)"),
    "shares": ({"share": Prior("Beta", alpha=1, beta=1)}, "it is a Dirichlet with a number above 0 for each of size"),
    "two shares": ({"share": Prior("Dirichlet", a=[1, 1])}, "it is a Dirichlet with a number above 0 for each of size"),
    "odd hierarchy": (
        {"b_N": Prior("Gamma", mu=Prior("HalfNormal"), sigma=1)},
        "one with priors inside is a Normal with the transform 'exp'",
    ),
    "hierarchy of losses": (
        {"reference_loss": Prior("LogNormal", mu=Prior("Normal"), sigma=1)},
        "has parameter mu that is no number",
    ),
    "unreadable": ({"b_N": {"dist": "Nothing"}}, "the prior of b_N cannot be read"),
    "impossible": ({"b_N": Prior("Gamma", mu=-1, sigma=1)}, "which PyMC does not take: "),
    "no dict": ([POOLED], "it is a dict of pymc_extras.prior.Prior"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    prior, words = REFUSED[case]
    with pytest.raises(bs.InputError) as error:
        bs.fit(bs.load_runs(one_modality()), law="sparse", prior=prior, progressbar=False)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
