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


def test_transfer_shows_the_law_of_every_size_and_each_fine_tuned_run(transfer_posterior):
    few = transfer_posterior.map_over_datasets(lambda ds: ds.isel(draw=slice(20)) if "draw" in ds.dims else ds)
    few.attrs = transfer_posterior.attrs
    (ax,) = bs.plot_transfer(few).axes
    sizes = bs.transfer.multiplier(few)["nonzero_params"].to_numpy()
    told = [entry.get_text() for entry in ax.get_legend().get_texts()]
    assert told == [f"N = {size:,.0f}" for size in sizes]
    assert len([line for line in ax.get_lines() if line.get_marker() == "o"]) == 22
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_fine_tuning_curves_show_their_runs(finetuning_posterior):
    groups = finetuning_posterior["posterior"]["group"].to_numpy().tolist()
    (ax,) = bs.plot_rectified(finetuning_posterior, groups=groups[:2]).axes
    assert [entry.get_text() for entry in ax.get_legend().get_texts()] == groups[:2]
    points = [line for line in ax.get_lines() if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in points] == [14, 14]
    (few,) = bs.plot_rectified(finetuning_posterior, most=3).axes
    assert len(few.get_legend().get_texts()) == 3


def test_effects_show_every_knob_and_what_each_resembles(effects_posterior):
    left, right = bs.plot_effects(effects_posterior).axes
    assert [entry.get_text() for entry in left.get_legend().get_texts()] == ["weight decay", "dropout", "data"]
    assert [label.get_text() for label in left.get_yticklabels()] == ["frobenius norm", "stable rank", "entropy"]
    assert [label.get_text() for label in right.get_yticklabels()] == ["weight decay", "dropout"]
    assert right.get_xlabel() == "cosine with data"
