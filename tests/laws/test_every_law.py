"""What all laws have in common: a new one is held to it by being registered."""

import numpy as np
import pytest
import xarray as xr

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.design import design_of
from bayes_scaling.errors import InputError
from bayes_scaling.laws.base import Grouped, Pooled, Rough, Shares
from bayes_scaling.misfit import misfit_of

NAMES = [name for name in laws.names() if not laws.get(name).parts]
DENSE_ONLY = ("dense", "dense_coupled", "kaplan", "data_constrained")
REFERENCE = {"nonzero_params": 3e7, "data_seen": 2e10}


def quantities_of(law, rng):
    """A draw of everything that has a prior, on its own scale."""
    found = {}
    for name, prior in law.priors.items():
        if isinstance(prior, Rough):
            found[name] = 2.5
        elif isinstance(prior, Shares):
            found |= dict(zip(prior.terms, rng.dirichlet(np.full(len(prior.terms), 5.0)), strict=True))
        elif prior.strategy is None:
            unit = 0.3 * rng.standard_normal()
            logit = np.log(prior.center / (1 - prior.center)) if prior.link == "logit" else 0.0
            found[name] = prior.center * np.exp(unit) if prior.link == "log" else 1 / (1 + np.exp(-logit - unit))
    return found


def table(law, sparse=True):
    rows = [
        {"nonzero_params": n, "data_seen": d, "sparsity": s, "loss": 2.0 + (1e6 / n) ** 0.3 + 30 * d**-0.2 - 0.05 * s}
        for n in (1e6, 1e7, 1e8)
        for d in ((1e9, 1e10, 1e11) if "data_seen" not in law.held else (1e10,))
        for s in ((0.0, 0.5, 0.75) if sparse and law.name not in DENSE_ONLY else (0.0,))
    ]
    return bs.load_runs([row | {"unique_data": row["data_seen"] / (1 + i % 3)} for i, row in enumerate(rows)])


@pytest.mark.parametrize("name", NAMES)
def test_a_law_says_what_it_is(name):
    law = laws.get(name)
    assert law.name == name
    assert "arXiv:" in law.reference
    assert law.latex.startswith("L = ")
    for coefficient in law.coefficients.values():
        assert coefficient.units
        assert coefficient.meaning


