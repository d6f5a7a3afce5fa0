import numpy as np
import pytest
from helpers import one_modality, two_modalities
from scipy import stats
from scipy.special import softmax

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.compiled import Density, compiled_model
from bayes_scaling.curvature import hessian
from bayes_scaling.design import design_of
from bayes_scaling.inputs import inputs
from bayes_scaling.model import build_model
from bayes_scaling.sampling import _even, _likely_spreads, nuts, whitened


@pytest.fixture(scope="module")
def density():
    design = design_of(bs.load_runs(two_modalities()))
    law = laws.get("sparse")
    return whitened(compiled_model(law, design, lambda: build_model(law, design)), law, design)


def test_the_mode_is_found_wherever_the_search_starts():
    """In the model's own coordinates, a climb from one of these starts stops at once, 360 below the mode."""
    design = design_of(bs.load_runs(two_modalities()))
    law = laws.get("sparse")
    code = compiled_model(law, design, lambda: build_model(law, design))
    average = Density(code, inputs(law, design, average_spread={}))
    rng = np.random.default_rng(5)
    found = [_even(average, law, design, np.array(code.start) + rng.normal(0, 0.5, code.dim)) for _ in range(8)]
    np.testing.assert_allclose([average(there.centre)[0] for there in found], average(found[0].centre)[0], atol=1e-4)
    _, gradient = found[0](np.zeros(code.dim))
    assert np.abs(gradient).max() < 1e-3
    np.testing.assert_allclose(hessian(found[0], np.zeros(code.dim)), -np.eye(code.dim), atol=1e-3)


@pytest.fixture(scope="module")
def sampled(density):
    return nuts(density, draws=500, tune=300, chains=2, seed=3, target_accept=0.9, thin=2)


def test_whitened_coordinates_are_about_standard(density, sampled):
    drawn, _ = sampled
    # back from the variables to z, by way of two that are free coordinates themselves
    unconstrained = np.concatenate(
        [drawn["reference_loss_offset"].reshape(1000, -1), np.log(drawn["sigma"]).reshape(1000, -1)], axis=1
    )
    spread = np.sqrt((density.root**2).sum(axis=1))
    names, at = list(drawn), 0
    for name in names:
        size = int(np.prod(density.code.shapes[names.index(name)])) - (2 if name == "share_as_broken" else 0)
        if name in ("reference_loss_offset", "sigma"):
            column = unconstrained[:, :2] if name == "reference_loss_offset" else unconstrained[:, 2:]
            ratio = column.std(axis=0) / spread[at : at + size]
            assert ((ratio > 0.6) & (ratio < 1.6)).all(), (name, ratio)
        at += size
    assert at == density.code.dim


def test_shapes_and_statistics(density, sampled):
    drawn, statistics = sampled
    assert {name: values.shape[:2] for name, values in drawn.items()} == dict.fromkeys(density.code.names, (2, 500))
    assert dict(statistics.sizes) == {"chain": 2, "draw": 500}
    assert {"diverging", "maxdepth_reached", "energy", "lp", "n_steps"} <= set(statistics.data_vars)
    assert statistics["diverging"].dtype == bool
    np.testing.assert_allclose(drawn["share_as_broken"].sum(axis=-1), 1)


def test_the_seed_decides(density, sampled):
    settings = {"draws": 500, "tune": 300, "chains": 2, "target_accept": 0.9, "thin": 2}
    again, _ = nuts(density, seed=3, **settings)
    other, _ = nuts(density, seed=4, **settings)
    for name, values in sampled[0].items():
        np.testing.assert_array_equal(values, again[name])
        assert not np.array_equal(values, other[name])


class Linear:
    """Stands for a density in even coordinates: groups are a linear map of them, drawn from some prior and runs."""

    def __init__(self, law, design, spread, from_runs, observed):
        prior = law.priors["b_N"]
        population, groups = design.population(prior)
        weight = np.exp(-np.abs(population.scales[:, 0] - spread) / 1e-3)
        self.population, self.groups = population, groups
        now = population.at_average(weight / weight.sum())
        self.data = dict(zip(("log_b_N_axes", "log_b_N_precision"), now.axes(groups)[:2], strict=True))
        precision = now.precision(groups)[0][0] + from_runs
        self.mean = population.mean + np.linalg.solve(precision, from_runs @ (observed - population.mean))
        self.root = np.linalg.cholesky(np.linalg.inv(precision))
        self.code = type("Code", (), {"dim": len(groups)})

    def variables(self, z):
        return {"log_b_N": self.mean + z @ self.root.T}


@pytest.mark.parametrize("spread", [0.06, 0.4])
def test_spreads_are_weighed_by_how_likely_they_make_the_runs(spread):
    rows = [row | {"modality": f"group {i % 30}"} for i, row in enumerate(one_modality() * 9)]
    design = design_of(bs.load_runs([row | {"run_id": str(i)} for i, row in enumerate(rows)]))
    rng = np.random.default_rng(3)
    noise = rng.uniform(0.02, 0.5, 30)
    law = laws.get("sparse")
    observed = -1.2 + rng.normal(0, 0.1, 30) + rng.normal(0, noise)
    density = Linear(law, design, spread, np.diag(noise**-2), observed)
    found = _likely_spreads(density, "b_N", law, design)
    covariances = density.population.covariance()[:, density.groups][:, :, density.groups]
    mean = np.full(30, density.population.mean)
    exact = [stats.multivariate_normal.logpdf(observed, mean, k + np.diag(noise**2)) for k in covariances]
    # Whatever the spread that it starts from.
    np.testing.assert_allclose(found, softmax(exact), rtol=1e-6, atol=1e-12)
