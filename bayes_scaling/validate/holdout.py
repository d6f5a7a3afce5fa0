"""Runs held out of one's own sweep, predicted by what is left of it, and scored."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from bayes_scaling import laws
from bayes_scaling.design import FEWEST_RUNS, grouped
from bayes_scaling.errors import InputError
from bayes_scaling.fit import DEFAULT_LAW
from bayes_scaling.intervals import PROB, check_prob
from bayes_scaling.laws.base import Law
from bayes_scaling.notes import Note
from bayes_scaling.priors import stated
from bayes_scaling.progress import Progress
from bayes_scaling.runs import diverged, load_runs
from bayes_scaling.threads import one_blas_thread
from bayes_scaling.validate import folds as parts
from bayes_scaling.validate.predictions import Against, predictions_of
from bayes_scaling.validate.result import Holdout, farthest, scores_of

__all__ = [
    "Split",
    "finished_runs",
    "holdout",
    "how_to_predict",
    "kfold",
    "random_split",
    "scale_held_out",
    "scored",
]

Side = Literal["largest", "smallest"]


def holdout(
    runs: Any,
    law: str | None = None,
    *,
    by: str = "nonzero_params",
    levels: int | None = None,
    fraction: float | None = None,
    side: Side = "largest",
    prob: float = PROB,
    seed: int = 0,
    against: Sequence[Against] = ("bootstrap",),
    group: str = "modality",
    prior: Mapping[str, Any] | None = None,
    discrepancy: bool = True,
    progressbar: bool = True,
) -> Holdout:
    """Hold the largest runs out, fit the rest, and score the predictions of those held out.

    This is what a scaling law is for: small runs predict large ones. Runs at one level share what the law gets wrong
    there, so their coverage is much less certain than their number says; repeat it with other axes.

    Parameters
    ----------
    runs : Dataset, DataFrame, path or list of dict
        A run table, or anything that `load_runs` takes; diverged runs are set aside.
    law : str, optional
        Name of the law; that of `fit` unless said.
    by : str
        The axis: ``nonzero_params``, ``data_seen``, ``sparsity``, ``train_flops`` (6 N D times the multiplier of
        gradual pruning in a modality where not every run has recorded it), or another column of numbers.
    levels : int, optional
        How many levels of the axis are held out in each modality; 1 unless said. Counts within 10 % are one level.
    fraction : float, optional
        Instead of levels: the share of each modality's runs to hold out, in (0, 1). Equal values stay together.
    side : {"largest", "smallest"}
        Which end of the axis is held out.
    prob : float
        Probability of the intervals.
    seed : int
        Seed of all random numbers.
    against : sequence of {"bootstrap"}
        What else predicts the same runs: ``bootstrap`` refits the robust point estimate to resampled residuals
        (`bayes_scaling.point_fit`).
    group : str
        The column whose values are the groups of comparable losses.
    prior : dict of pymc_extras.prior.Prior, optional
        As `fit` takes it.
    discrepancy : bool
        Whether predictions carry what the law may miss beyond the runs kept, as those of `fit` do.
    progressbar : bool
        Whether to show progress on stderr, where that is a terminal.

    Returns
    -------
    Holdout

    Raises
    ------
    InputError
        If the law, the axis or the group is not known, a setting is out of range, every modality has too few levels to
        hold any out, or fewer runs are left than a fit can bear.
    """
    known_law = laws.get(law or DEFAULT_LAW)
    how = how_to_predict(prob, seed, against, discrepancy) | {"prior": stated(prior, known_law)}
    finished = finished_runs(runs, group)
    return scored(finished, known_law, scale_held_out(finished, by, levels, fraction, side), progressbar, **how)


def kfold(
    runs: Any,
    law: str | None = None,
    *,
    folds: int | None = None,
    by: str | None = None,
    prob: float = PROB,
    seed: int = 0,
    against: Sequence[Against] = ("bootstrap",),
    group: str = "modality",
    prior: Mapping[str, Any] | None = None,
    discrepancy: bool = True,
    progressbar: bool = True,
) -> Holdout:
    """Hold every run out once, in random folds or one level of a column after the other.

    Random folds ask for what lies between runs, where any flexible law does well; `holdout` asks for what lies beyond.

    Parameters
    ----------
    runs, law, prob, seed, against, group, prior, discrepancy, progressbar
        As `holdout` takes them.
    folds : int, optional
        Number of random folds, each with its share of every modality; 5 unless said.
    by : str, optional
        Instead of random folds: the column whose levels are left out one after the other. Numbers go by their rank
        within each modality; of ``structure`` the sparse runs are left out and answered from the population.

    Returns
    -------
    Holdout

    Raises
    ------
    InputError
        As `holdout`, and if leaving a level out would leave nothing of a modality, whose losses no other tells.
    """
    known_law = laws.get(law or DEFAULT_LAW)
    how = how_to_predict(prob, seed, against, discrepancy) | {"prior": stated(prior, known_law)}
    if folds is not None and by is not None:
        raise InputError(f"folds is {folds} and by is {by!r}; one of the two is allowed")
    finished = finished_runs(runs, group)
    split = random_split(finished, 5 if folds is None else folds, seed) if by is None else _level_by_level(finished, by)
    return scored(finished, known_law, split, progressbar, **how)


@dataclass(frozen=True)
class Split:
    """Runs to hold out, once or again and again.

    Attributes
    ----------
    words : str
        Which runs are held out, for people.
    folds : sequence of (str, ndarray of bool of shape (run,))
        Name of each fold, and the runs held out in it.
    by : str, optional
        The column that they are held out by.
    notes : list of Note
    """

    words: str
    folds: Sequence[tuple[str, np.ndarray]]
    by: str | None = None
    notes: Sequence[Note] = ()


def scale_held_out(
    runs: xr.Dataset, by: str, levels: int | None = None, fraction: float | None = None, side: str = "largest"
) -> Split:
    """The runs at one end of an axis, as `holdout` takes it.

    Raises
    ------
    InputError
        If a setting is out of range, or no modality has runs to hold out.
    """
    if levels is not None and fraction is not None:
        raise InputError(f"levels is {levels} and fraction is {fraction}; one of the two is allowed")
    if levels is not None and levels < 1:
        raise InputError(f"levels is {levels}; it is a whole number of at least 1")
    if fraction is not None and not 0 < fraction < 1:
        raise InputError(f"fraction is {fraction}; it lies between 0 and 1")
    if side not in get_args(Side):
        raise InputError(f"side is {side!r}; it is one of {', '.join(get_args(Side))}")
    if fraction is None:
        held, notes = parts.beyond_levels(runs, by, levels or 1, side)
        words = f"the {side} {'level' if (levels or 1) == 1 else f'{levels} levels'} of {by}"
    else:
        held, notes = parts.beyond_share(runs, by, fraction, side)
        words = f"the {side} {fraction:.0%} of {by}"
    return Split(words, [(words, held)], by, notes)


def random_split(runs: xr.Dataset, folds: int, seed: int) -> Split:
    """Every run once, in random folds.

    Raises
    ------
    InputError
        If there are fewer than two folds, or more than runs.
    """
    chosen = parts.random_folds(runs, folds, seed)
    return Split(f"{len(chosen)} random folds", chosen)


def _level_by_level(runs: xr.Dataset, by: str) -> Split:
    chosen, notes = parts.every_level(runs, by)
    return Split(f"one level of {by} after the other", chosen, by, notes)


def how_to_predict(prob: float, seed: int, against: Sequence[str], discrepancy: bool) -> dict[str, Any]:
    """How to predict, with what is out of range refused."""
    check_prob(prob)
    if seed < 0:
        raise InputError(f"seed is {seed}; it is a whole number of at least 0")
    allowed = get_args(Against)
    if isinstance(against, str) or not set(against) <= set(allowed):
        raise InputError(f"against is {against!r}; it is a list of any of {', '.join(allowed)}")
    return {"prob": prob, "seed": seed, "against": tuple(against), "discrepancy": discrepancy}


def finished_runs(runs: Any, group: str) -> xr.Dataset:
    """The runs to hold out from: grouped, without diverged ones."""
    table = load_runs(grouped(load_runs(runs), group))
    return table.isel(run=np.flatnonzero(~diverged(table).to_numpy()))


def scored(
    runs: xr.Dataset,
    law: Law,
    split: Split,
    progressbar: bool,
    known: MutableMapping[str, dict[str, xr.DataTree]] | None = None,
    **how: Any,
) -> Holdout:
    """Refit without each fold in turn, and put the predictions together.

    Parameters
    ----------
    runs : Dataset
        Finished runs.
    law : Law
    split : Split
    progressbar : bool
    known : dict, optional
        By name of the fold, refits that were made for other laws; more are added.
    **how
        From `how_to_predict`.

    Raises
    ------
    InputError
        If fewer runs are left than a fit can bear, or none of a modality.
    """
    for name, held in split.folds:
        if (left := int((~held).sum())) < FEWEST_RUNS:
            raise InputError(
                f"{runs.attrs.get('source', 'the run table')}: without {name}, {left} of {held.size} runs are left, "
                f"and a fit needs at least {FEWEST_RUNS}"
            )
        modality = runs["modality"].to_numpy()
        if gone := sorted(set(modality[held].tolist()) - set(modality[~held].tolist())):
            raise InputError(
                f"{runs.attrs.get('source', 'the run table')}: without {name}, no run of {gone[0]} is left, and those "
                "of other modalities say nothing of its loss"
            )
    by = split.by
    found, fits, said = [], [], list(split.notes)
    with one_blas_thread(), Progress(progressbar) as progress:
        for i, (name, held) in enumerate(split.folds):
            progress.say(f"law {law.name}, refit {i + 1} of {len(split.folds)}: without {name}")
            kept, out = (runs.isel(run=np.flatnonzero(which)) for which in (~held, held))
            predicted, fit, more = predictions_of(
                kept, out, law, known=None if known is None else known.setdefault(name, {}), **how
            )
            found.append(predicted.assign(fold=("run", np.full(out.sizes["run"], name))))
            fits.append({"fold": name, "kept": kept.sizes["run"], "held_out": out.sizes["run"]} | fit)
            if by is not None and not parts.is_text(runs, by):
                few = parts.few_levels_notes(kept, by, np.unique(out["modality"].to_numpy()).tolist())
                # The design's own notes say the same of size and data.
                more = few + [note for note in more if note.about.get("column") != by or "level" not in note.code]
            said += more
    predictions = xr.concat(found, dim="run")
    prob = how["prob"]
    return Holdout(
        law=law.name,
        held_out=split.words,
        prob=prob,
        scores=scores_of(predictions, prob),
        beyond=farthest(predictions),
        fits=fits,
        notes=list(dict.fromkeys(said)),
        predictions=predictions.assign_attrs(law=law.name, held_out=split.words, prob=prob),
    )
