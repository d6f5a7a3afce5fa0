import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from artists import words

from bayes_scaling.notes import Note
from bayes_scaling.plots.axes import log_ticks, power
from bayes_scaling.plots.style import COLOURS, distinct, look_of, panels, percent, shades, text, warn


def test_names_are_short_plain_and_stay_in_place():
    assert text("language") == "language"
    assert text("$a_$") == r"\$a_\$"
    assert text("_hidden").startswith(" _")
    assert len(text("x" * 500)) <= 32
    assert text("first " * 50 + "last").endswith("last")
    assert text("two\nlines\x00") == "two lines"
    assert text("\u202eevil") == "evil"
    assert text("שפה") == "\u2068שפה\u2069"


def test_shortened_names_stay_apart():
    names = ["x" * 100, "x" * 101, "y"]
    assert len(set(distinct(names))) == 3


@pytest.mark.parametrize(("prob", "shown"), [(0.89, "89%"), (0.5, "50%"), (0.995, "99.5%"), (0.445, "44.5%")])
def test_a_probability_keeps_its_digits(prob, shown):
    assert percent(prob) == shown


def _seen(colour, blindness):
    """A colour as somebody sees it who lacks one kind of cone (Viénot, Brettel and Mollon, 1999), in linear RGB."""
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
    lost = {
        "protanopia": [[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]],
        "deuteranopia": [[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]],
    }
    return np.linalg.inv(to_lms) @ np.array(lost[blindness]) @ to_lms @ linear


@pytest.mark.parametrize("blindness", ["protanopia", "deuteranopia"])
def test_colours_differ_for_colour_blind_readers(blindness):
    seen = [_seen(colour, blindness) for colour in COLOURS]
    closest = min(np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[i + 1 :])
    red_and_green = [_seen(colour, blindness) for colour in ("#A05000", "#606800")]
    assert closest > 0.1
    assert np.linalg.norm(red_and_green[0] - red_and_green[1]) < 0.05  # the measure tells bad choices


def test_looks_differ_in_marker_too_and_levels_in_lightness():
    looks = look_of([f"s{i}" for i in range(7)])
    assert len({look["marker"] for look in looks.values()}) == 7
    light = [np.dot(look["color"][:3], [0.299, 0.587, 0.114]) for look in shades(5)]
    assert (np.diff(light) > 0.05).all()


@pytest.mark.parametrize(("low", "high"), [(1.6e10, 6.6e10), (1e6, 1e8), (1e3, 1e12), (3e5, 4e5)])
def test_logarithmic_axes_have_a_few_ticks_that_do_not_overlap(low, high):
    figure, (ax,) = panels(1)
    ax.plot([low, high], [low, high])
    ax.set(xscale="log", yscale="log")
    log_ticks(ax.xaxis, "count")
    log_ticks(ax.yaxis, "flops")
    figure.canvas.draw()
    for axis in (ax.xaxis, ax.yaxis):
        left, right = axis.get_view_interval()
        shown = [
            label for label, at in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True) if left <= at <= right
        ]
        assert 1 < len(shown) <= 8
        assert all(label.get_text() for label in shown)
        boxes = [label.get_window_extent() for label in shown]
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))
    plt.close(figure)


def test_large_numbers_have_powers_of_ten():
    assert power(8.3e18) == r"$8.3 \times 10^{18}$"


def test_panels_wrap():
    figure, axes = panels(6)
    assert len(axes) == len(figure.axes) == 6
    assert len({ax.get_subplotspec().rowspan.start for ax in axes}) == 2
    plt.close(figure)


def test_only_errors_are_warned_of():
    figure, _ = panels(1)
    warn(figure, [Note("a", "warning", "Mind the runs.")])
    assert "Mind" not in words(figure)
    warn(figure, [Note("gate_ess", "error", "Do not trust this posterior: $5 of ESS."), Note("b", "info", "Fine.")])
    assert r"Do not trust this posterior: \$5 of ESS." in words(figure)
    figure.canvas.draw()
    plt.close(figure)
