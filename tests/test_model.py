import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from helpers import one_modality, paper_loss, two_modalities, two_starts
from scipy import stats
from scipy.special import expit, logsumexp

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.assemble import assemble, prior_draws
from bayes_scaling.design import design_of
from bayes_scaling.hierarchy import pool
from bayes_scaling.laws.base import Pooled
from bayes_scaling.model import _AlongSlope, _BrokenStick, _mixture_draw, _mixture_logp, build_model
from bayes_scaling.noise import NOISE_DF, SIGMA_MEDIAN, SIGMA_SD

SPARSE = laws.get("sparse")
SWEEPS = {"two modalities": two_modalities, "one": one_modality, "two starts": two_starts}


@pytest.fixture(scope="module", params=SWEEPS)
def built(request):
    """A sweep's design and model."""
    rows = SWEEPS[request.param]()
    if request.param == "one":
        rows = [row | {"loss_se": 0.01} for row in rows]
    design = design_of(bs.load_runs(rows))
    return design, build_model(SPARSE, design)


# --- transforms ------------------------------------------------------------------------------------------------------


def numerical_log_jacobian(function, at, step=1e-6):
    columns = [(function(at + step * unit) - function(at - step * unit)) / (2 * step) for unit in np.eye(at.size)]
    return np.linalg.slogdet(np.array(columns).T)[1]


@pytest.fixture(scope="module")
def stick():
    """The stick's forward, backward and log Jacobian as functions of arrays."""
    x = pt.dmatrix("x")
    transform = _BrokenStick()
    return [
        pytensor.function([x], f(x), mode="FAST_COMPILE")
        for f in (transform.forward, transform.backward, transform.log_jac_det)
    ]


def test_stick_there_and_back(stick):
    forward, backward, _ = stick
    rng = np.random.default_rng(0)
    for terms in (2, 3, 5):
        shares = rng.dirichlet(np.full(terms, 1.5), 40)
        np.testing.assert_allclose(backward(forward(shares)), shares, rtol=1e-9, atol=1e-12)
        free = rng.normal(scale=2, size=(40, terms - 1))
        np.testing.assert_allclose(forward(backward(free)), free, rtol=1e-6, atol=1e-6)
        broken = backward(free)
        np.testing.assert_allclose(broken.sum(axis=1), 1, rtol=1e-14)
        assert (broken > 0).all()
        # the first share is its own logit, whatever the others are
        np.testing.assert_allclose(broken[:, 0], expit(free[:, 0]), rtol=1e-12)


def test_stick_jacobian(stick):
    _, backward, log_jac_det = stick
    rng = np.random.default_rng(1)
    for terms in (2, 3, 5):
        free = rng.normal(scale=1.5, size=(20, terms - 1))
        # a point of the simplex has one coordinate less than it has shares
        expected = [numerical_log_jacobian(lambda v: backward(v[None])[0, :-1], row) for row in free]
        np.testing.assert_allclose(log_jac_det(free), expected, atol=1e-6)


def test_slope_there_and_back():
    value, share = pt.dvector("value"), pt.dvector("share")
    transform = _AlongSlope()
    inputs = (pt.constant(0.0), pt.dmatrix("unused"), share)
    forward, backward, log_jac_det = (
        pytensor.function([value, share], f(value, *inputs), mode="FAST_COMPILE", on_unused_input="ignore")
        for f in (transform.forward, transform.backward, transform.log_jac_det)
    )
    x, log_share = np.array([-1.0, 0.5, 2.0]), np.log([0.2, 0.5, 0.9])
    np.testing.assert_allclose(forward(x, log_share), x + log_share)
    np.testing.assert_allclose(backward(forward(x, log_share), log_share), x, rtol=1e-14)
    jacobian = numerical_log_jacobian(lambda v: backward(v, log_share), x)
    assert log_jac_det(x, log_share) == pytest.approx(jacobian, abs=1e-8)


# --- density ---------------------------------------------------------------------------------------------------------


def unstick(free):
    """Shares from logits of what is left, written down once more."""
    broken = expit(free)
    left = np.cumprod(1 - broken, axis=-1)
    shares = np.concatenate([broken, np.ones((*free.shape[:-1], 1))], axis=-1)
    shares[..., 1:] *= left
    return shares


def in_order(broken, design):
    """Shares of size, irreducible loss and data, from the order in which each modality breaks them off."""
    return np.array([row[::-1] if turned else row for row, turned in zip(broken, design.wider_in_data, strict=True)])


def natural(point, design):
    """The model's variables from what the sampler moves."""
    broken = unstick(point["share_as_broken_stick__"])
    size, _, data = in_order(broken, design).T
    return {
        "reference_loss_offset": point["reference_loss_offset"],
        "share_as_broken": broken,
        "log_b_N": point["log_b_N_slope__"] - np.log(size),
        "log_b_D": point["log_b_D_slope__"] - np.log(data),
        "log_b_S": point["log_b_S"],
        "logit_floor": point["logit_floor"],
        "sigma": np.exp(point["sigma_log__"]),
        **({"logit_rho": point["logit_rho"]} if design.pretrained else {}),
    }


