"""A posterior that was saved and read again is an ordinary ArviZ posterior."""

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pytest

import bayes_scaling as bs


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
