import csv
import json

import numpy as np
import pytest
import xarray as xr
from helpers import codes
from scipy.optimize import minimize

import bayes_scaling as bs
from bayes_scaling.intervals import interval
from bayes_scaling.studies.mixture_table import relative_amounts

DOMAINS = ("common_crawl", "github", "books", "wiki", "c4", "stackexchange", "arxiv")
A = (2.666, 6.616, 2.674, 2.463, 2.518, 2.890, 3.319)
B = (1.249, 1.436, 1.536, 1.829, 1.186, 1.954, 1.927)
C = (0.803, 0.946, 0.865, 0.897, 0.775, 0.930, 0.940)
OPTIMUM = (1.62475, 0.2, 1.27415, 1.17980, 1.85190, 0.63716, 0.23224)
TOTALS = (5.000487, 21.38933, 93.22815, 412.4400)


@pytest.fixture(scope="module")
def optima(data_folder):
    """Published optimal amounts at 0.3 and 1.2 billion tokens."""
    with (data_folder / "autoscale2024" / "optimal_weights.csv").open() as file:
        rows = {float(row["scale_B_tokens"]): row for row in csv.DictReader(file)}
    return [
        xr.DataArray([float(rows[total][d]) * total / 7 for d in DOMAINS], {"domain": list(DOMAINS)}, ("domain",))
        for total in (0.3, 1.2)
    ]


def test_the_point_fit_and_its_optimum_are_the_published_ones(mixture_rows):
    found = bs.mixture.point_fit(mixture_rows)
    for name, published in (("a", A), ("b", B), ("c", C)):
        np.testing.assert_allclose(found[name], published, atol=6e-4)
    assert float(found["misfit"]) < 1e-10
    best = bs.mixture.water_filling(found["a"], found["b"], np.ones(7), total=7, floor=0.2)
    np.testing.assert_allclose(best, OPTIMUM, atol=1e-5)


def test_larger_scales_have_the_published_totals(optima):
    found = bs.mixture.extrapolate(*optima, steps=4)
    np.testing.assert_allclose(found["total"], TOTALS, rtol=1e-6)
    assert found["step"].to_numpy().tolist() == [3, 4, 5, 6]
    np.testing.assert_allclose(found["weight"].sum("domain"), 1)
    np.testing.assert_allclose(found["amount"].sel(step=3), optima[1] ** 2 / optima[0])


@pytest.mark.parametrize("seed", range(5))
def test_water_filling_has_equal_gradients_and_no_rival_does_better(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 9))
    a, b, base = rng.uniform(0, 5, (3, count)) + np.array([[0], [0.2], [0.5]])
    floor, total = 0.2, float(base.sum() * rng.uniform(0.5, 4))
    x = bs.mixture.water_filling(a, b, base, total, floor)
    assert (base * x).sum() == pytest.approx(total)
    gain = b / base * (x + a) ** (-b - 1)
    free = x > floor + 1e-9
    np.testing.assert_allclose(gain[free], gain[free].mean(), rtol=1e-6)
    assert (gain[~free] <= gain[free].max() * (1 + 1e-6)).all()
    rival = minimize(
        lambda z: ((z + a) ** -b).sum(),
        np.full(count, total / base.sum()),
        bounds=[(floor, None)] * count,
        constraints={"type": "eq", "fun": lambda z: base @ z / total - 1},
        method="SLSQP",
    )
    assert ((x + a) ** -b).sum() <= rival.fun + 1e-9


def test_intervals_of_the_optimum_contain_the_published_one(mixture_posterior):
    assert json.loads(mixture_posterior.attrs["diagnostics"])["ok"]
    assert "prior_decides_noise" in codes(mixture_posterior.attrs)
    best = bs.mixture.optimal_weights(mixture_posterior, total=7, floor=0.2)
    for domain, published in zip(DOMAINS, OPTIMUM, strict=True):
        told = interval(best["amount"].sel(domain=domain))
        assert told["lower"] - 1e-9 <= published <= told["upper"] + 1e-9, domain
        assert told["upper"] - told["lower"] < 0.5
    np.testing.assert_allclose(best["weight"].sum("domain"), 1)
    np.testing.assert_allclose(best["recommended_weight"].sum(), 1)
    assert (best["extrapolation"] == 0).all(), "all of it lies between a fifth and three times the base"


