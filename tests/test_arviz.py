"""A posterior that was saved and read again is an ordinary ArviZ posterior."""

import re
from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import paper_loss
from scipy import stats

import bayes_scaling as bs

PAGE = Path(__file__).resolve().parents[1] / "docs" / "trust.md"


@pytest.fixture(scope="module", params=["simulated", "single"])
def posterior(request, saved):
    return bs.load(saved[request.param])


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_summary(posterior):
    table = az.summary(posterior, var_names=["b_N", "b_S", "c"], ci_kind="eti", ci_prob=0.89)
    draws = posterior["posterior"]
    assert len(table) == sum(int(np.prod(draws[n].shape[2:])) for n in ("b_N", "b_S", "c"))
    label = next(name for name in table.index if "b_N" in name and "language" in name)
    assert float(table.loc[label, "mean"]) == pytest.approx(
        float(draws["b_N"].sel(modality="language").mean()), rel=0.05
    )
    whole = az.summary(posterior)
    assert len(whole) == sum(int(np.prod(v.shape[2:])) for v in draws.data_vars.values())


@pytest.mark.parametrize("plot", ["plot_forest", "plot_trace_dist"])
def test_plots_of_parameters(posterior, plot):
    picture = getattr(az, plot)(posterior, var_names=["b_N", "b_D"], backend="matplotlib")
    picture.viz["figure"].item().canvas.draw()
    assert getattr(az, plot)(posterior, var_names=["b_S"], backend="none") is not None


def test_posterior_predictive_check(posterior):
    picture = az.plot_ppc_dist(posterior, backend="matplotlib", num_samples=20)
    picture.viz["figure"].item().canvas.draw()


def test_leave_one_out(posterior):
    found = az.loo(posterior)
    assert found.n_data_points == posterior["constant_data"].sizes["run"]
    assert np.isfinite(found.elpd)
    assert 0 < found.p < 25
    pointwise = posterior["log_likelihood"]["log_loss"].to_numpy().reshape(4000, -1)
    lpd = (np.logaddexp.reduce(pointwise, axis=0) - np.log(4000)).sum()
    assert found.elpd < lpd


def test_prior_and_diagnostics(posterior):
    assert az.rhat(posterior)["b_N"].max() < 1.01
    assert float(az.ess(posterior)["b_N"].min()) > 400
    az.plot_prior_posterior(posterior, var_names=["b_N"], backend="matplotlib")


def test_where_runs_fall_among_what_the_others_predict(posterior):
    """LOO-PIT against its definition, with each draw's share below the run known and not drawn."""
    found = az.loo_pit(posterior)["log_loss"]
    assert found["run"].to_numpy().tolist() == posterior["constant_data"]["run"].to_numpy().tolist()
    log_loss = posterior["observed_data"]["log_loss"].to_numpy()
    sigma = posterior["posterior"]["sigma"].sel(modality=posterior["constant_data"]["modality"]).to_numpy()
    mean = np.log(bs.predict(posterior, posterior["runs"].to_dataset()).to_numpy())
    weight = np.exp(-posterior["log_likelihood"]["log_loss"].to_numpy())
    below = (weight * stats.t.cdf(log_loss, 4, mean, sigma)).sum((0, 1)) / weight.sum((0, 1))
    np.testing.assert_allclose(found, below, atol=0.08)
    assert stats.kstest(found.to_numpy(), "uniform").pvalue > 0.001


@pytest.mark.parametrize("plot", ["plot_loo_pit", "plot_ppc_pit"])
def test_calibration_checks(posterior, plot):
    picture = getattr(az, plot)(posterior, envelope_prob=0.89, backend="matplotlib")
    picture.viz["figure"].item().canvas.draw()


def test_prior_predictive_is_the_law_at_draws_of_the_prior_with_noise(posterior):
    prior, runs = posterior["prior"].to_dataset(), posterior["runs"].to_dataset()
    drawn = posterior["prior_predictive"]["log_loss"]
    assert drawn.dims == ("chain", "draw", "run")
    assert drawn.shape == (1, 1000, runs.sizes["run"])
    assert drawn["run"].to_numpy().tolist() == posterior["observed_data"]["run"].to_numpy().tolist()
    columns = [runs[n].to_numpy() for n in ("modality", "structure", "sparsity", "nonzero_params", "data_seen")]
    z = []
    for i, (modality, structure, *where) in enumerate(zip(*columns, strict=True)):
        here = prior.sel(modality=modality, structure="unstructured" if structure == "dense" else structure)
        coefficients = {name: here[name].to_numpy() for name in ("a_S", "b_S", "c_S", "b_N", "a_D", "b_D", "c")}
        z.append((drawn.isel(run=i).to_numpy() - np.log(paper_loss(*where, **coefficients))) / here["sigma"].to_numpy())
    assert stats.kstest(np.ravel(z), stats.t(4).cdf).pvalue > 0.001


def test_prior_predictive_check(posterior):
    picture = az.plot_ppc_dist(posterior, group="prior_predictive", backend="matplotlib", num_samples=20)
    picture.viz["figure"].item().canvas.draw()


def test_sensitivity_to_prior_and_runs(posterior):
    table = az.psense_summary(posterior, var_names=["b_N", "sigma"])
    assert (table["likelihood"] > table["prior"]).all()
    assert len(table) == 2 * posterior["posterior"].sizes["modality"]


def test_the_checks_that_the_page_shows(posterior):
    section = PAGE.read_text(encoding="utf-8").partition("## Checks with ArviZ")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    lines = block.splitlines()
    calls = set(re.findall(r"az\.(\w+)\(", block))
    assert calls >= {"loo", "plot_khat", "plot_loo_pit", "plot_ppc_dist", "plot_ppc_pit", "psense_summary"}
    assert len(lines) > len(calls)
    exec(compile(block, str(PAGE), "exec"), {"posterior": posterior})
