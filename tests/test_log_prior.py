import numpy as np
import pytest
from helpers import one_modality, two_modalities, two_starts
from scipy import stats
from scipy.special import logit, logsumexp

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.assemble import assemble, prior_draws
from bayes_scaling.design import design_of
from bayes_scaling.log_prior import log_prior
from bayes_scaling.noise import SIGMA_MEDIAN, SIGMA_SD

DRAWS = 6


@pytest.fixture(params=[(law, rows) for law in laws.names() for rows in (one_modality, two_modalities, two_starts)])
def drawn(request):
    """Draws from the prior as a posterior reports them, with the law and the design."""
    name, rows = request.param
    law, design = laws.get(name), design_of(bs.load_runs(rows()))
    draws, _ = assemble(
        prior_draws(law, design, DRAWS, np.random.default_rng(1)), law, design, np.random.default_rng(2)
    )
    return draws, law, design


def test_every_quantity_that_has_a_prior_has_a_density(drawn):
    draws, law, design = drawn
    found = log_prior(draws, law, design)
    pooled = set(design.active(law))
    assert set(found.data_vars) == {"reference_loss", "share", "sigma"} & {*law.priors, "sigma"} | pooled
    for name, density in found.data_vars.items():
        assert density.dims == ("chain", "draw", *(() if name in pooled else ("modality",)))
        assert np.isfinite(density).all()
    assert found["modality"].to_numpy().tolist() == list(design.modality)


def test_densities_are_those_of_scipy(drawn):
    draws, law, design = drawn
    found = log_prior(draws, law, design)
    scale = np.exp(design.rough_log_loss)
    offset = stats.norm.logpdf(np.log(draws["reference_loss"] / scale), 0, law.priors["reference_loss"].sd)
    np.testing.assert_allclose(found["reference_loss"], offset)
    sigma = stats.lognorm.logpdf(draws["sigma"], SIGMA_SD, scale=SIGMA_MEDIAN)
    np.testing.assert_allclose(found["sigma"], sigma)
    if "share" not in law.priors:  # one term
        return
    shares = draws["share"].transpose("chain", "draw", "modality", "term").to_numpy()[0]
    concentration = np.full(shares.shape[-1], law.priors["share"].concentration)
    expected = [[stats.dirichlet.logpdf(share / share.sum(), concentration) for share in draw] for draw in shares]
    np.testing.assert_allclose(found["share"][0], expected)


def test_pooled_quantities_are_mixtures_over_the_grid_of_scales(drawn):
    draws, law, design = drawn
    found = log_prior(draws, law, design)
    for name, prior in design.active(law).items():
        if prior.over == ("modality",):
            values = draws[name].to_numpy()[0]
        else:  # cells that had runs, one by one
            levels = (design.modality, design.structure, design.strategy)[: len(design.cell_dims)]
            named = [{dim: level[i] for dim, level, i in zip(design.cell_dims, levels, cell, strict=False)}
                     for cell in design.cells]  # fmt: skip
            values = np.stack([draws[name].sel(cell)[0] for cell in named], axis=-1)
        latent = np.log(values) if prior.link == "log" else logit(values)
        population, groups = design.population(prior)
        covariance = population.covariance()[:, groups][:, :, groups]
        mean = np.full(len(groups), population.mean)
        each = [stats.multivariate_normal.logpdf(latent, mean, node) for node in covariance]
        expected = logsumexp(np.reshape(each, (len(covariance), -1)), axis=0) - np.log(len(covariance))
        np.testing.assert_allclose(found[name][0], expected, rtol=1e-8)