def test_the_recommended_composition_has_the_least_expected_loss(mixture_posterior):
    best = bs.mixture.optimal_weights(mixture_posterior, total=7, floor=0.2)
    draws = mixture_posterior["posterior"].to_dataset()
    least = float(best["relative_loss"].mean())
    assert (best["regret"] >= 0).all()
    assert least < 1
    rng = np.random.default_rng(0)
    free = best["recommended_amount"] > 0.2 + 1e-6
    assert 0 < int(free.sum()) < 7, "some are at the floor, and stay there or rise from it"
    for _ in range(20):
        change = 0.03 * rng.standard_normal(7)
        change = np.where(free, change, np.abs(change))
        other = best["recommended_amount"] + change - free * change.sum() / int(free.sum())
        assert float(other.sum()) == pytest.approx(7)
        assert float(other.min()) >= 0.2 - 1e-9
        assert float(bs.mixture.relative_loss(other, draws).mean()) > least - 1e-9
    own = bs.mixture.relative_loss(best["amount"], draws)
    assert float((own - best["relative_loss"]).max()) <= 1e-12


def test_amounts_beyond_those_tried_say_how_far(mixture_posterior):
    best = bs.mixture.optimal_weights(mixture_posterior, total=70)
    largest = best["recommended_amount"].max()
    assert float(best["extrapolation"].max()) == pytest.approx(np.log(float(largest) / 3))


def test_draws_travel_to_larger_scales(mixture_posterior, optima):
    amount = bs.mixture.optimal_weights(mixture_posterior, total=7)["amount"] * 1.2 / 7
    found = bs.mixture.extrapolate(optima[0], amount, steps=4)
    widths = []
    for step in found["step"].to_numpy():
        told = interval(found["total"].sel(step=step))
        widths.append(np.log(told["upper"] / told["lower"]))
    assert widths == sorted(widths)
    both = bs.mixture.extrapolate(amount * 0.25, amount, steps=1)
    paired = (amount, both["amount"].sel(step=3))
    independent = np.corrcoef(*(each.isel(domain=0).to_numpy().ravel() for each in paired))
    assert independent[0, 1] < 0.9, "draws of two posteriors are no pairs"


def test_weights_and_a_total_say_the_same_as_amounts(mixture_rows):
    amounts = bs.mixture.load(mixture_rows)
    totals = amounts["amount"].sum("domain").to_numpy()
    rows = [
        {"loss": row["loss"], "total": total} | {f"weight_{d}": row[f"amount_{d}"] / total for d in DOMAINS}
        for row, total in zip(mixture_rows, totals, strict=True)
    ]
    xr.testing.assert_allclose(
        bs.mixture.load(rows)["amount"].drop_vars("run_id"), amounts["amount"].drop_vars("run_id")
    )
    np.testing.assert_allclose(relative_amounts(amounts).median("run"), 1)


def test_a_saved_posterior_answers_alike(mixture_posterior, tmp_path):
    loaded = bs.load(bs.save(mixture_posterior, tmp_path / "posterior.nc"))
    xr.testing.assert_allclose(bs.mixture.optimal_weights(loaded), bs.mixture.optimal_weights(mixture_posterior))


