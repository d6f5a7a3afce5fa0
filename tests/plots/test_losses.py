import numpy as np
import pytest
from artists import bands, drawn, errorbars, hatches, legend_labels, medians, points, words

import bayes_scaling as bs


def predicted(posterior, kind="mean", **columns):
    """Quantiles of the loss that Python answers with, at the points of a curve."""
    count = max(np.size(values) for values in columns.values())
    rows = [
        {name: (values if np.ndim(values) == 0 else values[i]) for name, values in columns.items()}
        for i in range(count)
    ]
    rows = [row | {"structure": row["structure"] if row["sparsity"] else "dense"} for row in rows]
    return bs.predict(posterior, rows, kind).quantile([0.1, 0.5, 0.9], ("chain", "draw")).to_numpy()


HELD = {"nonzero_params": 6.4e7, "data_seen": 3.2e10}
SPARSITIES = [0, 0.5, 0.75, 0.875]


def test_bands_are_what_predict_answers(single):
    figure = drawn(bs.plot_losses(single, prob=0.8))
    size, data, sparsity = figure.axes
    known = {"modality": "language", "structure": "unstructured"}
    for ax, column, held in ((size, "nonzero_params", "data_seen"), (data, "data_seen", "nonzero_params")):
        assert legend_labels(ax) == ["dense", "S = 0.5", "S = 0.75", "S = 0.875"]
        curves = zip(bands(ax), medians(ax), SPARSITIES, strict=True)
        for (x, lower, upper), (middle, _), level in curves:
            ends = predicted(single, **known, sparsity=level, **{column: x, held: HELD[held]})
            np.testing.assert_allclose([lower, middle, upper], ends, rtol=1e-9)
    for (x, lower, upper), (middle, _), level in zip(
        bands(sparsity), medians(sparsity), [1e6, 8e6, 6.4e7], strict=True
    ):
        ends = predicted(single, **known, sparsity=x, nonzero_params=level, data_seen=HELD["data_seen"])
        np.testing.assert_allclose([lower, middle, upper], ends, rtol=1e-9)
    assert "80% interval, expected loss" in words(figure)
    assert [ax.get_title() for ax in figure.axes] == ["D = 32B", "N = 64M", "D = 32B"]


def test_points_are_the_runs_on_each_curve(single):
    (ax,) = drawn(bs.plot_losses(single, "nonzero_params", at={"data_seen": 4e9})).axes
    table = single["runs"].to_dataset()
    mine = (table["data_seen"] == 4e9).to_numpy()
    wanted = np.column_stack([table[name].to_numpy()[mine] for name in ("nonzero_params", "loss")])
    found = points(ax)
    assert len(wanted) == 12
    np.testing.assert_allclose(found[np.lexsort(found.T)], wanted[np.lexsort(wanted.T)])
    assert ax.get_title() == "D = 4B"


def test_what_lies_beyond_the_runs_is_dashed_and_hatched(single):
    (ax,) = drawn(bs.plot_losses(single, "nonzero_params")).axes
    sizes = single["constant_data"]["nonzero_params"].to_numpy()
    for (x, *_), (_, solid), (hatched, *_) in zip(bands(ax), medians(ax), hatches(ax), strict=True):
        trained = (x >= sizes.min() * (1 - 1e-9)) & (x <= sizes.max() * (1 + 1e-9))
        np.testing.assert_array_equal(np.isfinite(solid), trained)
        assert set(x[~trained]) <= set(hatched)
        assert not set(x[trained][1:-1]) & set(hatched)
    assert "beyond the runs" in words(ax.figure)
    (inside,) = drawn(bs.plot_losses(single, "sparsity")).axes
    assert np.isfinite(medians(inside)[0][1]).sum() > 40


def test_a_new_run_scatters_more(single):
    def width(kind):
        (ax,) = drawn(bs.plot_losses(single, "data_seen", kind=kind, prob=0.8)).axes
        return np.mean([upper - lower for _, lower, upper in bands(ax)])

    assert width("new-run") > 1.5 * width("mean")


