"""What holding runs out shows: scores, how far the runs lay outside, notes, and the predictions themselves."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.notes import Note
from bayes_scaling.validate.scores import bias, coverage, interval_score, width
from bayes_scaling.viewed import Viewed

__all__ = ["EVERY", "Holdout", "Score", "farthest", "finite", "scores_of"]

EVERY = "all"
"""What the scores over all modalities are filed under."""


@dataclass(frozen=True)
class Score:
    """How well the runs held out of one modality, or of all, were predicted; means over runs.

    Attributes
    ----------
    predicted_by : str
        ``posterior`` or ``bootstrap``.
    modality : str
        Its name; ``all`` for the runs of all modalities together.
    runs : int
        How many runs had an answer; the bootstrap has none for a structure that no run kept had.
    coverage : float
        Share of runs inside their intervals.
    width : float
        Width of the intervals of log loss, that is relative to the loss.
    crps : float
        Continuous ranked probability score of log loss.
    interval_score : float
        Of log loss.
    log_score : float
        Log of the predictive density of log loss, in nats; NaN for the bootstrap, which has draws and no density.
    bias : float
        Median prediction minus observation, of log loss.
    """

    predicted_by: str
    modality: str
    runs: int
    coverage: float
    width: float
    crps: float
    interval_score: float
    log_score: float
    bias: float


@dataclass(frozen=True, repr=False)
class Holdout(Viewed):
    """Scores of predictions of runs that were held out; prints as a table.

    Attributes
    ----------
    law : str
        Name of the law fitted.
    held_out : str
        Which runs were held out, in words.
    prob : float
        Probability of the intervals, which coverage is to be.
    scores : list of Score
        By what predicted them, for each modality, and for all together where there are several.
    beyond : dict
        By modality: the farthest that a run held out lay beyond the runs kept, in nats, on each axis; see
        `bayes_scaling.extrapolation`.
    fits : list of dict
        One for each time that runs were held out: ``fold``, ``kept`` and ``held_out`` runs, and the refit's ``method``,
        ``khat`` and ``ess``.
    notes : list of Note
        What the runs that were left could not tell, and what the refits should not be trusted for.
    predictions : Dataset
        Over ``run`` and ``predicted_by``: ``median``, ``lower``, ``upper``, ``crps`` and ``log_score`` of log loss, and
        ``pit``, the share of draws below the observation, NaN where there is no answer; over ``run``: ``observed`` log
        loss, ``modality``, ``structure``, ``sparsity`` and ``fold``; over ``run`` and ``axis``: ``beyond``, in nats.
    """

    law: str
    held_out: str
    prob: float
    scores: list[Score]
    beyond: dict[str, dict[str, float]]
    fits: list[dict[str, Any]]
    notes: list[Note]
    predictions: xr.Dataset = field(repr=False)

    def score(self, predicted_by: str = "posterior", modality: str | None = None) -> Score:
        """The score on a modality's runs, or on all.

        Raises
        ------
        InputError
            If there is none.
        """
        wanted = modality if modality is not None else self.scores[-1].modality
        for each in self.scores:
            if (each.predicted_by, each.modality) == (predicted_by, wanted):
                return each
        there = ", ".join(f"{each.predicted_by} of {each.modality}" for each in self.scores)
        raise InputError(f"there is no score of {predicted_by} of {wanted}; there are those of {there}")

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON; without predictions, which are an xarray.Dataset."""
        return {
            "law": self.law,
            "held_out": self.held_out,
            "prob": self.prob,
            "scores": finite([vars(each) for each in self.scores]),
            "beyond": self.beyond,
            "fits": finite(self.fits),
            "notes": [note.to_dict() for note in self.notes],
        }

    def _view(self) -> Any:
        from bayes_scaling.validate.view import holdout_view

        return holdout_view(self)


def scores_of(predictions: xr.Dataset, prob: float) -> list[Score]:
    """Scores by modality and predictor, and those of all modalities together where there are several.

    Parameters
    ----------
    predictions : Dataset
        As `Holdout` holds them.
    prob : float
        Probability of their intervals.
    """
    modality = predictions["modality"].to_numpy()
    names = list(dict.fromkeys(modality.tolist()))
    every = np.ones(modality.size, dtype=bool)
    groups = [(name, modality == name) for name in names] + ([(EVERY, every)] if len(names) > 1 else [])
    found = []
    for name, mine in groups:
        for source in predictions["predicted_by"].to_numpy().tolist():
            here = predictions.sel(predicted_by=source).isel(run=np.flatnonzero(mine))
            here = here.isel(run=np.flatnonzero(np.isfinite(here["median"].to_numpy())))
            if not here.sizes["run"]:
                continue
            observed, median, lower, upper = (here[n].to_numpy() for n in ("observed", "median", "lower", "upper"))
            found.append(
                Score(
                    predicted_by=source,
                    modality=name,
                    runs=here.sizes["run"],
                    coverage=float(coverage(observed, lower, upper).mean()),
                    width=float(width(lower, upper).mean()),
                    crps=float(here["crps"].mean()),
                    interval_score=float(interval_score(observed, lower, upper, prob).mean()),
                    log_score=float(here["log_score"].to_numpy().mean()),
                    bias=float(bias(observed, median).mean()),
                )
            )
    return found


def farthest(predictions: xr.Dataset) -> dict[str, dict[str, float]]:
    """The farthest that a run of each modality lies beyond the runs kept, in nats, on each axis.

    Parameters
    ----------
    predictions : Dataset
        As `Holdout` holds them.
    """
    most = predictions["beyond"].groupby(predictions["modality"]).max("run")
    return {
        str(name): {str(axis): float(most.sel(modality=name, axis=axis)) for axis in most["axis"].to_numpy()}
        for name in most["modality"].to_numpy()
    }


def finite(value: Any) -> Any:
    """Plain values in which what JSON has no word for is missing."""
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
