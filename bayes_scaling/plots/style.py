"""What all pictures share: colours that colour-blind readers tell apart, panels, names as text, and warnings."""

import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.notes import Note

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "ALARM",
    "BEYOND",
    "COLOURS",
    "GREY",
    "HATCH",
    "LONGEST",
    "MARKERS",
    "distinct",
    "grid_of",
    "headed",
    "key",
    "look_of",
    "panels",
    "percent",
    "shades",
    "text",
    "warn",
    "warning",
]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which colour-blind readers tell apart."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
ALARM, GREY = "#D55E00", "0.45"
BEYOND, HATCH = "beyond the runs", "////"

LONGEST = 32
"""Characters of a name that are shown; of a longer one, its beginning and its end."""

MOST_COLUMNS = 4
CONTROLS = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of whatever follows."""

ISOLATE, ISOLATED = "\u2068", "\u2069"


def text(name: object, longest: int = LONGEST) -> str:
    """A name as matplotlib shows it.

    There is no mathematics in it, it is one line of at most ``longest`` characters, legends do not leave it out, and
    right-to-left letters do not turn what stands around them.
    """
    shown = "".join(
        " " if c.isspace() else c
        for c in str(name)
        if c.isspace() or (c not in CONTROLS and unicodedata.category(c) not in ("Cc", "Cs"))
    )
    if len(shown) > longest:
        shown = f"{shown[: longest - 12]}…{shown[-11:]}"
    if any(unicodedata.bidirectional(c) in ("R", "AL") for c in shown):
        shown = ISOLATE + shown + ISOLATED
    return (" " if shown.startswith("_") else "") + shown.replace("$", r"\$")


def distinct(names: Iterable[object]) -> list[str]:
    """Names as text, told apart by a number where shortening made them alike."""
    found: list[str] = []
    for name in names:
        shown, again = text(name), 1
        while shown in found:
            again += 1
            shown = f"{text(name)} ({again})"
        found.append(shown)
    return found


def headed(name: object, rest: str) -> str:
    """A title that begins with a name, in two lines where one would be too long for a panel."""
    shown = text(name)
    return f"{shown}: {rest}" if len(shown) + len(rest) < 50 else f"{shown}\n{rest}"


def percent(prob: float) -> str:
    """A probability, as 89%, with as many digits as it has."""
    return f"{100 * prob:.5g}%"


def look_of(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A colour and a marker for each name, dense first, so that no picture depends on colour alone."""
    ordered = sorted(dict.fromkeys(names), key=lambda name: (name != "dense", name))
    return {
        name: {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        for i, name in enumerate(ordered)
    }


def shades(number: int) -> list[dict[str, Any]]:
    """Colours and markers of levels in their order, which also differ in lightness."""
    import matplotlib as mpl

    colours = mpl.colormaps["viridis"](np.linspace(0.0, 0.82, number))
    return [{"color": tuple(colour), "marker": MARKERS[i % len(MARKERS)]} for i, colour in enumerate(colours)]


def panels(number: int, *, width: float = 5.2, height: float = 4.6, **more: Any) -> tuple["Figure", list["Axes"]]:
    """A figure of that many panels, in rows of up to four."""
    rows = -(-number // MOST_COLUMNS)
    figure, axes = grid_of(rows, -(-number // rows), width=width, height=height, **more)
    flat = [ax for row in axes for ax in row]
    for ax in flat[number:]:
        ax.remove()
    return figure, flat[:number]


def grid_of(
    rows: int, columns: int, *, width: float = 4.4, height: float = 3.6, **more: Any
) -> tuple["Figure", list[list["Axes"]]]:
    """A figure of rows of panels; sizes are a panel's, in inches."""
    import matplotlib.pyplot as plt

    size = (width * columns + 0.6, height * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", **more)
    return figure, [list(row) for row in axes]


def key(figure: "Figure", *, band: str = "", beyond: bool = False, runs: str = "", more: Sequence[Any] = ()) -> None:
    """A legend below all panels of what they share.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    band : str
        What a band is, if there are bands.
    beyond : bool
        Whether a part of the picture lies beyond the runs.
    runs : str
        What points are, if there are points.
    more : sequence of matplotlib artists
        With labels of their own.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    if band:
        handles.append(Patch(facecolor=GREY, alpha=0.3, label=band))
    if beyond:
        handles.append(Patch(facecolor="none", edgecolor=GREY, hatch=HATCH, linestyle="--", label=BEYOND))
    if runs:
        handles.append(Line2D([], [], ls="", marker="o", color=GREY, markeredgecolor="white", label=runs))
    handles += more
    if handles:
        columns = max(1, min(len(handles), int(figure.get_figwidth() // 2.4)))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize="small")


def warning(notes: Iterable[Note], width: int = 100) -> str:
    """What notes say against trusting a posterior, in lines; empty where they say nothing."""
    errors = list(dict.fromkeys(note.message for note in notes if note.severity == "error"))
    return "\n".join(line for error in errors for line in textwrap.wrap(error, width)).replace("$", r"\$")


def warn(figure: "Figure", notes: Iterable[Note]) -> None:
    """Say below a picture what speaks against trusting its posterior."""
    said = warning(notes, int(12 * figure.get_figwidth()))
    if said:
        figure.supxlabel(said, color=ALARM, fontsize="medium", fontweight="bold")
