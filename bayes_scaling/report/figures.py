"""Static figures of the page, from `plots`, as PNG inside it: what it shows without JavaScript and on paper."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import xarray as xr

from bayes_scaling.groups import law_of
from bayes_scaling.plots import plot_exponents, plot_measured, plot_optimal_sparsity, plot_prior_predictive
from bayes_scaling.report.opening import Opening

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture", "pictures"]

DPI = 110


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it.

    Attributes
    ----------
    png : str
        Base64.
    caption : str
        What it shows, which is its text for those who do not see it, too.
    """

    png: str
    caption: str


def pictures(posterior: xr.DataTree, opening: Opening) -> dict[str, Picture]:
    """Figures by name, without those that its law has nothing to say about or whose groups are not there.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    opening : Opening
        Whose question `optimal` is about.
    """
    question, prob = opening.of(opening.modality), opening.prob

    def optimal() -> "Figure":
        return plot_optimal_sparsity(
            posterior,
            float(question.nonzero_params),
            modality=opening.modality,
            structure=opening.structure,
            cost=opening.cost,
            flops_per_unit=opening.per_unit(opening.modality),
            prob=prob,
        )

    wanted: dict[str, tuple[tuple[str, ...], Callable[[], Any], str]] = {
        "optimal": ((), optimal, "Optimal sparsity over the training budget, at the size that is asked about."),
        "measured": (
            ("observed_data", "posterior_predictive"),
            lambda: plot_measured(posterior, prob=prob),
            f"Predicted against measured loss of the runs that were fitted; about {prob:.0%} of the intervals should "
            "cross the line.",
        ),
        "exponents": (
            (),
            lambda: plot_exponents(posterior, prob=prob).viz["figure"].item(),
            "The law's exponents and other pure numbers.",
        ),
        "prior": (
            ("prior", "observed_data"),
            lambda: plot_prior_predictive(posterior, prob=prob),
            "What the priors alone expected, and the runs.",
        ),
    }
    if not law_of(posterior).prunes:
        del wanted["optimal"]
    return {
        name: Picture(_png(draw()), caption)
        for name, (groups, draw, caption) in wanted.items()
        if all(group in posterior.children for group in groups)
    }


def _png(figure: "Figure") -> str:
    import matplotlib.pyplot as plt

    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI)
    plt.close(figure)
    return base64.b64encode(out.getvalue()).decode()