ROWS = [
    {"loss": 3.0, "weight_a": 0.5, "weight_b": 0.5, "total": 1.0},
    {"loss": 2.9, "weight_a": 0.7, "weight_b": 0.3, "total": 2.0},
]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROWS[0], ROWS[1] | {"weight_b": 0.4}], "row index 1, column 'weight_a': the weights of the row sum to 1.1"),
        ([ROWS[0], ROWS[1] | {"weight_b": -0.3}], "column 'weight_b': found -0.3 where a finite number of at least 0"),
        ([ROWS[0], ROWS[1] | {"loss": None}], "column 'loss': found nothing where a finite number above 0 is allowed"),
        ([{k: v for k, v in row.items() if k != "total"} for row in ROWS], "has no column 'total'"),
        ([{"loss": 3.0, "size": 1.0}], "has no column 'amount_X' or 'weight_X' for any domain X"),
        ([{"amount_a": 1.0, "amount_b": 2.0}], "has no column 'loss'"),
        ([{"loss": 3.0, "amount_a": 1.0}], "has 1 domain, where a mixture has two or more"),
        ([{"loss": x, "amount_a": x, "amount_b": 2.0} for x in (1, 2)], "domain 'b': the amount is 2 in every row"),
    ],
)
def test_tables_that_are_wrong_are_refused(rows, message):
    with pytest.raises(bs.InputError) as refused:
        bs.mixture.load(rows)
    assert message in str(refused.value)


def test_questions_that_are_wrong_are_refused(mixture_posterior, optima, mixture_rows):
    with pytest.raises(bs.InputError, match="total is 1, less than the floors"):
        bs.mixture.optimal_weights(mixture_posterior, total=1)
    with pytest.raises(bs.InputError, match="floor -1"):
        bs.mixture.optimal_weights(mixture_posterior, floor=-1)
    with pytest.raises(bs.InputError, match="the domains are"):
        bs.mixture.extrapolate(optima[0], optima[1].isel(domain=slice(3)))
    with pytest.raises(bs.InputError, match="what is 0 has no ratio"):
        bs.mixture.extrapolate(optima[0] * 0, optima[1])
    with pytest.raises(bs.InputError, match="14 runs, where a point fit of 7 domains needs 15"):
        bs.mixture.point_fit(mixture_rows[:14])


def test_predictions_are_those_of_the_runs_and_say_how_far_others_are(mixture_posterior):
    base = dict.fromkeys(DOMAINS, 1.0)
    amounts = {name: [1.0, 3.0, 6.0] if name == "c4" else [1.0] * 3 for name in reversed(base)}
    found = bs.mixture.predict(mixture_posterior, amounts)
    assert found.dims == ("chain", "draw", "composition")
    np.testing.assert_allclose(found.isel(composition=0), mixture_posterior["posterior"]["base_loss"])
    runs = mixture_posterior["runs"].to_dataset()
    mine = runs["loss"].to_numpy()[runs["run_id"].to_numpy() == "c4_increased_3x"]
    told = interval(bs.mixture.predict(mixture_posterior, amounts, kind="new-run").isel(composition=1))
    assert told["lower"] < mine[0] < told["upper"]
    assert told["upper"] / told["lower"] < 1.03
    np.testing.assert_allclose(found["extrapolation"], [0, 0, np.log(2)])
    noisy = bs.mixture.predict(mixture_posterior, amounts, kind="new-run")
    assert float(np.log(noisy / found).std()) > float(mixture_posterior["posterior"]["sigma"].min())


def test_predictions_refuse_what_is_no_composition(mixture_posterior):
    base = dict.fromkeys(DOMAINS, 1.0)
    with pytest.raises(bs.InputError, match="amounts are of the domains c4; they are of common_crawl, github"):
        bs.mixture.predict(mixture_posterior, {"c4": 1.0})
    with pytest.raises(bs.InputError, match="an amount is -1; it is of at least 0"):
        bs.mixture.predict(mixture_posterior, base | {"c4": -1.0})
    with pytest.raises(bs.InputError, match="amounts differ in length"):
        bs.mixture.predict(mixture_posterior, base | {"c4": [1.0, 2.0]})
    with pytest.raises(bs.InputError, match="kind is 'best'"):
        bs.mixture.predict(mixture_posterior, base, kind="best")
