"""Runs as chance might have made them: what a bootstrap of a point fit refits."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from bayes_scaling.errors import InputError
from bayes_scaling.misfit import Misfit

__all__ = ["Kind", "noise_of_a_run", "resampled"]

Kind = Literal["runs", "residual"]


def resampled(misfit: Misfit, point: np.ndarray, kind: Kind, draws: int, rng: np.random.Generator) -> Iterator[Misfit]:
    """The misfit with resampled runs, once per draw.

    Parameters
    ----------
    misfit : Misfit
    point : ndarray, shape (coordinate,)
        Its minimum.
    kind : {"residual", "runs"}
        ``residual`` adds residuals, drawn with replacement, to the fitted losses; ``runs`` counts each run as often
        as it is drawn from among those of its cell, where dense runs are a cell of their own.
    draws : int
    rng : numpy.random.Generator

    Raises
    ------
    InputError
        If residuals are asked for and there are no more runs than fitted quantities.
    """
    if kind == "residual":
        noise = _residuals(misfit, point)
        fitted = misfit.residuals(point)[0] + misfit.observed
        for _ in range(draws):
            yield replace(misfit, observed=fitted + rng.choice(noise, noise.size))
        return
    stratum = np.where(misfit.columns["sparsity"] > 0, misfit.cell_of_run, -1)
    members = [np.flatnonzero(stratum == level) for level in np.unique(stratum)]
    for _ in range(draws):
        drawn = np.concatenate([rng.choice(each, each.size) for each in members])
        yield replace(misfit, weight=np.bincount(drawn, minlength=stratum.size).astype(float))


def noise_of_a_run(
    misfits: Sequence[Misfit], points: Sequence[np.ndarray], modality: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Resampled residuals for runs to predict.

    Parameters
    ----------
    misfits, points : sequences of Misfit and ndarray
        One a modality, with its minimum.
    modality : ndarray of int, shape (run,)
        Which modality each run has.
    draws : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (draw, run)
        In the units of the residuals.

    Raises
    ------
    InputError
        If a modality has no more runs than fitted quantities.
    """
    noise = np.empty((draws, modality.size))
    for i in np.unique(modality):
        mine = modality == i
        noise[:, mine] = rng.choice(_residuals(misfits[i], points[i]), (draws, int(mine.sum())))
    return noise


def _residuals(misfit: Misfit, point: np.ndarray) -> np.ndarray:
    """Observed minus fitted, widened by what the fitted quantities took out of them.

    They are not centred: at the minimum the Huber function's slope has mean zero over them, which is what makes the
    fitted quantities the truth of the resampled runs (Shorack, "Bootstrapping robust regression", Commun. Statist. 11,
    1982).
    """
    count, free = misfit.observed.size, int(misfit.free.sum())
    if count <= free:
        raise InputError(
            f"{misfit.modality} has {count} finished runs for {free} fitted quantities; to resample residuals, as the "
            "bootstrap 'residual' and the prediction 'new-run' do, it needs more runs than quantities"
        )
    return -misfit.residuals(point)[0] * np.sqrt(count / (count - free))
