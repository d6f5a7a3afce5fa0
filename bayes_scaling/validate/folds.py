"""Which runs to hold out: the largest levels of an axis, its top fraction, random folds, or one level after the other.

What is held out is chosen in each modality by itself, since sizes and budgets of modalities have little in common.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from bayes_scaling.checks.levels import density, levels
from bayes_scaling.columns import BY_NAME
from bayes_scaling.decide import costs
from bayes_scaling.decide.question import FLOPS_PER_UNIT
from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation import AXES
from bayes_scaling.notes import Note

__all__ = ["beyond_levels", "beyond_share", "every_level", "few_levels_notes", "is_text", "random_folds"]

OUTCOMES = ("loss", "loss_se")
"""Columns that no run may be held out by: what a run gave must not decide whether it is predicted."""


def beyond_levels(runs: xr.Dataset, by: str, count: int, side: str) -> tuple[np.ndarray, list[Note]]:
    """The runs at the last levels of an axis, in each modality.

    Parameters
    ----------
    runs : Dataset
        Finished runs.
    by : str
        The axis; see `values_of`.
    count : int
        How many levels are held out.
    side : {"largest", "smallest"}

    Returns
    -------
    held : ndarray of bool, shape (run,)
    notes : list of Note
        A modality that has no more levels keeps its runs, and a note says so.

    Raises
    ------
    InputError
        If no modality has more levels, or the axis is not known.
    """
    level = levels_of(runs, by)
    held = np.zeros(level.size, dtype=bool)
    kept: dict[str, int] = {}
    for modality, mine in members(runs):
        found = int(level[mine].max()) + 1
        if found <= count:
            kept[modality] = found
            continue
        held[mine] = level[mine] >= found - count if side == "largest" else level[mine] < count
    if not held.any():
        modality, found = next(iter(kept.items()))
        raise InputError(
            f"{_source(runs)}: {modality} has {_levels(found)} of {by}; to hold out {_levels(count)}, it needs "
            f"{count + 1} or more"
        )
    return held, [_not_held(modality, by, found) for modality, found in kept.items()]


def beyond_share(runs: xr.Dataset, by: str, fraction: float, side: str) -> tuple[np.ndarray, list[Note]]:
    """The runs beyond a quantile of an axis, in each modality; runs with equal values stay together.

    Parameters
    ----------
    runs : Dataset
        Finished runs.
    by : str
        The axis; see `values_of`.
    fraction : float
        Share of the modality's runs to hold out; one run at least, and more where values are equal.
    side : {"largest", "smallest"}

    Returns
    -------
    held : ndarray of bool, shape (run,)
    notes : list of Note
        A modality that would lose all its runs keeps them, and a note says so.

    Raises
    ------
    InputError
        If that is so in every modality, or the axis is not known.
    """
    values = values_of(runs, by) * (1 if side == "largest" else -1)
    held = np.zeros(values.size, dtype=bool)
    kept = []
    for modality, mine in members(runs):
        last = np.sort(values[mine])[-max(1, round(fraction * int(mine.sum())))]
        chosen = mine & (values >= last)
        if chosen.sum() == mine.sum():
            kept.append(modality)
            continue
        held |= chosen
    if not held.any():
        raise InputError(
            f"{_source(runs)}: the {side} {fraction:.0%} of {by} are all runs of {kept[0]}, and none would be left"
        )
    return held, [_not_held(modality, by) for modality in kept]


def random_folds(runs: xr.Dataset, folds: int, seed: int) -> list[tuple[str, np.ndarray]]:
    """Parts of equal size, each with its share of every modality's runs.

    Parameters
    ----------
    runs : Dataset
        Finished runs.
    folds : int
    seed : int

    Returns
    -------
    list of (str, ndarray of bool of shape (run,))
        Name of the fold, and the runs held out in it; every run once.

    Raises
    ------
    InputError
        If there are fewer than two folds, or more than runs.
    """
    count = runs.sizes["run"]
    if not 2 <= folds <= count:
        raise InputError(f"folds is {folds}; it is a whole number from 2 to the {count} runs")
    rng = np.random.default_rng([seed, 31])
    # Dealt round, one modality after the other, so that folds are equal in each and altogether.
    dealt = np.concatenate([rng.permutation(np.flatnonzero(mine)) for _, mine in members(runs)])
    fold = np.empty(count, dtype=int)
    fold[dealt] = np.arange(count) % folds
    return [(f"fold {i + 1} of {folds}", fold == i) for i in range(folds)]


def every_level(runs: xr.Dataset, by: str) -> tuple[list[tuple[str, np.ndarray]], list[Note]]:
    """One level of a column after the other.

    The first level of a number is held out in all modalities at once, then the second, and so on. Of a structure the
    sparse runs are held out: at sparsity 0 all structures are the same.

    Parameters
    ----------
    runs : Dataset
        Finished runs.
    by : str
        A column of numbers, as `values_of` takes it, or of text.

    Returns
    -------
    folds : list of (str, ndarray of bool of shape (run,))
    notes : list of Note
        A modality with one level keeps its runs, and a note says so.

    Raises
    ------
    InputError
        If a level is all that a modality has, if there is one level only, or if the column is not known.
    """
    if is_text(runs, by):
        return _every_name(runs, by), []
    level = levels_of(runs, by)
    usable = np.zeros(level.size, dtype=bool)
    notes = []
    for modality, mine in members(runs):
        if level[mine].max() > 0:
            usable |= mine
        else:
            notes.append(_not_held(modality, by, 1))
    if not usable.any():
        raise InputError(f"{_source(runs)}: {by} has one level; leaving one out takes two or more")
    folds = [(f"level {i + 1} of {by}", usable & (level == i)) for i in range(int(level[usable].max()) + 1)]
    return folds, notes


def _every_name(runs: xr.Dataset, by: str) -> list[tuple[str, np.ndarray]]:
    names = runs[by].to_numpy().astype(str)
    allowed = runs["sparsity"].to_numpy() > 0 if by == "structure" else np.ones(names.size, dtype=bool)
    found = np.unique(names[allowed]).tolist()
    folds = [(f"{by} {name}", allowed & (names == name)) for name in found]
    for name, (_, held) in zip(found, folds, strict=True):
        for modality, mine in members(runs):
            if held[mine].all():
                raise InputError(
                    f"{_source(runs)}: {by} {name!r} is all of {modality}, and runs of other modalities say nothing of "
                    "its loss; leave out one level at a time of a column that varies within modalities"
                )
    if len(folds) < 2 and by != "structure":
        raise InputError(f"{_source(runs)}: {by} has one level; leaving one out takes two or more")
    if not folds:
        raise InputError(f"{_source(runs)} has no sparse runs, so there is no structure to leave out")
    return folds


def is_text(runs: xr.Dataset, by: str) -> bool:
    """Whether a column is one of names, or of yes and no, which have no order."""
    return by in runs and runs[by].dtype.kind in "UOb"


def levels_of(runs: xr.Dataset, by: str) -> np.ndarray:
    """Each run's level of an axis among its modality's, counted from 0 at the smallest.

    Counts (parameters, data, FLOPs) and sparsities are one level where they differ by less than a law could learn from
    (`bayes_scaling.checks.levels.SAME`); values of other columns differ or are equal.

    Parameters
    ----------
    runs : Dataset
    by : str

    Returns
    -------
    ndarray of int, shape (run,)

    Raises
    ------
    InputError
        If the axis is not known.
    """
    values = values_of(runs, by)
    column = BY_NAME.get(by)
    is_count = column is not None and column.kind == "count" and bool((values > 0).all())
    level = np.empty(values.size, dtype=int)
    for _, mine in members(runs):
        if by == "sparsity":
            level[mine] = levels(density(runs)[mine])
        elif is_count:
            level[mine] = levels(np.log(values[mine]))
        else:
            level[mine] = np.unique(values[mine], return_inverse=True)[1]
    return level


def values_of(runs: xr.Dataset, by: str) -> np.ndarray:
    """Each run's value on an axis.

    Training FLOPs are those recorded where every run of a modality has them, else 6 N D times the multiplier of
    gradual pruning for all of its runs, since two ways of counting do not sort.

    Parameters
    ----------
    runs : Dataset
    by : str
        ``nonzero_params``, ``data_seen``, ``sparsity``, ``train_flops`` or another column of numbers.

    Returns
    -------
    ndarray, shape (run,)

    Raises
    ------
    InputError
        If there is no such column, it holds text, the outcome or missing values.
    """
    if by == "train_flops":
        return _train_flops(runs)
    usable = [str(name) for name in runs.data_vars if runs[name].dtype.kind in "iuf" and name not in OUTCOMES]
    if by not in usable:
        kind = "the outcome" if by in OUTCOMES else "text" if by in runs else "no column"
        others = [name for name in usable if name not in AXES]
        raise InputError(
            f"by is {by!r}, which is {kind} of {_source(runs)}; it is one of {', '.join([*AXES, *others])}"
        )
    values = runs[by].to_numpy().astype(float)
    if not np.isfinite(values).all():
        first = str(runs["run_id"].to_numpy()[~np.isfinite(values)][0])
        raise InputError(f"{_source(runs)}: run {first!r} has no {by}, so it has no place on that axis")
    return values


def _train_flops(runs: xr.Dataset) -> np.ndarray:
    size, data, sparsity = (runs[name].to_numpy().astype(float) for name in ("nonzero_params", "data_seen", "sparsity"))
    flops = FLOPS_PER_UNIT * size * data * costs.get("gradual").multiplier(sparsity)
    if "train_flops" not in runs:
        return flops
    recorded = runs["train_flops"].to_numpy().astype(float)
    for _, mine in members(runs):
        if (recorded[mine] > 0).all() and np.isfinite(recorded[mine]).all():
            flops[mine] = recorded[mine]
    return flops


def members(runs: xr.Dataset) -> Iterator[tuple[str, np.ndarray]]:
    """Each modality's name and which runs it has."""
    modality = runs["modality"].to_numpy()
    for name in dict.fromkeys(modality.tolist()):
        yield name, modality == name


