import json

import numpy as np
import pandas as pd
import pytest
from helpers import codes
from scipy import stats

import bayes_scaling as bs
from bayes_scaling.intervals import interval
from bayes_scaling.studies.fitting import log_survival

PUBLISHED = {"85M": 745.32, "151M": 955.16, "302M": 1393.73, "604M": 1888.52, "1.2B": 2533.41}
THEIRS = {"overhead": 0.2, "reference_batch": 256}
"""The definition of arXiv:2410.21676: 20 % more examples than at 256 sequences."""


def test_point_fits_give_the_published_critical_batches_and_their_law(steps_table):
    found = bs.batch.point_fit(steps_table)
    critical = 0.2 * found["critical_batch"] + 1.2 * 256
    for size, batch in PUBLISHED.items():
        assert float(critical.sel(group=size)) == pytest.approx(batch, abs=0.01)
    law = bs.batch.power_law(critical)
    assert float(law["coefficient"]) == pytest.approx(93.197, abs=0.01)
    assert float(law["exponent"]) == pytest.approx(0.46828, abs=1e-5)


def test_intervals_contain_the_published_values(steps_posterior):
    assert json.loads(steps_posterior.attrs["diagnostics"])["ok"]
    critical = bs.batch.critical_batch(steps_posterior, **THEIRS)
    law = bs.batch.power_law(critical)
    found = {size: critical.sel(group=size) for size in PUBLISHED} | {"exponent": law["exponent"]}
    for name, published in (PUBLISHED | {"exponent": 0.46828}).items():
        told = interval(found[name])
        assert told["lower"] < published < told["upper"], name
        assert told["upper"] / told["lower"] < 1.3, "and they are not so for being wide"


TUNED = pd.DataFrame(
    {
        "batch_size": [4] * 3 + [8] * 4 + [16] * 2 + [32] * 2 + [64],
        "learning_rate": [0.01, 0.02, 0.04, 0.01, 0.02, 0.02, 0.04, 0.04, 0.02, 0.04, 0.02, 0.04],
        "steps_to_target": [900, 700, np.nan, 600, 400, 440, 430, 300, 310, np.nan, np.nan, 180],
        "steps_trained": [1000] * 9 + [250, 200, 1000],
    }
)
"""The best rate is the middle one, the middle one by its mean over two runs, the largest, one unknown, the only one."""


def test_the_best_learning_rate_of_each_batch_size_counts():
    runs = bs.batch.load(TUNED)
    found = list(zip(runs["batch_size"].values, runs["steps_to_target"].values, strict=True))
    assert found == [(4, 700), (8, 400), (8, 440), (16, 300), (32, pytest.approx(np.nan, nan_ok=True)), (64, 180)]
    assert float(runs["steps_trained"][4]) == 200  # all that is known of the best: it needs more than the shorter run
    assert codes(runs.attrs) == ["best_rate_at_edge"]
    assert "In 1 of 4 cases" in runs.attrs["notes"]
    assert "all at 16" in runs.attrs["notes"]
    again = bs.batch.load(runs)
    np.testing.assert_array_equal(again["steps_trained"], runs["steps_trained"])
    assert codes(again.attrs) == ["best_rate_at_edge"]


def test_one_rate_a_batch_size_needs_no_choice():
    runs = bs.batch.load(TUNED[TUNED["learning_rate"] == 0.04])
    assert runs.sizes["run"] == 5
    assert codes(runs.attrs) == []


def test_at_the_critical_batch_examples_are_what_its_definition_says(steps_posterior):
    critical = bs.batch.critical_batch(steps_posterior, **THEIRS)
    draws = steps_posterior["posterior"]
    spent = draws["c1"] + draws["c2"] * critical
    least = 256 * bs.batch.predict(steps_posterior, 256).isel(batch_size=0)
    np.testing.assert_allclose(spent, 1.2 * least, rtol=1e-12)
    plain = bs.batch.critical_batch(steps_posterior)
    np.testing.assert_allclose(draws["c1"] / plain + draws["c2"], 2 * draws["c2"], rtol=1e-12)


def test_new_sizes_follow_the_trend_and_say_how_far_they_are(steps_posterior):
    new = bs.batch.critical_batch(steps_posterior, nonzero_params=[3.02e8, 1e10])
    np.testing.assert_allclose(new["extrapolation_nonzero_params"], [0.0, np.log(1e10 / 1.2e9)])
    known = bs.batch.critical_batch(steps_posterior).sel(group="302M")
    inside, outside = (interval(new.isel(nonzero_params=i)) for i in (0, 1))
    widths = [np.log(each["upper"] / each["lower"]) for each in (interval(known), inside, outside)]
    assert widths[0] < widths[1] < widths[2]
    assert inside["lower"] < float(known.median()) < inside["upper"]
    again = bs.batch.critical_batch(steps_posterior, nonzero_params=[3.02e8, 1e10])
    np.testing.assert_array_equal(new, again)


def test_a_saved_posterior_answers_alike_and_no_question_about_losses(steps_posterior, tmp_path):
    loaded = bs.load(bs.save(steps_posterior, tmp_path / "posterior.nc"))
    for asked in ({}, {"nonzero_params": 7e9}):
        np.testing.assert_array_equal(
            bs.batch.critical_batch(loaded, **asked), bs.batch.critical_batch(steps_posterior, **asked)
        )
    with pytest.raises(bs.InputError, match=r"posterior is of 'batch'.*ask it through bs\.batch"):
        bs.recommend(loaded, 1e9, 1e20)
    with pytest.raises(bs.InputError, match=r"is of 'batch', where one of bs\.mixture\.fit"):
        bs.mixture.optimal_weights(loaded)


