import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.optimize import isotonic_regression

import bayes_scaling as bs
from bayes_scaling.curve.isotonic import with_noise, without_ties
from bayes_scaling.curve.table import Curve


@pytest.fixture(scope="module")
def posterior(simulated):
    return bs.curve.fit(simulated[0], forms=("M2", "M3"))


def test_intervals_hold_the_curve_and_new_points_as_often_as_they_say(posterior, simulated):
    later = simulated[1]
    by_curve = {name: part.sort_values("x") for name, part in later.groupby("curve")}
    where = xr.DataArray(
        np.array([part["x"] for part in by_curve.values()]), dims=("curve", "at"), coords={"curve": list(by_curve)}
    )
    for kind, column, least in (("mean", "clean", 0.75), ("new-point", "loss", 0.75)):
        found = bs.curve.predict(posterior, where, kind=kind, prob=0.89)
        truth = np.array([part[column] for part in by_curve.values()])
        inside = (found["lower"].to_numpy() <= truth) & (truth <= found["upper"].to_numpy())
        assert least <= inside.mean() <= 1
        assert np.median(found["upper"] / found["lower"]) < 1.2  # not by being as wide as can be
    scores = bs.curve.score(posterior, later)
    assert float(scores["coverage"].mean()) == pytest.approx(inside.mean(), abs=0.03)


def test_noise_and_the_last_stretch_are_those_that_made_the_curves(posterior, simulated):
    noise = posterior["posterior"]["noise"].median(("chain", "draw"))
    assert float(noise.median()) == pytest.approx(0.005, rel=0.2)
    for name, one in simulated[0].groupby("curve"):
        # Form and drift apart may be anything: what the points determine is their sum.
        x, clean = one["x"].to_numpy(), one["clean"].to_numpy()
        mean = bs.curve.predict(posterior, x[-6:], kind="mean").sel(curve=name)
        lower, upper = mean.quantile([0.001, 0.999], ("chain", "draw")).to_numpy()
        assert ((lower < clean[-6:]) & (clean[-6:] < upper)).all()
        assert (upper / lower < 1.04).all()


def test_a_posterior_says_what_it_is(posterior):
    assert bool(posterior["sample_stats"]["ok"].all())
    assert json.loads(posterior.attrs["diagnostics"]) == {"failed": [], "ok": True}
    draws = posterior["posterior"].to_dataset()
    probability = posterior["sample_stats"]["probability"]
    np.testing.assert_allclose(probability.sum("form"), 1)
    np.testing.assert_allclose((draws["form"] == "M2").mean("draw"), probability.sel(form="M2"), atol=2e-3)
    of_m2 = (draws["form"] == "M2").to_numpy()
    assert np.isnan(draws["level_share"].to_numpy()[0][of_m2]).all()
    np.testing.assert_allclose(
        draws["floor"].to_numpy()[0][of_m2], (draws["level"] * draws["floor_share"]).to_numpy()[0][of_m2]
    )


def test_what_is_saved_answers_alike(posterior, tmp_path):
    path = bs.save(posterior, tmp_path / "curves.nc")
    with pytest.raises(bs.InputError, match=r"is a posterior of learning curves, which bs\.curve\.load reads"):
        bs.load(path)
    again = bs.curve.load(path)
    asked = [2e9, 5e9]
    xr.testing.assert_identical(bs.curve.predict(again, asked), bs.curve.predict(posterior, asked))


