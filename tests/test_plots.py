import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.container import ErrorbarContainer

import bayes_scaling as bs
from bayes_scaling.display import count
from bayes_scaling.errors import InputError

HOSTILE = {"language": r"cost $x_{$ and [bold]%s", "vision": "_hidden <b> 視覚 $"}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def drawn(figure):
    figure.canvas.draw()  # what text cannot be laid out fails here
    return figure


def bands(ax):
    """Lower and upper edge of each band of an axes, over its x."""
    found = []
    for band in ax.collections:
        if isinstance(band, FillBetweenPolyCollection):
            vertices = band.get_paths()[0].vertices
            x = np.unique(vertices[:, 0])
            edges = [(vertices[vertices[:, 0] == at, 1].min(), vertices[vertices[:, 0] == at, 1].max()) for at in x]
            found.append((x, *np.array(edges).T))
    return found


def renamed(posterior):
    """The posterior with modalities whose names try to break pictures."""
    other = posterior.copy(deep=True)
    for group in ("posterior", "prior", "unseen_structure"):
        dataset = other[group].to_dataset()
        names = [HOSTILE[name] for name in dataset["modality"].to_numpy().tolist()]
        other[group] = dataset.assign_coords(modality=names)
    for group in ("constant_data", "runs"):
        dataset = other[group].to_dataset()
        names = np.array([HOSTILE[name] for name in dataset["modality"].to_numpy().tolist()])
        other[group] = dataset.assign(modality=dataset["modality"].copy(data=names))
    return other


def test_measured_against_predicted(simulated):
    figure = drawn(bs.plot_measured(simulated, prob=0.8))
    assert len(figure.axes) == 2
    runs = simulated["constant_data"].to_dataset()
    measured = np.exp(simulated["observed_data"]["log_loss"].to_numpy())
    for ax, modality in zip(figure.axes, ("language", "vision"), strict=True):
        assert modality in ax.get_title()
        assert ax.get_xlabel()
        shown = [c for c in ax.containers if isinstance(c, ErrorbarContainer)]
        x = np.concatenate([c.lines[0].get_xdata() for c in shown])
        np.testing.assert_allclose(np.sort(x), np.sort(measured[(runs["modality"] == modality).to_numpy()]))
        labels = {text.get_text() for text in ax.get_legend().get_texts()}
        assert labels == {"dense", "unstructured"} | ({"2:4"} if modality == "language" else set())
        for c in shown:
            median = c.lines[0].get_ydata()
            for (x0, y0), (x1, y1) in c.lines[2][0].get_segments():
                assert x0 == x1
                assert y0 < y1
            segments = np.array(c.lines[2][0].get_segments())
            assert ((segments[:, 0, 1] <= median) & (median <= segments[:, 1, 1])).all()
    assert "80%" in figure.axes[0].get_ylabel()


def test_wider_intervals_are_wider(single):
    def width(prob):
        (ax,) = bs.plot_measured(single, prob=prob).axes
        segments = [s for c in ax.containers for s in np.array(c.lines[2][0].get_segments())]
        return np.mean([s[1, 1] - s[0, 1] for s in segments])

    assert width(0.95) > 1.3 * width(0.5)


def test_exponents(simulated, single):
    for posterior in (simulated, single):
        forest = bs.plot_exponents(posterior, prob=0.8)
        figure = drawn(forest.viz["figure"].item())
        text = " ".join(t.get_text() for ax in figure.axes for t in ax.texts)
        text += " ".join(label.get_text() for ax in figure.axes for label in ax.get_yticklabels())
        for name in ("b_N", "b_D", "b_S"):
            assert name in text
        assert "80%" in figure.get_suptitle()
        # ArviZ marks the medians; they are the posterior's
        for name in ("b_N", "b_D"):
            markers = forest.viz["point_estimate"][name].to_numpy().ravel()
            at = np.sort([float(np.ravel(marker.get_offsets())[0]) for marker in markers])
            medians = posterior["posterior"][name].median(("chain", "draw")).to_numpy()
            np.testing.assert_allclose(at, np.sort(medians), rtol=1e-6)


def test_optimal_sparsity_of_one_modality(simulated):
    (ax,) = drawn(bs.plot_optimal_sparsity(simulated, modality="vision", structure="unstructured")).axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["vision"]
    runs = simulated["constant_data"].to_dataset()
    data = runs["data_seen"].to_numpy()[(runs["modality"] == "vision").to_numpy()]
    (band,) = bands(ax)
    assert band[0][[0, -1]] == pytest.approx(6 * 6.4e7 * np.array([data.min(), 10 * data.max()]))