def log_density(v, design):
    """Prior and likelihood of the model's variables by scipy."""
    m, cell = design.cells[design.cell_of_run, 0], design.cell_of_run
    total = stats.norm.logpdf(v["reference_loss_offset"], 0.0, SPARSE.priors["reference_loss"].sd).sum()
    for share in v["share_as_broken"]:
        total += stats.dirichlet.logpdf(share / share.sum(), np.full(3, SPARSE.priors["share"].concentration))
    for name, prior in SPARSE.priors.items():
        latent = f"{getattr(prior, 'link', '')}_{name}"
        if isinstance(prior, Pooled) and latent in v:
            population, groups = design.population(prior)
            covariance = population.covariance()[:, groups][:, :, groups]
            at_nodes = [
                stats.multivariate_normal.logpdf(v[latent], np.full(len(groups), population.mean), k)
                for k in covariance
            ]
            total += logsumexp(at_nodes) - np.log(len(at_nodes))
    total += stats.lognorm.logpdf(v["sigma"], SIGMA_SD, scale=SIGMA_MEDIAN).sum()
    level, share = np.exp(design.rough_log_loss + v["reference_loss_offset"]), in_order(v["share_as_broken"], design)
    size, rest, data = share.T
    b_N, b_D, b_S, floor = np.exp(v["log_b_N"]), np.exp(v["log_b_D"]), np.exp(v["log_b_S"]), expit(v["logit_floor"])
    rho = expit(v["logit_rho"])[m] if design.pretrained else 0.0
    loss = paper_loss(
        design.runs["sparsity"],
        design.runs["nonzero_params"],
        design.runs["data_seen"] + rho * design.runs["pretrain_data"],
        a_S=(level * size)[m] * (1 - floor[cell]),
        c_S=(level * size)[m] * floor[cell],
        b_S=b_S[cell],
        b_N=b_N[m],
        a_D=((level * data) ** (1 / b_D))[m],
        b_D=b_D[m],
        c=(level * rest)[m],
    )
    scale = np.hypot(v["sigma"][m], design.runs["log_loss_se"])
    return total + stats.t.logpdf(design.runs["log_loss"], NOISE_DF, np.log(loss), scale).sum()


def flat(point, names):
    return np.concatenate([np.ravel(point[name]) for name in names])


def test_density_is_that_of_the_natural_space_with_the_jacobian(built):
    design, model = built
    start = model.initial_point()
    names = sorted(start)
    with_jacobian = model.compile_logp(mode="FAST_COMPILE")
    without = model.compile_logp(jacobian=False, mode="FAST_COMPILE")
    rng = np.random.default_rng(2)

    def unflat(values):
        sizes = np.cumsum([np.size(start[name]) for name in names])[:-1]
        return {
            name: part.reshape(np.shape(start[name])) for name, part in zip(names, np.split(values, sizes), strict=True)
        }

    def free_natural(values):
        v = natural(unflat(values), design) | {}
        v["share_as_broken"] = v["share_as_broken"][:, :-1]
        return flat(v, sorted(v))

    for _ in range(3):
        point = {name: np.asarray(value) + rng.normal(scale=0.5, size=np.shape(value)) for name, value in start.items()}
        expected = log_density(natural(point, design), design)
        assert float(without(point)) == pytest.approx(expected, rel=1e-9)
        jacobian = numerical_log_jacobian(free_natural, flat(point, names))
        assert float(with_jacobian(point)) == pytest.approx(expected + jacobian, rel=1e-7, abs=1e-5)


PRIOR = SPARSE.priors["b_S"]
UNBALANCED = [[0, 0, 0, 1, 1, 2], [0, 1, 2, 0, 3, 1]]


@pytest.mark.parametrize("levels", [[range(100)], UNBALANCED, [range(100), [0] * 100]])
def test_the_prior_of_groups_is_a_mixture_of_normal_distributions(levels):
    population = pool(PRIOR, [list(row) for row in levels])
    groups = np.arange(len(levels[0]))
    mean, data = np.full(len(groups), population.mean), population.axes(groups)
    x = pt.dvector("x")
    log_density = _mixture_logp(x, pt.constant(mean), *map(pt.constant, data), None)
    both = pytensor.function([x], [log_density, pt.grad(log_density, x)], mode="FAST_COMPILE")
    rng = np.random.default_rng(8)
    for away in (0.2, 1.0):
        at = rng.normal(population.mean, away, len(groups))
        nodes = [stats.multivariate_normal(mean, k) for k in population.covariance()]
        each = np.array([node.logpdf(at) for node in nodes])
        value, gradient = both(at)
        assert value == pytest.approx(logsumexp(each) - np.log(len(each)), rel=1e-10)
        weight = np.exp(each - logsumexp(each))
        slopes = -np.linalg.solve(population.covariance(), (at - mean)[:, None])[..., 0]
        np.testing.assert_allclose(gradient, weight @ slopes, rtol=1e-8, atol=1e-8)


