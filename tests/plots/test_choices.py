import numpy as np
import pytest
from artists import drawn, words

import bayes_scaling as bs


@pytest.fixture(scope="module")
def asked(simulated):
    point = bs.laws.get("sparse").published["t5-c4"].coefficients
    return bs.recommend(simulated, 6.4e8, 1e21, "language", prob=0.8, point=point)


def test_bars_are_the_answers(asked):
    figure = drawn(bs.plot_choices(asked))
    rows = np.reshape(figure.axes, (2, 2))
    for (left, right), answer in zip(rows, asked.answers, strict=True):
        assert left.get_title() == f"language, {answer.structure}"
        heights = [bar.get_height() for bar in left.patches]
        np.testing.assert_allclose(heights, [c["probability_best"] for c in answer.choices])
        assert sum(heights) == pytest.approx(1)
        shown = [label.get_text() for label in left.get_xticklabels()]
        assert shown == ["dense", *(f"{c['sparsity']:.3g}" for c in answer.choices[1:])]
        widths = [bar.get_width() for bar in right.patches]
        theirs = answer.stakes["point"]["expected_regret"]
        np.testing.assert_allclose(widths, [answer.stakes["regret_of_dense"], theirs, answer.expected_regret])
        (line,) = right.lines
        assert line.get_xdata()[0] == answer.stakes["perfect_information"]["loss"]
        best = answer.optimal_sparsity
        assert f"[{best['lower']:.3f}, {best['upper']:.3f}], 80%" in right.get_title()
        assert "unit of the loss" in right.get_xlabel()


def test_structures_of_one_modality_have_one_scale_and_dense_is_called_so(simulated):
    figure = drawn(bs.plot_choices(bs.recommend(simulated, 6.4e8, 1e19, "language")))
    right = figure.axes[1::2]
    assert len({ax.get_xlim() for ax in right}) == 1
    low, high = right[0].get_xlim()
    widths = [bar.get_width() for ax in right for bar in ax.patches]
    assert low <= min(widths) <= max(widths) <= high
    assert "recommended\ndense" in words(figure)
    assert "0.000\n" not in words(figure)


def test_an_action_beyond_the_runs_is_hatched(asked, simulated):
    figure = drawn(bs.plot_choices(asked))
    right = figure.axes[1]
    assert [bool(bar.get_hatch()) for bar in right.patches] == [False, False, True]
    assert "beyond the runs" in words(figure)
    inside = drawn(bs.plot_choices(bs.recommend(simulated, 1.6e7, 6 * 1.6e7 * 4e9 * 1.5, "language", "unstructured")))
    assert not any(bar.get_hatch() for ax in inside.axes for bar in ax.patches)
    assert "beyond" not in words(inside)


def test_a_dense_law_chooses_among_one(of_law):
    answer = bs.recommend(of_law("dense"), 1e8, 1e19, "language", "unstructured")
    left, _ = drawn(bs.plot_choices(answer)).axes
    assert [label.get_text() for label in left.get_xticklabels()] == ["dense"]


def test_what_is_no_recommendation_is_refused(single):
    with pytest.raises(bs.InputError, match=r"DataTree; it comes from bayes_scaling\.recommend"):
        bs.plot_choices(single)
