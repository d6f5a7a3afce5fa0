import numpy as np
import pytest
from scipy import stats

from bayes_scaling import laws
from bayes_scaling.noise import draw_noise
from bayes_scaling.refit import refit
from bayes_scaling.validate import replicates as module
from bayes_scaling.validate.replicates import Predicted, predicted, replicated_scores


def law(rng, centre, spread, runs=5, draws=80):
    """Predictions whose runs are wrong together: one error for all of them."""
    mean = centre + spread * rng.standard_normal((draws, 1)) + np.zeros(runs)
    return Predicted(mean, np.full((draws, runs), 0.01))


def test_scores_are_log_densities_of_the_mixture():
    rng = np.random.default_rng(0)
    one = law(rng, 0.0, 0.02, runs=3, draws=7)
    log_loss = rng.normal(0, 0.03, (4, 3))
    density = np.mean([stats.t.pdf(log_loss, 4, one.mean[i], one.scale[i]) for i in range(7)], axis=0)
    np.testing.assert_allclose(one.score(log_loss), np.log(density).mean(axis=1))


def test_replicates_are_drawn_from_the_truth_jointly():
    rng = np.random.default_rng(1)
    one = law(rng, 0.5, 0.2)
    drawn = one.draw(rng)
    assert drawn.shape == (module.REPLICATES, 5)
    # The error is shared, so that runs agree far better with each other than with the centre.
    assert drawn.mean(axis=1).std() > 10 * drawn.std(axis=1).mean()
    assert drawn.mean() == pytest.approx(one.mean.mean(), abs=4 * 0.2 / np.sqrt(module.REPLICATES))


def test_the_truth_scores_best_and_the_seed_decides():
    rng = np.random.default_rng(2)
    predictions = {"a": law(rng, 0.0, 0.01), "b": law(rng, 0.05, 0.01)}
    found = replicated_scores(predictions, 0)
    assert found.dims == ("truth", "law", "replicate")
    for truth, other in (("a", "b"), ("b", "a")):
        scores = found.sel(truth=truth).mean("replicate")
        assert scores.sel(law=truth) > scores.sel(law=other) + 1
    np.testing.assert_array_equal(found, replicated_scores(predictions, 0))
    assert not np.array_equal(found, replicated_scores(predictions, 1))


def test_the_chance_of_a_lead_is_uniform_if_the_other_law_is_right(monkeypatch):
    """Five runs that are wrong together are one piece of evidence; an interval over runs takes them for five."""
    monkeypatch.setattr(module, "REPLICATES", 99)
    rng = np.random.default_rng(3)
    chances, leads, errors = [], [], []
    for i in range(200):
        a, b = law(rng, 0.0, 0.02), law(rng, 0.01, 0.02)
        truth = rng.integers(80)
        observed = a.mean[truth] + a.scale[truth] * draw_noise((5,), rng)
        each = np.concatenate(
            [p.score(observed[:, None]) for p in (Predicted(q.mean[:, :1], q.scale[:, :1]) for q in (b, a))]
        )
        lead = each[:5] - each[5:]
        drawn = replicated_scores({"a": a, "b": b}, i).sel(truth="a")
        chances.append((1 + (drawn.sel(law="b") - drawn.sel(law="a") >= lead.mean()).sum()) / 100)
        leads.append(lead.mean())
        errors.append(stats.sem(lead))
    assert stats.kstest(np.array(chances, dtype=float), "uniform").pvalue > 0.001
    assert np.mean(np.abs(leads) > 2.13 * np.array(errors)) > 0.3  # where 11 % is meant


def test_predictions_of_a_refit(single):
    """Draws of the law and the noise, evenly thinned; fewer for many runs."""
    table = single["runs"].to_dataset()
    posterior = refit(table, laws.get("sparse"), draws=2000)
    found = predicted(posterior, table)
    assert found.mean.shape == found.scale.shape == (500, 36)
    np.testing.assert_allclose(np.median(found.mean, axis=0), np.log(table["loss"]), atol=0.05)
    sigma = posterior["posterior"]["sigma"].to_numpy().ravel()
    np.testing.assert_allclose(found.scale[[0, -1], 0], sigma[[0, -1]])
    many = predicted(posterior, table.isel(run=np.tile(np.arange(36), 3)))
    assert many.mean.shape == (int(module.MOST_DENSITIES / (500 * 108)), 108)