def test_draws_of_groups_have_the_mixtures_covariance():
    population = pool(PRIOR, UNBALANCED)
    data = population.axes(np.arange(6))
    drawn = _mixture_draw(np.full(6, population.mean), *data, None, np.random.default_rng(9), 200_000)
    np.testing.assert_allclose(np.cov(drawn.T), population.covariance().mean(axis=0), rtol=0.03)
    np.testing.assert_allclose(drawn.mean(axis=0), population.mean, atol=0.01)


def test_free_variables_are_those_of_the_contract(built):
    design, model = built
    names = {"reference_loss_offset", "share_as_broken", "log_b_N", "log_b_D", "log_b_S", "logit_floor", "sigma"}
    assert {v.name for v in model.free_RVs} == names | ({"logit_rho"} if design.pretrained else set())
    assert [v.name for v in model.observed_RVs] == ["observed"]


# --- prior -----------------------------------------------------------------------------------------------------------


def test_prior_draws_are_draws_of_the_models_prior(built):
    design, model = built
    count = 4000
    names = [v.name for v in model.free_RVs]
    by_model = dict(zip(names, pm.draw(model.free_RVs, count, random_seed=3, mode="FAST_COMPILE"), strict=True))
    by_numpy = prior_draws(SPARSE, design, count, np.random.default_rng(4))
    assert by_numpy.keys() == by_model.keys()
    for name, drawn in by_model.items():
        one, other = drawn.reshape(count, -1), by_numpy[name][0].reshape(count, -1)
        assert one.shape == other.shape, name
        if name == "sigma":
            one, other = np.log(one), np.log(other)
        spread = np.sqrt(one.var(axis=0) + other.var(axis=0))
        assert (np.abs(one.mean(axis=0) - other.mean(axis=0)) < 5 * spread / np.sqrt(count)).all(), name
        np.testing.assert_allclose(one.std(axis=0), other.std(axis=0), rtol=0.12, err_msg=name)
        for i in range(one.shape[1]):
            assert stats.ks_2samp(one[:, i], other[:, i]).pvalue > 1e-4, name
        correlations = [np.corrcoef(np.column_stack([v, v]).T) for v in (one, other)]
        np.testing.assert_allclose(*correlations, atol=0.12, err_msg=name)


def test_prior_draws_have_the_populations_moments(built):
    design, _ = built
    drawn = prior_draws(SPARSE, design, 100_000, np.random.default_rng(5))
    for name, prior in design.active(SPARSE).items():
        population, groups = design.population(prior)
        values = drawn[f"{prior.link}_{name}"][0]
        np.testing.assert_allclose(values.mean(axis=0), population.mean, atol=0.02)
        expected = population.covariance().mean(axis=0)[np.ix_(groups, groups)]
        np.testing.assert_allclose(np.cov(values.T).reshape(expected.shape), expected, rtol=0.05)
    level, log_sigma = drawn["reference_loss_offset"][0], np.log(drawn["sigma"][0])
    for values, mean, sd in [
        (level, 0.0, SPARSE.priors["reference_loss"].sd),
        (log_sigma, np.log(SIGMA_MEDIAN), SIGMA_SD),
    ]:
        np.testing.assert_allclose(values.mean(axis=0), np.broadcast_to(mean, values.shape[1]), atol=0.02)
        np.testing.assert_allclose(values.std(axis=0), sd, rtol=0.02)
    flat = stats.dirichlet(np.full(3, SPARSE.priors["share"].concentration))
    np.testing.assert_allclose(
        drawn["share_as_broken"][0].mean(axis=0), np.broadcast_to(flat.mean(), (len(design.modality), 3)), atol=0.01
    )
    np.testing.assert_allclose(
        drawn["share_as_broken"][0].var(axis=0), np.broadcast_to(flat.var(), (len(design.modality), 3)), rtol=0.03
    )
    np.testing.assert_allclose(drawn["share_as_broken"].sum(axis=-1), 1)


def test_assembled_draws_are_in_physical_units(built):
    design, _ = built
    drawn = prior_draws(SPARSE, design, 200, np.random.default_rng(6))
    posterior, unseen = assemble(drawn, SPARSE, design, np.random.default_rng(7))
    assert posterior["structure"].to_numpy().tolist() == list(design.structure)
    np.testing.assert_allclose(
        posterior["reference_loss"], np.exp(design.rough_log_loss + drawn["reference_loss_offset"])
    )
    for i, modality in enumerate(design.modality):
        at = posterior.sel(modality=modality).isel(structure=0)
        k = {name: at[name] for name in ("a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c")}
        at_reference = paper_loss(0.0, design.nonzero_params[i], design.data_seen[i], **k)
        np.testing.assert_allclose(at_reference, at["reference_loss"].broadcast_like(at_reference), rtol=1e-9)
        np.testing.assert_allclose(at["b_N"], np.exp(drawn["log_b_N"][..., i]), rtol=1e-12)
    assert {"a_S", "b_S", "c_S"} <= set(unseen.data_vars)
    assert "structure" not in unseen.dims
    for cell, (m, s, t) in enumerate(design.cells):
        here = posterior["b_S"].isel(modality=m, structure=s)
        here = here.isel(strategy=t) if "strategy" in here.dims else here
        np.testing.assert_allclose(here, np.exp(drawn["log_b_S"][..., cell]), rtol=1e-12)