def test_optimal_sparsity(simulated):
    budgets = np.geomspace(1e17, 1e21, 9)
    figure = drawn(bs.plot_optimal_sparsity(simulated, 1.6e7, budgets, prob=0.8))
    assert [ax.get_title() for ax in figure.axes] == ["unstructured", "2:4"]
    free, pattern = figure.axes
    for ax in figure.axes:
        assert "FLOP" in ax.get_xlabel()
        assert ax.get_ylabel()
        assert ax.get_xscale() == "log"
        assert {t.get_text() for t in ax.get_legend().get_texts()} == {"language", "vision"}
    best = bs.optimal_sparsity(simulated, 1.6e7, budgets, structure="unstructured")
    lines = {line.get_label(): line for line in free.lines}
    for (x, lower, upper), modality in zip(bands(free), ("language", "vision"), strict=True):
        np.testing.assert_allclose(x, budgets)
        median = lines[modality].get_ydata()
        assert ((lower <= median) & (median <= upper)).all()
        draws = best.sel(modality=modality)
        np.testing.assert_allclose(lower, draws.quantile(0.1, ("chain", "draw")), atol=1e-9)
        np.testing.assert_allclose(upper, draws.quantile(0.9, ("chain", "draw")), atol=1e-9)
        np.testing.assert_allclose(median, draws.median(("chain", "draw")), atol=1e-9)
    chances = {line.get_label(): line.get_ydata() for line in pattern.lines}
    worth = bs.optimal_sparsity(simulated, 1.6e7, budgets, "language", "2:4") > 0
    np.testing.assert_allclose(chances["language"], worth.mean(("chain", "draw")))
    assert "80%" in free.get_ylabel()
    assert "2:4" in pattern.get_ylabel()


def test_optimal_sparsity_of_one_structure_by_default_budgets(single):
    figure = drawn(bs.plot_optimal_sparsity(single, structure="unstructured", cost="dense"))
    (ax,) = figure.axes
    ((x, lower, upper),) = bands(ax)
    assert (np.diff(x) > 0).all()
    assert ((lower >= 0) & (upper < 1)).all()
    sizes = single["constant_data"]["nonzero_params"].to_numpy()
    assert count(sizes.max()) in figure.get_suptitle()


def test_prior_predictive(simulated):
    figure = drawn(bs.plot_prior_predictive(simulated, prob=0.8))
    assert [ax.get_title() for ax in figure.axes] == ["language", "vision"]
    for ax in figure.axes:
        assert ax.get_xlabel()
        assert "loss" in ax.get_ylabel()
        (x, low, high), (x_inner, low_inner, high_inner) = bands(ax)
        np.testing.assert_array_equal(x, x_inner)
        assert ((low <= low_inner) & (low_inner <= high_inner) & (high_inner <= high)).all()
        labels = [t.get_text() for t in ax.get_legend().get_texts()]
        assert any("0.8" in label for label in labels)
        # the runs lie well inside what the priors allow
        points = next(line for line in ax.lines if line.get_marker() == ".")
        y = points.get_ydata()
        assert ((y > low.min()) & (y < high.max())).all()


PLOTS = [bs.plot_measured, bs.plot_exponents, bs.plot_optimal_sparsity, bs.plot_prior_predictive]


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.__name__)
def test_hostile_names(simulated, plot):
    picture = plot(renamed(simulated))
    figure = picture.viz["figure"].item() if hasattr(picture, "viz") else picture
    drawn(figure)


@pytest.mark.parametrize("plot", [bs.plot_measured, bs.plot_optimal_sparsity], ids=lambda plot: plot.__name__)
def test_hostile_names_are_in_the_legend(simulated, plot):
    """matplotlib leaves labels that begin with an underscore out of legends."""
    figure = plot(renamed(simulated))
    shown = " ".join([ax.get_title() for ax in figure.axes])
    shown += " ".join(t.get_text() for ax in figure.axes for t in ax.get_legend().get_texts())
    assert "hidden" in shown
    assert "[bold]" in shown


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.__name__)
def test_both_strategies(starts, plot):
    picture = plot(starts)
    drawn(picture.viz["figure"].item() if hasattr(picture, "viz") else picture)


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.__name__)
@pytest.mark.parametrize("prob", [0, 1, 1.5])
def test_probabilities_are_checked(simulated, plot, prob):
    with pytest.raises(InputError, match="prob"):
        plot(simulated, prob=prob)


def test_plots_open_no_window_and_leave_figures_alone(single, tmp_path):
    before = plt.get_fignums()
    for i, plot in enumerate(PLOTS):
        picture = plot(single)
        figure = picture.viz["figure"].item() if hasattr(picture, "viz") else picture
        figure.savefig(tmp_path / f"{i}.png")
        assert (tmp_path / f"{i}.png").stat().st_size > 5000
    assert len(plt.get_fignums()) <= len(before) + len(PLOTS)
