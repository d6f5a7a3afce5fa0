"""What all pictures have in common: a new one is held to it by being in the list."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from artists import HOSTILE, drawn, renamed, words

import bayes_scaling as bs
from bayes_scaling import laws

DENSE = {name for name in laws.names() if not laws.get(name).prunes}

OF_POSTERIOR = {
    "measured": bs.plot_measured,
    "residuals": bs.plot_residuals,
    "exponents": bs.plot_exponents,
    "shrinkage": lambda posterior, **more: bs.plot_shrinkage(posterior, posterior, **more),
    "prior_predictive": bs.plot_prior_predictive,
    "prior_posterior": bs.plot_prior_posterior,
    "losses": bs.plot_losses,
    "isoflops": bs.plot_isoflops,
    "dense_equivalent": bs.plot_dense_equivalent,
    "optimal_sparsity": bs.plot_optimal_sparsity,
    "optimal_map": lambda posterior, **more: bs.plot_optimal_map(
        posterior, **_first(posterior), nonzero_params=[1e6, 1e7, 1e8], train_flops=[1e17, 1e18, 1e20], **more
    ),
}
NOT_DENSE = {"dense_equivalent", "optimal_sparsity", "optimal_map"}
WITHOUT_INTERVAL = {"choices"}

OF_ANSWER = {
    "choices": lambda posterior: bs.plot_choices(bs.recommend(posterior, 1e7, 1e18)),
    "next_runs": lambda posterior: bs.plot_next_runs(_next(posterior), posterior),
}


def _first(posterior):
    return {"modality": str(posterior["posterior"]["modality"][0].item()), "structure": "unstructured"}


def _next(posterior):
    known = {
        "modality": _first(posterior)["modality"],
        "data_unit": str(posterior["constant_data"]["data_unit"][0].item()),
    }
    return bs.next_runs(
        posterior, known | {"nonzero_params": 1e9, "data_seen": [1e10, 1e11], "sparsity": [0, 0.5]}, 1e24, count=2
    )


def test_every_picture_is_listed():
    public = {name.removeprefix("plot_") for name in bs.__all__ if name.startswith("plot_")}
    assert public == set(OF_POSTERIOR) | set(OF_ANSWER) | {"coverage", "learning_curves"}


@pytest.mark.parametrize("name", [*OF_POSTERIOR, *OF_ANSWER])
def test_hostile_names(simulated, name):
    posterior = renamed(simulated)
    figure = drawn((OF_POSTERIOR | OF_ANSWER)[name](posterior))
    text = words(figure)
    assert "[bold]%s" in text
    assert "\u202e" not in text
    assert max(map(len, text.splitlines())) < 130
    # nothing of it hangs out of the figure
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 > -0.3
    assert box.x1 < width + 0.3
    assert box.y1 < height + 0.3


@pytest.mark.parametrize("name", ["measured", "optimal_sparsity", "isoflops"])
def test_hostile_names_are_not_left_out(simulated, name):
    """matplotlib leaves labels that begin with an underscore out of legends."""
    text = words(drawn(OF_POSTERIOR[name](renamed(simulated))))
    assert "hidden" in text
    assert len(HOSTILE["vision"]) > 300


@pytest.mark.parametrize("name", OF_POSTERIOR)
def test_both_strategies(starts, name):
    drawn(OF_POSTERIOR[name](starts))


@pytest.mark.parametrize("name", OF_POSTERIOR)
@pytest.mark.parametrize("prob", [0, 1, 1.5])
def test_probabilities_are_checked(single, name, prob):
    with pytest.raises(bs.InputError, match="prob"):
        OF_POSTERIOR[name](single, prob=prob)


@pytest.mark.parametrize("name", OF_POSTERIOR)
def test_the_probability_is_in_the_picture(single, name):
    text = words(drawn(OF_POSTERIOR[name](single, prob=0.62)))
    assert "62%" in text or "0.62" in text


@pytest.mark.parametrize("name", [*OF_POSTERIOR, *OF_ANSWER])
def test_a_posterior_that_failed_its_gate_says_so_in_every_picture(single, distrusted, name):
    plot = (OF_POSTERIOR | OF_ANSWER)[name]
    assert "Do not trust" not in words(drawn(plot(single)))
    assert "Do not trust this posterior: R-hat is 1.213" in " ".join(words(drawn(plot(distrusted))).split("\n"))


@pytest.mark.parametrize("law", laws.names())
def test_every_law_has_its_pictures(of_law, law):
    posterior = of_law(law)
    for name, plot in OF_POSTERIOR.items():
        if law in DENSE and name in NOT_DENSE:
            with pytest.raises(bs.InputError, match=f"law '{law}' is about dense models"):
                plot(posterior)
            continue
        figure = drawn(plot(posterior))
        assert all(np.isfinite(ax.get_xlim()).all() and np.isfinite(ax.get_ylim()).all() for ax in figure.axes), name
        plt.close("all")


def test_real_runs(frantar):
    for name, plot in OF_POSTERIOR.items():
        figure = drawn(plot(frantar))
        box = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        assert box.x0 > -0.3, name
        assert box.x1 < width + 0.3, name
        assert box.y1 < height + 0.3, name
        plt.close("all")


def test_pictures_open_no_window_and_are_saved(single, tmp_path):
    before = plt.get_fignums()
    for name, plot in OF_POSTERIOR.items():
        plot(single).savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
    assert len(plt.get_fignums()) <= len(before) + len(OF_POSTERIOR)