def test_every_pair_with_runs_has_a_row_and_a_pattern_has_two_sparsities(simulated):
    figure = drawn(bs.plot_losses(simulated, ["data_seen", "sparsity"], prob=0.8))
    rows = np.reshape(figure.axes, (3, 2))
    names = [row[0].get_ylabel().partition("\n")[0] for row in rows]
    assert names == ["language, unstructured", "language, 2:4", "vision, unstructured"]
    pattern = rows[1]
    assert legend_labels(pattern[0]) == ["dense", "S = 0.5"]
    centre, low, high = errorbars(pattern[1])
    assert sorted(set(centre[:, 0])) == [0, 0.5]
    known = {"modality": "language", "structure": "2:4", "sparsity": np.array([0, 0.5]), "data_seen": 3.2e10}
    ends = predicted(simulated, **known, nonzero_params=1e6)
    np.testing.assert_allclose([low[:2, 1], centre[:2, 1], high[:2, 1]], ends, rtol=1e-9)
    assert "examples" in rows[2][0].get_xlabel()


def test_runs_of_another_start_are_not_drawn(starts):
    (ax,) = drawn(bs.plot_losses(starts, "nonzero_params")).axes
    table = starts["runs"].to_dataset()
    scratch = table["loss"].to_numpy()[(table["strategy"] == "scratch").to_numpy()]
    assert len(points(ax)) == 9
    assert set(points(ax)[:, 1]) <= set(scratch)


def test_repeated_data_is_not_on_a_curve_of_data_seen_once(of_law):
    posterior = of_law("data_constrained").copy()
    import xarray as xr

    table = posterior["runs"].to_dataset()
    once = np.arange(table.sizes["run"]) % 2 == 0
    share = np.where(once, 1.0, 0.25)
    posterior["runs"] = xr.DataTree(table.assign(unique_data=table["data_seen"] * share))
    kept = sum(len(points(ax)) for ax in drawn(bs.plot_losses(posterior, "data_seen")).axes)
    every = sum(len(points(ax)) for ax in drawn(bs.plot_losses(of_law("data_constrained"), "data_seen")).axes)
    assert 0 < kept < every


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"axes": "tokens"}, "'tokens'; the axes are nonzero_params, data_seen, sparsity"),
        ({"kind": "median"}, "kind is 'median'; it is one of mean, new-run"),
        ({"at": {"sparsity": 0.5}}, "at names 'sparsity'; what can be held is nonzero_params, data_seen"),
        ({"at": {"data_seen": -1}}, "data_seen at -1"),
        ({"modality": "audio"}, "audio"),
        ({"structure": "4:2"}, "4:2"),
    ],
)
def test_what_is_wrong_is_said(single, arguments, message):
    with pytest.raises(bs.InputError, match=message):
        bs.plot_losses(single, **arguments)


def test_dense_runs_alone_leave_all_sparsities_beyond_the_runs(of_law):
    language, vision = drawn(bs.plot_losses(of_law("sparse", dense_runs=True), "sparsity")).axes
    for ax in (language, vision):
        for (x, *_), (_, solid) in zip(bands(ax), medians(ax), strict=True):
            np.testing.assert_array_equal(np.isfinite(solid), x == 0)


def test_a_dense_law_has_two_axes(of_law):
    figure = drawn(bs.plot_losses(of_law("dense")))
    assert len(figure.axes) == 4
    assert "sparsity" not in words(figure)
    with pytest.raises(bs.InputError, match="law 'dense' has no sparsity axis"):
        bs.plot_losses(of_law("dense"), "sparsity")
    with pytest.raises(bs.InputError, match=r"law 'dense'.*structure 'unstructured'"):
        bs.plot_losses(of_law("dense"), structure="unstructured")
