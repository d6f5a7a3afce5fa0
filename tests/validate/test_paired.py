import numpy as np
import pytest
from scipy import stats

from bayes_scaling.validate.paired import paired


def test_each_run_by_itself_is_the_textbook_interval():
    differences = np.random.default_rng(0).normal(0.3, 1.0, 30)
    found = paired(differences, {}, 0.89)
    assert (found.grouped_by, found.groups, found.runs) == ("run", 30, 30)
    assert found.se == pytest.approx(stats.sem(differences))
    lower, upper = stats.t.interval(0.89, 29, differences.mean(), stats.sem(differences))
    assert (found.lower, found.upper) == (pytest.approx(lower), pytest.approx(upper))


def test_groups_of_equal_size_count_as_their_means():
    group = np.repeat(np.arange(4), 5)
    differences = np.array([3.0, -1.0, 2.0, 0.5])[group] + np.random.default_rng(1).normal(0, 0.01, 20)
    means = differences.reshape(4, 5).mean(axis=1)
    found = paired(differences, {"data_seen": group, "sparsity": np.tile(np.arange(5), 4)}, 0.89)
    assert (found.grouped_by, found.groups) == ("data_seen", 4)
    assert found.se == pytest.approx(stats.sem(means))
    assert found.lower == pytest.approx(stats.t.interval(0.89, 3, means.mean(), stats.sem(means))[0])


def test_two_groups_are_no_estimate_of_how_groups_differ():
    differences = np.repeat([0.0, 10.0], 6)
    found = paired(differences, {"sparsity": np.repeat([0, 1], 6), "data_seen": np.zeros(12)}, 0.89)
    assert found.grouped_by == "run"


def test_a_single_run_has_no_standard_error():
    found = paired(np.array([0.4]), {"data_seen": np.array([0])}, 0.89)
    assert found.mean == 0.4
    assert np.isnan([found.se, found.lower, found.upper]).all()


def test_intervals_hold_where_runs_share_errors():
    """Errors shared along the data axis: an interval over runs would hold far less often than it says."""
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(6), 8)
    held, naive = 0, 0
    for _ in range(400):
        differences = rng.standard_normal(6)[group] + rng.standard_normal(48)
        found, by_run = paired(differences, {"data_seen": group}, 0.89), paired(differences, {}, 0.89)
        held += found.lower <= 0 <= found.upper
        naive += by_run.lower <= 0 <= by_run.upper
    assert stats.binomtest(held, 400, 0.89).pvalue > 0.001
    assert naive < 0.7 * 400
