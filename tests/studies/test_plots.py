import matplotlib.pyplot as plt
import numpy as np
import pytest

import bayes_scaling as bs


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_steps_show_every_group_with_its_critical_batch(steps_posterior):
    (ax,) = bs.plot_steps(steps_posterior).axes
    told = [entry.get_text() for entry in ax.get_legend().get_texts()]
    critical = bs.batch.critical_batch(steps_posterior)
    assert [entry.split(":")[0] for entry in told] == critical["group"].to_numpy().tolist()
    assert f"{float(critical.isel(group=0).median()):,.0f} [" in told[0]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_a_mixture_shows_its_domains_by_weight(mixture_posterior):
    (ax,) = bs.plot_mixture(mixture_posterior, 7).axes
    best = bs.mixture.optimal_weights(mixture_posterior, 7)["recommended_weight"]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[-1] == str(best["domain"].to_numpy()[int(best.argmax("domain"))])
    diamonds = next(line for line in ax.get_lines() if line.get_marker() == "D")
    np.testing.assert_allclose(np.sum(diamonds.get_xdata()), 1)


def test_descent_shows_the_exact_loss_of_every_ridge():
    model = bs.solvable.Model(latent=120, alpha=0.5, noise_variance=0.01)
    (ax,) = bs.plot_descent(model, 40, ridges=(0.5, "optimal")).axes
    curves = {line.get_label(): line for line in ax.get_lines() if str(line.get_label()).startswith("ridge")}
    assert list(curves) == ["ridge 0.5", "ridge optimal"]
    features, losses = curves["ridge 0.5"].get_data()
    np.testing.assert_allclose(losses, bs.solvable.expected_loss(model, np.asarray(features, dtype=int), 40, 0.5))
