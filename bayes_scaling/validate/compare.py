"""Several laws on the same runs: what each predicts of a scale held out, of random folds, and of every run left out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling import laws as known
from bayes_scaling.errors import InputError
from bayes_scaling.fit import DEFAULT_LAW
from bayes_scaling.intervals import PROB
from bayes_scaling.notes import Note
from bayes_scaling.priors import stated
from bayes_scaling.refit import refit
from bayes_scaling.review import HIGH_K
from bayes_scaling.review.parts import said_of_all
from bayes_scaling.threads import one_blas_thread
from bayes_scaling.validate import folds as parts
from bayes_scaling.validate.comparison import DEFAULT, FOLDS, LOO, SCALE, Comparison, Loo
from bayes_scaling.validate.holdout import (
    Split,
    finished_runs,
    how_to_predict,
    random_split,
    scale_held_out,
    scored,
)
from bayes_scaling.validate.loo import elpd_of, leave_one_out, stacking
from bayes_scaling.validate.predictions import DRAWS, POSTERIOR
from bayes_scaling.validate.replicates import Predicted, predicted, replicated_scores
from bayes_scaling.validate.result import Holdout

__all__ = ["compare"]

AXES = ("nonzero_params", "data_seen", "sparsity")
"""Runs at one level of these share what a law gets wrong there."""

RULED_OUT = 0.05
"""Chance of a lead below which a law is not thought right."""


def compare(
    runs: Any,
    laws: Sequence[str] | None = None,
    *,
    by: str = "nonzero_params",
    levels: int | None = None,
    fraction: float | None = None,
    folds: int = 5,
    prob: float = PROB,
    seed: int = 0,
    group: str = "modality",
    prior: Mapping[str, Any] | None = None,
    discrepancy: bool = True,
    progressbar: bool = True,
) -> Comparison:
    """Held-out accuracy and weights of several laws.

    Every law predicts the same runs: those at the largest scale, from the smaller ones (`holdout`); random folds, from
    the others (`kfold`); and each single run, from all others (PSIS-LOO of a quick refit to all). The scale held out
    comes first. Weights by LOO go to the law that fits the runs most closely, and beyond the runs that law is too sure
    of itself: on public sweeps the sharper law's intervals held no more often than the other's (docs/calibration.md).
    Where the two disagree, go by the scale held out. It is little evidence too: `Comparison.chance` says how often such
    a lead comes by luck, and other axes give others.

    Parameters
    ----------
    runs : Dataset, DataFrame, path or list of dict
        A run table, or anything that `load_runs` takes; diverged runs are set aside.
    laws : sequence of str, optional
        Names of two laws or more. Unless said, the mixture that `fit` uses by itself and the laws that it mixes.
    by, levels, fraction
        Which runs are held out as the largest scale, as `holdout` takes them.
    folds : int
        Number of random folds.
    prob : float
        Probability of the intervals.
    seed : int
        Seed of all random numbers.
    group : str
        The column whose values are the groups of comparable losses.
    prior : dict of pymc_extras.prior.Prior, optional
        As `fit` takes it, for all laws that have such a quantity.
    discrepancy : bool
        Whether predictions carry what the law may miss beyond the runs kept, as those of `fit` do.
    progressbar : bool
        Whether to show progress on stderr, where that is a terminal.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If there are fewer than two laws, one is named twice or not known, a prior is of a quantity that none has, or as
        `holdout` and `kfold`.

    References
    ----------
    Vehtari, Gelman and Gabry, arXiv:1507.04544, for PSIS-LOO; Yao, Vehtari, Simpson and Gelman, arXiv:1704.02030, for
    stacking.
    """
    names = _names(laws)
    how = how_to_predict(prob, seed, (), discrepancy)
    priors = _priors(prior, names)
    table = finished_runs(runs, group)
    splits = {SCALE: scale_held_out(table, by, levels, fraction), FOLDS: random_split(table, folds, seed)}
    refits: dict[str, dict[str, xr.DataTree]] = {}
    held_out = {
        where: {
            name: scored(table, known.get(name), split, progressbar, refits, prior=priors[name], **how)
            for name in names
        }
        for where, split in splits.items()
    }
    with one_blas_thread():
        left_out, notes = leave_one_out(table, names, priors, seed)
        # The refits are known, so this takes none.
        scale = {name: _predicted(table, splits[SCALE], name, refits, seed, discrepancy) for name in names}
        replicates = replicated_scores(scale, seed)
    pointwise = {where: _pointwise(found) for where, found in held_out.items()}
    pointwise[LOO] = xr.concat([each.elpd_i for each in left_out.values()], _laws(names)).to_dataset(name="log_score")
    best = max(names, key=lambda name: held_out[SCALE][name].score(POSTERIOR).log_score)
    found = Comparison(
        laws=names,
        best=best,
        prob=prob,
        weights=_weights(pointwise),
        held_out=held_out,
        loo=_loo(left_out, best),
        notes=_notes_of_refits(held_out, notes),
        pointwise=pointwise,
        replicates=replicates,
        levels=_levels(table, by),
    )
    return replace(found, notes=[*found.notes, *_notes_on_weights(found)])


def _names(laws: Sequence[str] | None) -> list[str]:
    if laws is None:
        return [*sorted(known.get(DEFAULT_LAW).parts), DEFAULT_LAW]
    names = [laws] if isinstance(laws, str) else list(laws)
    for name in names:
        known.get(name)
    if len(names) < 2:
        raise InputError(f"laws is {names}; it takes two or more of {', '.join(known.names())}")
    if repeated := [name for i, name in enumerate(names) if name in names[:i]]:
        raise InputError(f"laws has {repeated[0]!r} twice; every law is compared once")
    return names


def _priors(prior: Mapping[str, Any] | None, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Of the priors stated, those that each law or a part of it has."""
    every = dict.fromkeys([*names, *(part for name in names for part in known.get(name).parts)])
    if not isinstance(prior, Mapping):
        return {name: stated(prior, known.get(name)) for name in every}
    has = {
        name: {"sigma", *(q for part in known.get(name).parts or [name] for q in known.get(part).priors)}
        for name in every
    }
    if unknown := [quantity for quantity in prior if not any(quantity in each for each in has.values())]:
        raise InputError(f"prior names {unknown[0]!r}, which is no quantity of {', '.join(names)}")
    return {
        name: stated({quantity: value for quantity, value in prior.items() if quantity in has[name]}, known.get(name))
        for name in every
    }


