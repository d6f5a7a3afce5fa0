import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import bayes_scaling as bs
from bayes_scaling.validate import scores as scoring


@pytest.fixture(scope="module")
def posterior(simulated):
    return bs.curve.fit(simulated[0][simulated[0]["curve"].isin(["run 0", "run 1"])], forms=("M2",))


def test_draws_are_joint_along_x_and_say_how_far_they_go(posterior):
    drawn = bs.curve.predict(posterior, [5e8, 2e9, 4e9], kind="mean")
    assert drawn.dims == ("chain", "draw", "curve", "x")
    assert float(drawn["extrapolation"].sel(curve="run 0", x=5e8)) == 0
    assert float(drawn["extrapolation"].sel(curve="run 0", x=4e9)) == pytest.approx(np.log(4))
    two = np.log(drawn.sel(curve="run 0").isel(chain=0))
    assert np.corrcoef(two.sel(x=2e9), two.sel(x=4e9))[0, 1] > 0.8
    assert float(two.sel(x=4e9).std()) > float(two.sel(x=5e8).std())


def test_new_points_scatter_by_the_noise(posterior):
    at = 1e9  # the last point, where the curve is known
    mean, new = (np.log(bs.curve.predict(posterior, at, kind=kind)) for kind in ("mean", "new-point"))
    extra = float(new.sel(curve="run 1").var() - mean.sel(curve="run 1").var())
    assert np.sqrt(extra) == pytest.approx(0.005, rel=0.35)


def test_an_interval_is_of_the_draws(posterior):
    drawn, found = bs.curve.predict(posterior, [2e9]), bs.curve.predict(posterior, [2e9], prob=0.8)
    np.testing.assert_allclose(found["lower"], drawn.quantile(0.1, ("chain", "draw")))
    assert found.attrs == {"prob": 0.8, "kind": "new-point"}


def test_each_curve_can_have_an_x_of_its_own(posterior):
    ahead = xr.DataArray([3e9], dims="curve", coords={"curve": ["run 1"]})
    found = bs.curve.predict(posterior, ahead)
    assert found["curve"].values.tolist() == ["run 1"]
    assert found.sizes["x"] == 1


@pytest.mark.parametrize(
    ("x", "settings", "sentence"),
    [
        (0.0, {}, "x has the value 0; x is above 0"),
        (1e9, {"kind": "new-run"}, "kind is 'new-run'; predictions are of kind mean or new-point"),
        (1e9, {"prob": 1.0}, "prob is 1.0"),
        ([[1e9]], {}, "x has 2 dimensions, where one is allowed"),
        (
            xr.DataArray([1e9], dims="curve", coords={"curve": ["run 9"]}), {},
            "x has the curve 'run 9', which the posterior does not have",
        ),
    ],
)  # fmt: skip
def test_questions_that_cannot_be_meant(posterior, x, settings, sentence):
    with pytest.raises(bs.InputError, match=sentence):
        bs.curve.predict(posterior, x, **settings)


def test_scores_agree_with_draws(posterior, simulated):
    later = simulated[1][simulated[1]["curve"] == "run 0"]
    found = bs.curve.score(posterior, later).sel(curve="run 0")
    x = later["x"].to_numpy()
    drawn = np.log(bs.curve.predict(posterior, x).sel(curve="run 0").to_numpy()[0])
    observed = np.log(later["loss"].to_numpy())
    rmse = np.sqrt(((drawn.mean(axis=0) - observed) ** 2).mean())
    assert float(found["log_rmse"]) == pytest.approx(rmse, abs=2e-3)
    assert float(found["crps"]) == pytest.approx(scoring.crps(observed, drawn).mean(), rel=0.1)
    assert float(found["log_score_of_loss"]) == pytest.approx(float(found["log_score"]) - observed.mean())
    lower, mean, upper = np.quantile(drawn, [0.159, 0.5, 0.841], axis=0)
    sd = (upper - lower) / 2  # not by the moments, which a few draws of much drift would decide
    normal = (-((observed - mean) ** 2) / (2 * sd**2) - np.log(sd) - np.log(2 * np.pi) / 2).mean()
    assert float(found["log_score"]) == pytest.approx(normal, abs=0.3)
    with pytest.raises(bs.InputError, match="curve 'other' is not in the posterior"):
        bs.curve.score(posterior, later.assign(curve="other"))


def test_a_panel_a_curve(posterior, simulated):
    figure = bs.curve.plot(posterior, later=simulated[1])
    assert [axis.get_title() for axis in figure.axes] == ["run 0", "run 1"]
    assert len(figure.axes[0].lines) == 3
    key = [words.get_text() for words in figure.legends[0].get_texts()]
    assert sorted(key) == ["fitted", "forecast of new points, 89% interval", "measured later"]
    plt.close(figure)
    with pytest.raises(bs.InputError, match="times is 1"):
        bs.curve.plot(posterior, times=1)
    with pytest.raises(bs.InputError, match="curve 'x' is not in the posterior"):
        bs.curve.plot(posterior, ["x"])
