"""What all pictures have in common: a new one is held to it by being in the list."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from artists import HOSTILE, bands, drawn, figure_of, renamed, words

import bayes_scaling as bs
from bayes_scaling import laws
from bayes_scaling.refit import refit

ROUTED = {"routed": "is no function of data_seen", "routed_data": "cost 'gradual' is of another kind of sparsity"}
"""Laws of mixtures of experts, and why pictures of what a budget buys refuse them."""
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
    elsewhere = {"coverage", "learning_curves"}
    elsewhere |= {"steps", "mixture", "descent", "transfer", "rectified", "effects"}  # with the studies
    assert public == set(OF_POSTERIOR) | set(OF_ANSWER) | elsewhere


def fits(figure):
    """Whether nothing hangs out of the figure."""
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    return box.x0 > -0.3 and box.y0 > -0.3 and box.x1 < width + 0.3 and box.y1 < height + 0.3


@pytest.mark.filterwarnings("ignore:Glyph")  # the font that is always there has no Chinese
@pytest.mark.parametrize("name", [*OF_POSTERIOR, *OF_ANSWER])
def test_hostile_names(few, name):
    figure = drawn((OF_POSTERIOR | OF_ANSWER)[name](renamed(few)))
    text = words(figure)
    assert "[bold]%s" in text
    assert "\u202e" not in text
    assert max(map(len, text.splitlines())) < 130
    assert fits(figure)
    if len(figure.axes) > 1 and name not in ("optimal_map", "next_runs"):  # those are of the first modality
        assert "hidden" in text  # matplotlib leaves labels that begin with an underscore out of legends
    assert len(HOSTILE["vision"]) > 300


@pytest.mark.parametrize("name", OF_POSTERIOR)
def test_both_strategies(few_starts, name):
    assert figure_of(OF_POSTERIOR[name](few_starts)).axes


@pytest.mark.parametrize("name", OF_POSTERIOR)
@pytest.mark.parametrize("prob", [0, 1, 1.5])
def test_probabilities_are_checked(few, name, prob):
    with pytest.raises(bs.InputError, match="prob"):
        OF_POSTERIOR[name](few, prob=prob)


@pytest.mark.parametrize("name", OF_POSTERIOR)
def test_the_probability_is_in_the_picture(few, name):
    text = words(figure_of(OF_POSTERIOR[name](few, prob=0.62)))
    assert "62%" in text or "0.62" in text
    assert "Do not trust" not in text


@pytest.mark.parametrize("name", [*OF_POSTERIOR, *OF_ANSWER])
def test_a_posterior_that_failed_its_gate_says_so_in_every_picture(distrusted, name, tmp_path):
    before = plt.get_fignums()
    picture = (OF_POSTERIOR | OF_ANSWER)[name](distrusted)
    picture.savefig(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5000
    assert "Do not trust this posterior: R-hat is 1.213" in words(figure_of(picture)).replace("\n", " ")
    assert fits(figure_of(picture))
    assert len(plt.get_fignums()) == len(before) + 1


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # draws of a prior have losses beyond all numbers
@pytest.mark.parametrize("law", ROUTED)
def test_laws_of_experts_have_all_pictures_but_those_of_budgets(of_law, law):
    posterior = of_law(law)
    for name in ("losses", "residuals", "exponents"):
        assert figure_of(OF_POSTERIOR[name](posterior)).axes
    assert figure_of(bs.plot_dense_equivalent(posterior, nonzero_params=1e6)).axes
    with pytest.raises(bs.InputError, match="depends on size, and nonzero_params is not given"):
        bs.plot_dense_equivalent(posterior)
    for name in ("isoflops", "optimal_sparsity", "optimal_map"):
        with pytest.raises(bs.InputError, match=ROUTED[law]):
            OF_POSTERIOR[name](posterior)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # draws of a prior have losses beyond all numbers
@pytest.mark.parametrize("law", [name for name in laws.names() if name not in ROUTED])
def test_every_law_has_its_pictures(of_law, law):
    posterior = of_law(law)
    for name in ("losses", "isoflops", "residuals", "exponents", *sorted(NOT_DENSE)):
        if law in DENSE and name in NOT_DENSE:
            with pytest.raises(bs.InputError, match=f"law '{law}' is about dense models"):
                OF_POSTERIOR[name](posterior)
        else:
            assert figure_of(OF_POSTERIOR[name](posterior)).axes


def test_real_runs(frantar_runs):
    """T5 and ViT: every picture of a quick posterior, and multipliers of a fit to each level by itself."""
    posterior = refit(frantar_runs, laws.get("sparse"), seed=0, draws=500)
    for name in ("losses", "isoflops"):
        assert fits(drawn(OF_POSTERIOR[name](posterior))), name
    free = {"language": [1.769, 2.280, 2.502], "vision": [1.547, 2.197, 2.657]}
    figure = drawn(bs.plot_dense_equivalent(posterior, prob=0.99))
    assert fits(figure)
    for ax in figure.axes:
        ((x, lower, upper),) = bands(ax)
        for sparsity, multiplier in zip((0.5, 0.75, 0.875), free[ax.get_title()], strict=True):
            low, high = (np.interp(sparsity, x, edge) for edge in (lower, upper))
            assert 0.97 * low < multiplier < 1.03 * high
            assert high < 1.2 * low
