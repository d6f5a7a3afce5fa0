import numpy as np
import pytest
from artists import bands, drawn, errorbars, hatches, points, words

import bayes_scaling as bs

BUDGETS = [1e18, 1e19, 1e20]


def test_the_optimum_s_interval_is_that_of_optimal_sparsity(single):
    (ax,) = drawn(bs.plot_isoflops(single, BUDGETS, nonzero_params=1.6e7, prob=0.8)).axes
    best = bs.optimal_sparsity(single, 1.6e7, BUDGETS, "language", "unstructured")
    low, median, high = best.quantile([0.1, 0.5, 0.9], ("chain", "draw")).to_numpy()
    centre, left, right = errorbars(ax)
    np.testing.assert_allclose(centre[:, 0], median, atol=1e-9)
    np.testing.assert_allclose(left[:, 0], low, atol=1e-9)
    np.testing.assert_allclose(right[:, 0], high, atol=1e-9)
    assert "optimum, 80% interval" in words(ax.figure)


@pytest.mark.parametrize("cost", ["gradual", "dense"])
def test_curves_are_what_predict_answers_when_the_budget_is_spent(single, cost):
    (ax,) = drawn(bs.plot_isoflops(single, BUDGETS, nonzero_params=1.6e7, cost=cost, flops_per_unit=8, prob=0.8)).axes
    multiplier = bs.costs.get(cost).multiplier
    for (x, lower, upper), budget in zip(bands(ax), BUDGETS, strict=True):
        rows = [
            {
                "nonzero_params": 1.6e7,
                "data_seen": budget / (8 * 1.6e7 * multiplier(s)),
                "sparsity": s,
                "modality": "language",
            }
            for s in x
        ]
        ends = bs.predict(single, rows).quantile([0.1, 0.9], ("chain", "draw")).to_numpy()
        np.testing.assert_allclose([lower, upper], ends, rtol=1e-9)


def test_over_size_the_optimum_is_where_a_dense_model_is_compute_optimal(simulated):
    figure = drawn(bs.plot_isoflops(simulated, BUDGETS, over="nonzero_params", prob=0.8))
    for ax, modality in zip(figure.axes, ("language", "vision"), strict=True):
        centre, left, right = errorbars(ax)
        for i, budget in enumerate(BUDGETS):
            # As many draws put their optimum below a size as need a larger budget there to be optimal.
            for size, share in ((left[i, 0], 0.1), (centre[i, 0], 0.5), (right[i, 0], 0.9)):
                needed = bs.dense_optimal_flops(simulated, float(size), modality)
                assert float((needed > budget).mean()) == pytest.approx(share, abs=0.002)
        assert ax.get_xscale() == "log"
        for (x, lower, upper), budget in zip(bands(ax), BUDGETS, strict=True):
            rows = [
                {"nonzero_params": n, "data_seen": budget / (6 * n), "sparsity": 0, "modality": modality} for n in x
            ]
            ends = bs.predict(simulated, rows).quantile([0.1, 0.9], ("chain", "draw")).to_numpy()
            np.testing.assert_allclose([lower, upper], ends, rtol=1e-9)


def test_runs_of_a_budget_lie_on_its_curve(single):
    budget = 6 * 6.4e7 * 4e9
    (ax,) = drawn(bs.plot_isoflops(single, budget)).axes
    table = single["runs"].to_dataset()
    multiplier = bs.costs.get("gradual").multiplier(table["sparsity"])
    flops = 6 * table["nonzero_params"] * table["data_seen"] * multiplier
    mine = (np.abs(np.log(flops / budget)) < 0.1) & (table["nonzero_params"] == 6.4e7)
    shown = [line for line in ax.lines if line.get_markeredgecolor() == "white"]
    assert int(mine.sum()) == sum(len(line.get_xdata()) for line in shown) >= 1
    np.testing.assert_allclose(shown[0].get_ydata(), table["loss"].to_numpy()[mine.to_numpy()])
    assert len(points(ax)) >= 1


def test_budgets_beyond_the_runs_are_hatched(single):
    (near,) = drawn(bs.plot_isoflops(single, 6 * 6.4e7 * 4e9)).axes
    (far,) = drawn(bs.plot_isoflops(single, 6 * 6.4e7 * 4e13)).axes
    assert len(hatches(far)[0][0]) == len(bands(far)[0][0])
    assert len(hatches(near)[0][0]) < len(bands(near)[0][0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"over": "loss"}, "over is 'loss'; it is one of sparsity, nonzero_params"),
        ({"structure": "2:4"}, "structure '2:4' has one sparsity"),
        ({"train_flops": [-1.0]}, "train_flops is -1"),
        (
            {"over": "nonzero_params", "nonzero_params": 1e9},
            "nonzero_params is 1000000000.0; it goes with over='sparsity'",
        ),
        ({"over": "nonzero_params", "structure": "2:4"}, "structure is '2:4'; it goes with over='sparsity'"),
        ({"cost": "cheap"}, "cheap"),
        ({"modality": "audio"}, "audio"),
    ],
)
def test_what_is_wrong_is_said(single, arguments, message):
    with pytest.raises(bs.InputError, match=message):
        bs.plot_isoflops(single, **arguments)


def test_a_dense_law_is_drawn_over_size_only(of_law):
    figure = drawn(bs.plot_isoflops(of_law("dense"), [1e18, 1e20]))
    assert {ax.get_xlabel() for ax in figure.axes} == {"non-zero parameters"}
    with pytest.raises(bs.InputError, match="law 'dense' is about dense models and has no sparsity axis"):
        bs.plot_isoflops(of_law("dense"), over="sparsity")
