import json

import numpy as np
import pandas as pd
import pytest
from helpers import codes

import bayes_scaling as bs
from bayes_scaling.intervals import interval


def test_point_fits_are_no_worse_than_the_published_ones(finetuning_curves, data_folder):
    published = pd.read_csv(data_folder / "lin2024_finetuning" / "published_rmsd.csv").query("setting == 'wmt19'")
    published = published.set_index("model")["rmsd_log_rectified"]
    found = bs.rectified.point_fit(finetuning_curves)
    for model in found["group"].to_numpy().tolist():
        assert float(found["rmsd"].sel(group=model)) <= published[model] * (1 + 1e-4)
        assert float(found["rmsd"].sel(group=model)) > 1e-3, "four coefficients do not meet 14 losses exactly"


def test_the_law_is_the_printed_one(finetuning_posterior):
    draws = finetuning_posterior["posterior"].to_dataset()
    data = np.array([10.0, 1e4, 1e8])
    found = bs.rectified.predict(finetuning_posterior, data)
    printed = draws["B"] / (draws["D_l"] + found["finetune_data"] ** draws["beta"]) + draws["floor"]
    np.testing.assert_allclose(found, printed.transpose(*found.dims), rtol=1e-10)
    half = bs.rectified.loss(draws["half_data"], **{n: draws[n] for n in ("start", "floor", "half_data", "beta")})
    np.testing.assert_allclose(half, (draws["start"] + draws["floor"]) / 2, rtol=1e-12)


def test_curves_are_met_within_their_noise(finetuning_posterior):
    assert json.loads(finetuning_posterior.attrs["diagnostics"])["ok"]
    runs = finetuning_posterior["runs"].to_dataset()
    assert (runs["finetune_data"] > 0).all()
    assert "no_data_left_out" in codes(finetuning_posterior.attrs)
    repeated = finetuning_posterior["posterior_predictive"]["log_loss"]
    low, high = repeated.quantile([0.055, 0.945], ("chain", "draw"))
    inside = (low <= np.log(runs["loss"].to_numpy())) & (np.log(runs["loss"].to_numpy()) <= high)
    assert 0.75 < float(inside.mean()) <= 1
    assert 0.003 < interval(finetuning_posterior["posterior"]["sigma"])["median"] < 0.02


def test_a_curve_cut_short_borrows_from_the_others(finetuning_posterior, finetuning_curves):
    """The fixture's last model has its four smallest amounts alone; its other losses are known."""
    short = finetuning_posterior["posterior"]["group"].to_numpy().tolist()[-1]
    assert "short_curves" in codes(finetuning_posterior.attrs)
    truth = finetuning_curves.query("model == @short and data_seen == 102400")["loss"].iloc[0]
    found = bs.rectified.predict(finetuning_posterior, 102400).sel(group=short)
    told = interval(found.isel(finetune_data=0), 0.98)
    assert told["lower"] < truth < told["upper"]
    assert float(found["extrapolation"].isel(finetune_data=0)) == pytest.approx(np.log(102400 / 1600))


def test_the_chances_of_being_best_sum_to_one_and_follow_the_losses(finetuning_posterior):
    chances = bs.rectified.probability_best(finetuning_posterior, 1638400)
    assert float(chances.sum()) == pytest.approx(1)
    losses = bs.rectified.predict(finetuning_posterior, 1638400).isel(finetune_data=0)
    assert float((losses.argmin("group") == int(chances.argmax())).mean()) == pytest.approx(float(chances.max()))


ROWS = [{"model": "a", "finetune_data": d, "loss": 3 - 0.2 * i} for i, d in enumerate((10, 100, 1e3, 1e4, 1e5))]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"loss": 1.0}], "has no column 'finetune_data'"),
        (ROWS[:4], "has no curve with 5 amounts of data above 0"),
        ([*ROWS, ROWS[0] | {"loss": -1}], "column 'loss': found -1 where a finite number above 0 is allowed"),
        (
            [*ROWS, ROWS[0] | {"finetune_data": -1}],
            "column 'finetune_data': found -1 where a finite number of at least 0",
        ),
        ([*ROWS, ROWS[0] | {"model": " "}], "column 'model': found an empty cell where every row is of a curve"),
        ([row | {"setting": s} for s in "pq" for row in ROWS], "has 2 settings (p, q), whose curves"),
    ],
)
def test_tables_that_are_wrong_are_refused(rows, message):
    with pytest.raises(bs.InputError) as refused:
        bs.rectified.load(rows)
    assert message in str(refused.value)


def test_a_point_fit_of_a_short_curve_is_refused():
    with pytest.raises(bs.InputError, match="curve 'b' has 1 amounts of data, where a point fit needs five"):
        bs.rectified.point_fit([*ROWS, {"model": "b", "finetune_data": 10, "loss": 2.0}])