def test_runs_that_never_arrived_count_as_needing_more(steps_table, steps_posterior):
    table = pd.read_csv(steps_table)
    large = (table["model"] == "1.2B") & (table["batch_size"] >= 4096)
    assert large.sum() == 3
    table["steps_trained"] = np.where(large, table["steps_to_target"] - 1, np.nan)
    table["steps_to_target"] = table["steps_to_target"].where(~large)
    posterior = bs.batch.fit(table, progressbar=False)
    assert json.loads(posterior.attrs["diagnostics"])["ok"]
    assert "censored_runs" in codes(posterior.attrs)
    draws = posterior["posterior"].sel(group="1.2B")
    c2, full = interval(draws["c2"]), interval(steps_posterior["posterior"]["c2"].sel(group="1.2B"))
    assert c2["lower"] < full["median"] < c2["upper"]
    # They say that more steps than theirs are needed: as if they were not there, fewer would do.
    unseen = bs.batch.fit(table[~large], progressbar=False)
    assert float(unseen["posterior"]["c2"].sel(group="1.2B").median()) < c2["median"]
    last = int(np.flatnonzero(large)[-1])
    above = (np.log(6499) - np.log(draws["c1"] / 16384 + draws["c2"])) / draws["sigma"]
    np.testing.assert_allclose(
        posterior["log_likelihood"]["log_steps"].isel(run=last), stats.t.logsf(above, 4), rtol=1e-6
    )


def test_trends_over_size_and_density_are_found_again():
    rng = np.random.default_rng(3)
    rows = []
    for size in (1e7, 1e8):
        for sparsity in (0.0, 0.75, 0.9375):
            critical = 300 * (size / 1e7) ** 0.4 * (1 - sparsity) ** -0.3
            c1 = 1e6 * (size / 1e7) * (1 - sparsity) ** -0.2
            rows += [
                {
                    "nonzero_params": size,
                    "sparsity": sparsity,
                    "batch_size": batch,
                    "steps_to_target": (c1 / batch + c1 / critical) * np.exp(0.03 * rng.standard_t(4)),
                }
                for batch in (16, 64, 256, 1024, 4096)
            ]
    posterior = bs.batch.fit(rows, progressbar=False)
    assert json.loads(posterior.attrs["diagnostics"])["ok"]
    exponents = posterior["posterior"]["critical_exponent"]
    for name, truth in (("nonzero_params", 0.4), ("sparsity", -0.3)):
        told = interval(exponents.sel(trend=name), 0.98)
        assert told["lower"] < truth < told["upper"]
        assert told["upper"] - told["lower"] < 0.5
    new = bs.batch.critical_batch(posterior, nonzero_params=3e7, sparsity=[0.5, 0.98])
    told = interval(new.isel(nonzero_params=0, sparsity=0), 0.98)
    assert told["lower"] < 300 * 3**0.4 * 0.5**-0.3 < told["upper"]
    np.testing.assert_allclose(new["extrapolation_sparsity"], [0.0, np.log(0.0625 / 0.02)])
    with pytest.raises(bs.InputError, match="asked by nonzero_params, where the table has trends over"):
        bs.batch.critical_batch(posterior, nonzero_params=3e7)


def test_the_survival_function_is_that_of_the_noise():
    z = np.array([-1e9, -300.0, -2.0, 0.0, 1e-3, 1.0, 30.0, 1e4, 1e8])
    np.testing.assert_allclose(log_survival(z, np), stats.t.logsf(z, 4), rtol=1e-9, atol=1e-12)


GOOD = [{"batch_size": b, "steps_to_target": k, "nonzero_params": 1e6} for b, k in ((8, 900), (32, 300), (128, 150))]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "column 'batch_size': found 0 where a finite number above 0 is allowed"),
        ({"steps_to_target": -5}, "column 'steps_to_target': found -5 where a finite number above 0 or an empty cell"),
        ({"steps_to_target": None}, "never got there needs its steps in 'steps_trained'"),
        ({"steps_trained": 100}, "column 'steps_trained': found 100, fewer than the 150 to the target"),
        ({"sparsity": 50}, "column 'sparsity'"),
        ({"group": ""}, "column 'group': found an empty cell where every row has a group"),
    ],
)
def test_tables_that_are_wrong_are_refused_with_the_place(change, message):
    rows = [{"group": "a", "sparsity": 0.0, **row} for row in GOOD]
    with pytest.raises(bs.InputError) as refused:
        bs.batch.load([*rows[:2], rows[2] | change])
    assert message in str(refused.value)
    assert "row index 2" in str(refused.value)


def test_a_group_has_one_size_and_missing_columns_are_named():
    with pytest.raises(bs.InputError, match="found 2e\\+06 where its group 'a' has 1e\\+06, and a group has one"):
        bs.batch.load([{"group": "a", **GOOD[0]}, {"group": "a", **GOOD[1], "nonzero_params": 2e6}])
    with pytest.raises(bs.InputError, match="has no column 'steps_to_target'"):
        bs.batch.load([{"batch_size": 8}])
    with pytest.raises(bs.InputError, match="has 2 runs that reached the target, where 3 are needed"):
        bs.batch.load(GOOD[:2])


def test_groups_are_named_by_what_they_differ_in():
    sparse = [row | {"sparsity": s} for s in (0.0, 0.5) for row in GOOD]
    assert set(bs.batch.load(sparse)["group"].to_numpy()) == {"1M, sparsity 0", "1M, sparsity 0.5"}
    close = [row | {"nonzero_params": n} for n in (1_000_001, 1_000_002) for row in GOOD]
    assert set(bs.batch.load(close)["group"].to_numpy()) == {"1000001", "1000002"}
    alone = [{name: row[name] for name in ("batch_size", "steps_to_target")} for row in GOOD]
    assert set(bs.batch.load(alone)["group"].to_numpy()) == {"all"}
