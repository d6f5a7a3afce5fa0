"""Runs held out of one's own sweep, predicted by what is left of it, and scored."""

from collections.abc import Mapping, Sequence
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

__all__ = ["holdout", "kfold"]

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
    how = _checked(prob, seed, against, discrepancy) | {"prior": stated(prior, known_law)}
    if levels is not None and fraction is not None:
        raise InputError(f"levels is {levels} and fraction is {fraction}; one of the two is allowed")
    if levels is not None and levels < 1:
        raise InputError(f"levels is {levels}; it is a whole number of at least 1")
    if fraction is not None and not 0 < fraction < 1:
        raise InputError(f"fraction is {fraction}; it lies between 0 and 1")
    if side not in get_args(Side):
        raise InputError(f"side is {side!r}; it is one of {', '.join(get_args(Side))}")
    finished = _finished(runs, group)
    if fraction is None:
        held, notes = parts.beyond_levels(finished, by, levels or 1, side)
        words = f"the {side} {'level' if (levels or 1) == 1 else f'{levels} levels'} of {by}"
    else:
        held, notes = parts.beyond_share(finished, by, fraction, side)
        words = f"the {side} {fraction:.0%} of {by}"
    return _scored(finished, known_law, [(words, held)], words, by, notes, progressbar, **how)


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
    how = _checked(prob, seed, against, discrepancy) | {"prior": stated(prior, known_law)}
    if folds is not None and by is not None:
        raise InputError(f"folds is {folds} and by is {by!r}; one of the two is allowed")
    finished = _finished(runs, group)
    if by is None:
        chosen = parts.random_folds(finished, 5 if folds is None else folds, seed)
        notes: list[Note] = []
        words = f"{len(chosen)} random folds"
    else:
        chosen, notes = parts.every_level(finished, by)
        words = f"one level of {by} after the other"
    return _scored(finished, known_law, chosen, words, by, notes, progressbar, **how)


def _checked(prob: float, seed: int, against: Sequence[str], discrepancy: bool) -> dict[str, Any]:
    """How to predict, with what is out of range refused."""
    check_prob(prob)
    if seed < 0:
        raise InputError(f"seed is {seed}; it is a whole number of at least 0")
    allowed = get_args(Against)
    if isinstance(against, str) or not set(against) <= set(allowed):
        raise InputError(f"against is {against!r}; it is a list of any of {', '.join(allowed)}")
    return {"prob": prob, "seed": seed, "against": tuple(against), "discrepancy": discrepancy}


def _finished(runs: Any, group: str) -> xr.Dataset:
    table = load_runs(grouped(load_runs(runs), group))
    return table.isel(run=np.flatnonzero(~diverged(table).to_numpy()))


def _scored(
    runs: xr.Dataset,
    law: Law,
    folds: Sequence[tuple[str, np.ndarray]],
    words: str,
    by: str | None,
    notes: Sequence[Note],
    progressbar: bool,
    **how: Any,
) -> Holdout:
    """Refit without each fold in turn, and put the predictions together."""
    for name, held in folds:
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
    found, fits, said = [], [], list(notes)
    with one_blas_thread(), Progress(progressbar) as progress:
        for i, (name, held) in enumerate(folds):
            progress.say(f"refit {i + 1} of {len(folds)}: without {name}")
            kept, out = (runs.isel(run=np.flatnonzero(which)) for which in (~held, held))
            predicted, fit, more = predictions_of(kept, out, law, **how)
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
        held_out=words,
        prob=prob,
        scores=scores_of(predictions, prob),
        beyond=farthest(predictions),
        fits=fits,
        notes=list(dict.fromkeys(said)),
        predictions=predictions.assign_attrs(law=law.name, held_out=words, prob=prob),
    )