@pytest.mark.parametrize("name", NAMES)
def test_shares_and_slopes_are_those_at_the_reference_point(name):
    law, rng = laws.get(name), np.random.default_rng(1)
    q = quantities_of(law, rng)
    at = law.from_shares(**q, **REFERENCE)
    assert set(at) | {"rho"} == set(law.coefficients) | {"rho"}

    def log_loss(n, d):
        return np.log(law.loss(0.0, REFERENCE["nonzero_params"] * np.exp(n), REFERENCE["data_seen"] * np.exp(d), **at))

    assert np.exp(log_loss(0, 0)) == pytest.approx(2.5, rel=1e-9)
    h = 1e-6
    steps = {"size": (h, 0), "data": (0, h)}
    slopes = {term: (log_loss(n, d) - log_loss(-n, -d)) / (2 * h) for term, (n, d) in steps.items()}
    for exponent, prior in law.priors.items():
        if isinstance(prior, Grouped) and prior.slope_of:
            expected = -q[exponent] * np.prod([q[factor] for factor in prior.slope_of])
            assert slopes[prior.slope_of[0]] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_one_formula_serves_numpy_xarray_and_pytensor(name):
    import pytensor
    import pytensor.tensor as pt

    law, rng = laws.get(name), np.random.default_rng(2)
    at = law.from_shares(**quantities_of(law, rng), **REFERENCE)
    S = np.zeros(3) if name in DENSE_ONLY else np.array([0.0, 0.5, 0.75])
    N, D = np.array([1e6, 1e7, 1e9]), np.array([1e9, 1e10, 1e12])
    plain = law.loss(S, N, D, **at)
    labelled = law.loss(*(xr.DataArray(v, dims="run") for v in (S, N, D)), **at)
    np.testing.assert_allclose(labelled.to_numpy(), plain, rtol=1e-12)
    symbols = [pt.dvector() for _ in range(3)]
    compiled = pytensor.function(symbols, law.loss(*symbols, **at), mode="FAST_COMPILE")
    np.testing.assert_allclose(compiled(S, N, D), plain, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_more_of_anything_never_hurts(name):
    law, rng = laws.get(name), np.random.default_rng(3)
    for _ in range(20):
        at = law.from_shares(**quantities_of(law, rng), **REFERENCE)
        for axis in ("nonzero_params", "data_seen"):
            points = {"sparsity": 0.0, **REFERENCE} | {axis: REFERENCE[axis] * np.geomspace(1e-3, 1e3, 60)}
            assert (np.diff(law.loss(**points, **at)) <= 1e-12).all()


@pytest.mark.parametrize("name", NAMES)
def test_terms_add_up_to_what_the_loss_is_a_function_of(name):
    law, rng = laws.get(name), np.random.default_rng(4)
    if type(law).terms is laws.base.Law.terms:
        pytest.skip("a law without terms is searched")
    at = law.from_shares(**quantities_of(law, rng), **REFERENCE)
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e5, 1e9, 7), np.geomspace(1e8, 1e12, 7)))
    total = sum(law.terms(0.0, N, D, **at))
    order = np.argsort(total)
    assert (np.diff(law.loss(0.0, N, D, **at)[order]) >= -1e-12).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_dense_equivalent_has_the_same_loss(name):
    law, rng = laws.get(name), np.random.default_rng(5)
    at = law.from_shares(**quantities_of(law, rng), **REFERENCE)
    S = 0.0 if name in DENSE_ONLY else 0.75
    m = law.dense_equivalent(S, nonzero_params=1e7, **at)
    assert law.loss(S, 1e7, 1e10, **at) == pytest.approx(law.loss(0.0, 1e7 * m, 1e10, **at), rel=1e-9)
    assert law.dense_equivalent(0.0, nonzero_params=1e7, **at) == pytest.approx(1.0)