def _laws(names: Sequence[str]) -> xr.DataArray:
    return xr.DataArray(list(names), dims="law", name="law")


def _pointwise(found: Mapping[str, Holdout]) -> xr.Dataset:
    """Scores of the runs held out, over (``law``, ``run``)."""
    scores = [each.predictions[["log_score", "crps"]].sel(predicted_by=POSTERIOR, drop=True) for each in found.values()]
    return xr.concat(scores, _laws(list(found)), join="exact")


def _levels(table: xr.Dataset, by: str) -> xr.Dataset:
    """Which level of an axis each run is at, a level of another modality being another one."""
    modality = table["modality"].to_numpy().astype(str)
    found = {}
    for axis in dict.fromkeys([*AXES, by]):
        level = parts.levels_of(table, axis).astype(str)
        found[axis] = ("run", np.char.add(np.char.add(modality, " "), level))
    return xr.Dataset(found, {"run": table["run_id"].to_numpy()})


def _weights(pointwise: Mapping[str, xr.Dataset]) -> dict[str, dict[str, float]]:
    """Stacking weights by way of holding out, and the default's fixed shares where its parts are among the laws.

    A law that mixes others of those compared gets none: their weights could be its parts' as well.
    """
    names = [str(name) for name in pointwise[SCALE]["law"].to_numpy()]
    single = [name for name in names if not (known.get(name).parts and set(known.get(name).parts) <= set(names))]
    found = {
        where: stacking({name: elpd_of(pointwise[where]["log_score"].sel(law=name, drop=True)) for name in single})
        for where in (SCALE, LOO)
    }
    shares = known.get(DEFAULT_LAW).parts
    return found | ({DEFAULT: dict(shares)} if set(shares) <= set(names) else {})


def _loo(found: Mapping[str, Any], best: str) -> dict[str, Loo]:
    """What ArviZ says of each law, and of its difference to the best one."""
    import arviz as az

    table = az.compare(dict(found), reference=best, round_to="none")
    return {
        name: Loo(
            elpd=float(table.loc[name, "elpd"]),
            se=float(table.loc[name, "se"]),
            difference=float(table.loc[name, "elpd_diff"]),
            difference_se=float(table.loc[name, "dse"]),
            high_k=float((each.pareto_k > HIGH_K).mean()),
        )
        for name, each in found.items()
    }


def _predicted(
    table: xr.Dataset,
    split: Split,
    name: str,
    refits: Mapping[str, dict[str, xr.DataTree]],
    seed: int,
    discrepancy: bool,
) -> Predicted:
    """What a law said of the scale held out."""
    (fold, held), *_ = split.folds
    kept, out = (table.isel(run=np.flatnonzero(which)) for which in (~held, held))
    law, there = known.get(name), refits[fold]
    return predicted(refit(kept, law, seed=seed, draws=DRAWS, discrepancy=discrepancy, known=there), out)


def _notes_of_refits(
    held_out: Mapping[str, Mapping[str, Holdout]], left_out: Mapping[str, Sequence[Note]]
) -> list[Note]:
    """What all refits say, once where it holds for all laws."""
    said = {name: [note for found in held_out.values() for note in found[name].notes] for name in left_out}
    return said_of_all({name: list(dict.fromkeys([*notes, *left_out[name]])) for name, notes in said.items()})


def _notes_on_weights(found: Comparison) -> list[Note]:
    """Whether the weights at the scale held out mean anything, and whether LOO agrees."""
    weights = {where: found.weights[where] for where in (SCALE, LOO)}
    first, inside = (max(each, key=each.__getitem__) for each in weights.values())
    chance = {other: found.chance(first, other) for other in weights[SCALE] if other != first}
    unclear = {name: value for name, value in chance.items() if value >= RULED_OUT}
    notes = []
    if unclear:
        said = ", ".join(f"{name} with a chance of {value:.0%}" for name, value in unclear.items())
        notes.append(
            Note(
                "weights_unclear",
                "info",
                f"At the scale held out, {first} would lead by as much as it does if another law were right: {said}. "
                "The weights there can turn with other runs.",
                {"law": first},
                {f"chance_{name}": value for name, value in unclear.items()},
            )
        )
    if first != inside and inside not in unclear:
        notes.append(
            Note(
                "weights_disagree",
                "warning",
                f"The scale held out gives {first} the most weight ({weights[SCALE][first]:.2f}), leave-one-out "
                f"{inside} ({weights[LOO][inside]:.2f}): the law that fits the runs most closely did not predict best "
                "beyond them.",
                {"law": first},
                {"held_out_scale": weights[SCALE][first], "loo": weights[LOO][inside]},
            )
        )
    return notes