def test_a_file_that_is_something_else_is_refused(tmp_path):
    xr.DataTree.from_dict({"posterior": xr.Dataset({"a": 1})}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(bs.InputError, match="no posterior of learning curves"):
        bs.curve.load(tmp_path / "other.nc")


def test_few_curves_do_not_learn_from_each_other(simulated):
    few = simulated[0][simulated[0]["curve"].isin(["run 1", "run 2"])]
    together = bs.curve.fit(few, forms=("M1",), draws=200)
    alone = bs.curve.fit(few[few["curve"] == "run 2"], forms=("M1",), draws=200)
    xr.testing.assert_identical(
        together["posterior"].to_dataset().sel(curve=["run 2"]), alone["posterior"].to_dataset()
    )
    assert (together["population"]["shift"] == 0).all()


def test_a_short_curve_learns_from_an_earlier_population(posterior, simulated):
    short = simulated[0][simulated[0]["curve"] == "run 3"].sort_values("x").head(8)
    short = short.assign(curve="new")
    taught = bs.curve.fit(short, forms=("M2", "M3"), population=posterior)
    alone = bs.curve.fit(short, forms=("M2", "M3"))
    ahead = float(short["x"].iloc[-1]) * 20
    widths = [
        float(np.log(found["upper"] / found["lower"]).squeeze())
        for found in (bs.curve.predict(each, ahead, kind="mean", prob=0.89) for each in (taught, alone))
    ]
    assert widths[0] < 0.8 * widths[1]
    with pytest.raises(bs.InputError, match="population was fitted without the form 'M4'"):
        bs.curve.fit(short, forms=("M4",), population=posterior)


def test_an_isotonic_fit_gives_the_noise_of_its_measurements_back():
    rng = np.random.default_rng(8)
    x = np.arange(1.0, 301.0) * 4e6
    found = []
    for _ in range(8):
        noisy = np.log(0.9) - 0.25 * np.log(x / x[0]) + 0.02 * rng.standard_normal(len(x))
        smooth = isotonic_regression(noisy, increasing=False).x
        keep = np.unique(np.geomspace(1, 300, 90).astype(int)) - 1
        part = pd.DataFrame({"curve": "a", "x": x[keep], "loss": np.exp(smooth[keep])})
        found.append(
            [
                float(bs.curve.fit(part, forms=("M1",), isotonic=told, draws=300)["posterior"]["noise"].median())
                for told in (True, False)
            ]
        )
    told, untold = np.median(found, axis=0)
    assert told == pytest.approx(0.02, rel=0.35)
    assert untold < 0.6 * 0.02


def test_ties_become_one_point_in_their_middle():
    log_x = np.log(np.arange(1.0, 7.0))
    curve = without_ties(Curve("a", log_x, np.array([3.0, 2.0, 2.0, 2.0, 1.0, 0.5]), np.ones(6)))
    assert curve.log_loss.tolist() == [3.0, 2.0, 1.0, 0.5]
    assert curve.log_x[1] == pytest.approx(log_x[1:4].mean())
    far_less_noise = with_noise(curve, gap=1.0, noise=50.0).variance
    assert (far_less_noise < 0.2).all()
    assert (with_noise(curve, gap=1.0, noise=1e-3).variance == 1).all()


def test_runs_of_a_store_are_curves():
    steps = np.arange(1, 31)
    data = 1e6 * steps * np.ones((2, 1))
    loss = np.exp(1.2 - 0.1 * np.log(data))
    heldout = np.where(steps % 3 == 0, loss, np.nan)
    curves = xr.Dataset(
        {"data_seen": (("run", "step"), data), "train_loss": (("run", "step"), loss * 1.1),
         "heldout_loss": (("run", "step"), heldout), "sparsity": (("run", "step"), np.zeros_like(data))},
        coords={"run_id": ("run", ["dense", "sparse"]), "step": steps},
    )  # fmt: skip
    found = bs.curve.fit(curves, forms=("M1",), draws=100)
    assert found["posterior"]["curve"].values.tolist() == ["dense", "sparse"]
    assert int(found["observed_data"]["log_loss"].sel(curve="dense").count()) == 10
    train = bs.curve.fit(curves, forms=("M1",), columns={"train_loss": "loss"}, draws=100)
    assert int(train["observed_data"]["log_loss"].sel(curve="dense").count()) == 30
    assert float(found["posterior"]["slope"].median()) == pytest.approx(0.1, rel=0.02)


def test_real_curves_are_forecast_better_than_by_the_best_point_estimate(vision, data_folder):
    training, later = vision
    names = training["curve"].unique()[::9]
    published = pd.read_csv(data_folder / "alabdulmohsin2022_vision" / "reference_rmse.csv", index_col="curve_id")
    some = training[training["curve"].isin(names)]
    found = bs.curve.fit(some, isotonic=True)
    assert bool(found["sample_stats"]["ok"].all())
    scores = bs.curve.score(found, later[later["curve"].isin(names)])
    assert float(scores["log_rmse"].mean()) < published.loc[names, "rmse_log_m4"].mean()
    assert 0.7 < float(scores["coverage"].mean()) <= 1


def test_holdout_scores_the_last_stretch(simulated):
    some = simulated[0][simulated[0]["curve"].isin(["run 0", "run 1", "run 2"])]
    found = bs.curve.holdout(some, share=0.5, forms=("M2",))
    assert found.sizes["curve"] == 3
    assert found["points"].to_numpy().tolist() == [4, 4, 4]  # of 40 over three decades, those beyond half
    assert float(found["log_rmse"].max()) < 0.03
    with pytest.raises(bs.InputError, match="share is 1"):
        bs.curve.holdout(some, share=1)