@pytest.mark.parametrize("name", NAMES)
def test_the_point_fits_gradient_is_exact(name):
    """The complex step goes through every operation of the formula."""
    law = laws.get(name)
    misfit = misfit_of(law, design_of(table(law), law), 0, on_log=True, delta=1e-3)
    rng = np.random.default_rng(6)
    point = misfit.center + 0.1 * rng.standard_normal(misfit.center.size)
    _, slope = misfit.residuals(point)
    for i in range(point.size):
        step = 1e-6 * np.eye(point.size)[i]
        ahead, behind = misfit.residuals(point + step)[0], misfit.residuals(point - step)[0]
        np.testing.assert_allclose(slope[i], (ahead - behind) / 2e-6, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_published_coefficients_are_complete_and_allowed(name):
    law = laws.get(name)
    for published in law.published.values():
        assert set(published.coefficients) == set(law.coefficients) - {"rho"}
        assert published.source
        assert law.loss(0.0, 1e9, 1e11, **published.coefficients) > published.coefficients.get("c", 0)
        for quantity, prior in law.priors.items():
            if isinstance(prior, Pooled) and quantity in published.coefficients:
                assert 0 < published.coefficients[quantity] < (1 if prior.link == "logit" else np.inf)


@pytest.mark.parametrize("name", DENSE_ONLY)
def test_dense_laws_refuse_sparse_runs(name):
    with pytest.raises(InputError, match=f"law '{name}' is about dense runs, and 18 of 27 have a sparsity above 0"):
        design_of(table(laws.get("sparse")), laws.get(name))


def test_dense_laws_are_cases_of_the_sparse_ones():
    sparse = {"a_S": 3.0, "c_S": 5.0, "b_S": 0.7, "b_N": 0.3, "a_D": 1e8, "b_D": 0.4, "c": 1.2}
    dense = {name: value for name, value in sparse.items() if name not in ("a_S", "b_S", "c_S")} | {"A": 8.0}
    N, D = np.meshgrid([1e6, 1e8], [1e9, 1e11])
    assert np.array_equal(laws.get("dense").loss(0.0, N, D, **dense), laws.get("sparse").loss(0.0, N, D, **sparse))
    one, other = laws.get("dense_coupled"), laws.get("coupled")
    np.testing.assert_array_equal(one.loss(0.0, N, D, k=0.6, **dense), other.loss(0.0, N, D, k=0.6, **sparse))


def test_kaplans_law_as_printed():
    n_c, d_c, alpha_n, alpha_d = 6.4e13, 1.8e13, 0.076, 0.103
    N, D = np.meshgrid([1e6, 1e9], [1e9, 1e12])
    printed = ((n_c / N) ** (alpha_n / alpha_d) + d_c / D) ** alpha_d
    found = laws.get("kaplan").loss(0.0, N, D, N_c=n_c, D_c=d_c, alpha_N=alpha_n, alpha_D=alpha_d)
    np.testing.assert_allclose(found, printed, rtol=1e-12)


def test_new_data_makes_the_constrained_law_dense():
    law = laws.get("data_constrained")
    at = dict(law.published["c4"].coefficients)
    dense = {name: value for name, value in at.items() if name not in ("R_D", "R_N")}
    # As large as the data can feed, and no larger.
    N, D = np.array([1e7, 1e8, 1e9]), np.array([1e10, 1e11, 1e12])
    expected = laws.get("dense").loss(0.0, N, D, **dense)
    np.testing.assert_allclose(law.loss(0.0, N, D, **at), expected)
    np.testing.assert_allclose(law.loss(0.0, N, D, unique_data=D, **at), expected, rtol=1e-9)
    repeated = law.loss(0.0, N, D, unique_data=D / 40, **at)
    assert (repeated > expected).all()
    assert (repeated < laws.get("dense").loss(0.0, N, D / 40, **dense)).all()


def test_the_average_law_takes_stated_averages_and_else_gradual_pruning():
    law = laws.get("average")
    at = {"A": 70.0, "b_N": 0.26, "a_D": 1e9, "b_D": 0.5, "c": 1.0}
    assert law.dense_equivalent(np.array([0.5, 0.75, 0.875]), **at) == pytest.approx([1.375, 2.125, 3.625])
    gradual = law.loss(0.75, 1e7, 1e10, **at)
    assert gradual == pytest.approx(law.loss(0.75, 1e7, 1e10, mean_params=2.125e7, **at))
    assert gradual == pytest.approx(law.loss(0.0, 2.125e7, 1e10, **at))
    runs = table(law)
    assert "mean_params" not in design_of(runs, law).runs
    stated = bs.load_runs(runs.assign(mean_params=2 * runs["nonzero_params"]))
    assert "mean_params" in design_of(stated, law).runs


def test_columns_that_a_law_reads_are_asked_for():
    from dataclasses import dataclass
    from typing import ClassVar

    from bayes_scaling.laws.base import Read
    from bayes_scaling.laws.dense import Dense

    @dataclass(frozen=True)
    class NeedsExperts(Dense):
        name = "needs_experts"
        reads: ClassVar[dict[str, Read]] = {"experts": Read(per="one")}

    with pytest.raises(InputError, match=r"law 'needs_experts' reads the columns 'experts', and .* has no 'experts'"):
        design_of(table(laws.get("dense")), NeedsExperts())
    runs = table(laws.get("dense"))
    partly = bs.load_runs(runs.assign(experts=("run", [np.nan, *[4.0] * (runs.sizes["run"] - 1)])))
    with pytest.raises(InputError, match="has no 'experts', which law 'needs_experts' reads"):
        design_of(partly, NeedsExperts())