def few_levels_notes(runs: xr.Dataset, by: str, modalities: Sequence[str]) -> list[Note]:
    """A note for each of some modalities whose runs have fewer than three levels of an axis left.

    Parameters
    ----------
    runs : Dataset
        The runs left.
    by : str
        The axis that others were held out by.
    modalities : sequence of str
        Those that runs were held out of.
    """
    level = levels_of(runs, by)
    return [
        Note(
            "few_levels_left",
            "warning",
            f"{modality} is left with {_levels(found)} of {by}: "
            + ("a slope" if found == 1 else "a bend")
            + " along it cannot be read off the runs, and what lies beyond them is the priors' answer.",
            {"modality": modality, "column": by},
            {"levels": found},
        )
        for modality, mine in members(runs)
        if modality in modalities and (found := int(level[mine].max()) + 1) < 3
    ]


def _not_held(modality: str, by: str, found: int | None = None) -> Note:
    has = f"has {_levels(found)} of {by}" if found else f"would lose all its runs by {by}"
    return Note("nothing_held_out", "info", f"{modality} {has}, so all its runs were kept.", {"modality": modality})


def _levels(count: int) -> str:
    return f"{count} level" if count == 1 else f"{count} levels"


def _source(runs: xr.Dataset) -> str:
    return str(runs.attrs.get("source", "the run table"))
