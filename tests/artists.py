"""What pictures hold, read off their artists."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.container import ErrorbarContainer
from matplotlib.text import Text

HOSTILE = {
    "language": r"cost $x_{$ and [bold]%s",
    "vision": "_hidden <b> 視覚 $ " + "very long " * 30 + "\n\u202eשפה\x00 end",
}
"""Names that try to break pictures."""


def figure_of(picture):
    """The figure, of ArviZ's pictures too."""
    return picture.viz["figure"].item() if hasattr(picture, "viz") else picture


def drawn(picture):
    figure = figure_of(picture)
    figure.canvas.draw()  # what text cannot be laid out fails here
    return figure


def words(figure):
    """All text of a figure."""
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def _edges(ax, hatched):
    found = []
    for band in ax.collections:
        if isinstance(band, FillBetweenPolyCollection) and bool(band.get_hatch()) == hatched:
            vertices = np.concatenate([path.vertices for path in band.get_paths()])
            x = np.unique(vertices[:, 0])
            edges = [(vertices[vertices[:, 0] == at, 1].min(), vertices[vertices[:, 0] == at, 1].max()) for at in x]
            found.append((x, *np.array(edges).T))
    return found


def bands(ax):
    """Lower and upper edge of each band of an axes, over its x."""
    return _edges(ax, hatched=False)


def hatches(ax):
    """Where bands are hatched, as `bands`."""
    return _edges(ax, hatched=True)


def medians(ax):
    """The dashed line of each band, which is there inside the runs and beyond, and what of it is drawn solid."""
    dashed = [line for line in ax.lines if line.get_linestyle() == "--" and len(line.get_xdata()) > 2]
    solid = [line for line in ax.lines if line.get_linestyle() == "-" and len(line.get_xdata()) > 2]
    return [(line.get_ydata(), other.get_ydata()) for line, other in zip(dashed, solid, strict=True)]


def errorbars(ax):
    """Centre and both ends of the bar of every point of an axes that has one, each of shape (point, 2)."""
    found = []
    for bars in (c for c in ax.containers if isinstance(c, ErrorbarContainer)):
        centre = np.column_stack([np.atleast_1d(values).astype(float) for values in bars.lines[0].get_data()])
        ends = np.array(bars.lines[2][0].get_segments()).reshape(-1, 2, 2)
        found.append((centre, ends[:, 0], ends[:, 1]))
    return [np.concatenate(each) for each in zip(*found, strict=True)]


def legend_labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def points(ax, marker=None):
    """All points of an axes that no line joins, as an array of shape (point, 2)."""
    lines = [line for line in ax.lines if line.get_linestyle() == "None" and marker in (None, line.get_marker())]
    return np.concatenate([np.column_stack(line.get_data()) for line in lines]) if lines else np.empty((0, 2))


def renamed(posterior):
    """The posterior with modalities whose names try to break pictures."""
    other = posterior.copy(deep=True)
    for group in ("posterior", "prior", "unseen_structure", "discrepancy"):
        dataset = other[group].to_dataset()
        names = [HOSTILE[name] for name in dataset["modality"].to_numpy().tolist()]
        other[group] = dataset.assign_coords(modality=names)
    for group in ("constant_data", "runs"):
        dataset = other[group].to_dataset()
        names = np.array([HOSTILE[name] for name in dataset["modality"].to_numpy().tolist()])
        other[group] = dataset.assign(modality=dataset["modality"].copy(data=names))
    return other


def close():
    plt.close("all")
