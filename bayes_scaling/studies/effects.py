"""What regularisers and the diversity of data do to the spectra of weights, and which of them do alike.

Figures of every matrix are regressed on the knobs that runs differ in, together: an effect is how far a figure moves
from a knob's least to its most value, in standard deviations over runs of the figure's mean over matrices. Every step
between two values of a knob has an effect of its own, of which this is the sum: nothing is assumed of the way between.
Matrices have effects of their own around their mean, and so have seeds; what a run adds is correlated between its
figures and shared by its matrices. The question is that of Ba, Mancenido and Pan (arXiv:2410.14602): do more diverse
data move spectra as dropout does, and unlike weight decay?
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.intervals import PROB
from bayes_scaling.notes import Note
from bayes_scaling.studies.effects_model import LAW, study
from bayes_scaling.studies.effects_table import DATA, FIGURES, KNOBS, knobs_of, load, table
from bayes_scaling.studies.fitting import check_settings, fit_study, settings_of

__all__ = [
    "FIGURES",
    "KNOBS",
    "LATEX",
    "REFERENCE",
    "check_knobs",
    "fit",
    "knobs_of",
    "load",
    "probability_closer",
    "similarity",
    "table",
]

REFERENCE = "after Ba, Mancenido, Pan (2024), arXiv:2410.14602"
LATEX = r"y_{rfm} = a_{fm} + \sum_s x_{rs} (b_{sf} + \delta_{sfm}) + u_{rf} + e_{rfm}"


def fit(
    source: Any,
    columns: Mapping[str, str] | None = None,
    *,
    seed: int = 0,
    draws: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    progressbar: bool = True,
) -> xr.DataTree:
    """Fit the hierarchical regression of spectral figures on knobs.

    Parameters
    ----------
    source : path, DataFrame, Dataset or list of dict
        As `load` reads it.
    columns : dict of str to str, optional
        Their names to ours.
    seed : int
        Seed of all random numbers.
    draws, chains : int
        Draws kept per chain; number of chains.
    cores : int, optional
        Chains run at a time; as many as there are processors unless said.
    progressbar : bool
        Whether to show progress on stderr, where that is a terminal.

    Returns
    -------
    DataTree
        An ArviZ posterior. ``effect`` over ``knob`` and ``figure``: from least to most value, of the mean over
        matrices, in standard deviations of that mean over runs (``scale`` of the group ``runs`` says how much that
        is); ``matrix_effect`` over ``matrix`` too; ``step_effect`` over ``step`` (from one value of a knob to the
        next), ``figure`` and ``matrix``; ``knob_spread`` and ``matrix_spread`` over ``knob``; ``sigma`` and
        ``sigma_within`` over ``figure``: noise of a run's mean, and of its matrices around it. Law, settings,
        diagnostics and notes are JSON in its attributes.

    Raises
    ------
    InputError
        If a setting is out of range or the table is wrong.
    """
    check_settings(seed=seed, draws=draws, chains=chains)
    runs = load(source, columns)
    settings = {"seed": seed, "draws": draws, "chains": chains}
    return fit_study(study(runs), runs, settings, cores=cores, progressbar=progressbar, notes=_notes)


def _notes(posterior: xr.DataTree) -> Iterable[Note]:
    """Knobs that move no figure: what they do alike is not known."""
    effect = posterior["posterior"]["effect"]
    tail = (1 - PROB) / 2
    low, high = effect.quantile([tail, 1 - tail], ("chain", "draw"))
    moved = ((low > 0) | (high < 0)).any("figure")
    still = [str(knob) for knob in effect["knob"].to_numpy() if not bool(moved.sel(knob=knob))]
    if still:
        message = (
            f"{', '.join(still)} moved no figure beyond doubt ({PROB:.0%} intervals of all effects hold 0): in which "
            "direction is not known, and neither is what it resembles."
        )
        yield Note("no_effect_seen", "warning", message, {"knobs": ", ".join(still)}, {"knobs": len(still)})


def check_knobs(known: Iterable[str], *names: str) -> None:
    """Refuse names that are no knob that runs differ in, or one knob twice.

    Parameters
    ----------
    known : iterable of str
        Of the posterior, or of a table about to be fitted.
    *names : str

    Raises
    ------
    InputError
        If there is one.
    """
    for name in names:
        if name not in known:
            raise InputError(f"there is no knob {name!r}; runs differ in {', '.join(known)}")
    if len(set(names)) < len(names):
        raise InputError(f"{', '.join(names)} are not {len(names)} different knobs")


def similarity(posterior: xr.DataTree, knob: str = DATA, figures: Iterable[str] | None = None) -> xr.DataArray:
    """How alike a knob and each other one move the figures: the cosine between their effects.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    knob : str
        The one that others are compared with; how many distinct data there are, unless said.
    figures : iterable of str, optional
        Two or more figures to look at; all unless said.

    Returns
    -------
    DataArray
        Over ``chain``, ``draw`` and ``knob``, those that it is compared with: 1 where all figures move in proportion,
        -1 where they do so the other way round.

    Raises
    ------
    InputError
        If the posterior is of something else or has no such knob or figures.
    """
    settings_of(posterior, LAW)
    effect = posterior["posterior"]["effect"]
    known = effect["knob"].to_numpy().tolist(), effect["figure"].to_numpy().tolist()
    check_knobs(known[0], knob)
    wanted = known[1] if figures is None else list(figures)
    if len(set(wanted)) < 2 or not set(wanted) <= set(known[1]):
        raise InputError(f"figures are {', '.join(wanted)}; they are two or more of {', '.join(known[1])}")
    effect = effect.sel(figure=wanted)
    one = effect.sel(knob=knob, drop=True)
    others = effect.sel(knob=[name for name in known[0] if name != knob])
    lengths = np.sqrt((one**2).sum("figure") * (others**2).sum("figure"))
    return ((one * others).sum("figure") / lengths).rename("similarity")


def probability_closer(
    posterior: xr.DataTree, knob: str, nearer: str, farther: str, figures: Iterable[str] | None = None
) -> float:
    """How probable it is that a knob moves figures more like one knob than like another.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    knob, nearer, farther : str
        As ``data``, ``dropout`` and ``weight_decay`` in arXiv:2410.14602.
    figures : iterable of str, optional
        As of `similarity`.

    Raises
    ------
    InputError
        If the posterior is of something else or lacks a knob or figures, or it is one knob twice.
    """
    settings_of(posterior, LAW)
    check_knobs(posterior["posterior"]["knob"].to_numpy().tolist(), knob, nearer, farther)
    found = similarity(posterior, knob, figures)
    return float((found.sel(knob=nearer) > found.sel(knob=farther)).mean())
