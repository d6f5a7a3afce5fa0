"""Whether a budget can be what was meant."""

import numpy as np
import xarray as xr

from bayes_scaling.decide.question import Question
from bayes_scaling.errors import InputError
from bayes_scaling.notes import Note

__all__ = ["budget_notes", "check_budget"]

LEAST_PER_PARAMETER = 1e-3
"""Data per parameter that nobody trains on from scratch: the public runs of arXiv:2309.08520 have 5 to 50,000. Tokens
in the place of FLOPs give r / 6N for r tokens per parameter, which is less from a few thousand parameters on."""

BELOW, ABOVE = 1e-3, 1e6
"""Data beyond all runs by such factors. What takes a thousandth of the smallest run's data is trained, not predicted.
Upwards laws are asked far out: from the smallest sweeps to the largest models it is a factor of 10^6 or so, and the
note `extrapolation` says how far. Here it is about what nobody means."""


def check_budget(question: Question) -> None:
    """Refuse a budget that does not buy one token or example of a dense model.

    Raises
    ------
    InputError
        If one does not.
    """
    poor = question.data_seen(0.0) < 1
    if not poor.any():
        return
    everything = xr.broadcast(question.nonzero_params, question.train_flops, poor)
    size, budget, poor = (values.to_numpy().ravel() for values in everything)
    i = int(np.argmax(poor))
    spent = np.broadcast_to(question.spent(0.0), everything[0].shape).ravel()[i]
    before = f" after {spent:.3g} FLOPs for serving and what comes before the data" if spent else ""
    raise InputError(
        f"train_flops is {budget[i]:g}, which pays for less than one token or example of a dense model with "
        f"{size[i]:g} non-zero parameters{before}"
    )


def budget_notes(posterior: xr.DataTree, question: Question, modality: str) -> list[Note]:
    """A note where the data that a dense model would see is absurd, as when tokens are given where FLOPs belong."""
    runs = posterior["constant_data"].to_dataset()
    mine = runs["modality"].to_numpy() == modality
    seen, per_parameter = question.data_seen(0.0), question.data_seen(0.0) / question.nonzero_params
    least = LEAST_PER_PARAMETER
    lowest, highest = 0.0, np.inf
    if mine.any():
        data = runs["data_seen"].to_numpy()[mine]
        lowest, highest = BELOW * data.min(), ABOVE * data.max()
        least = min(least, float((data / runs["nonzero_params"].to_numpy()[mine]).min()))
    absurd = (seen < lowest) | (seen > highest) | (per_parameter < least)
    if not absurd.any():
        return []
    everything = xr.broadcast(absurd, question.nonzero_params, question.train_flops, seen)
    where, size, budget, data = (values.to_numpy().ravel() for values in everything)
    i = int(np.argmax(where))
    return [
        Note(
            "absurd_data",
            "warning",
            f"{budget[i]:.3g} FLOPs pay for {data[i]:.3g} tokens or examples of {modality} with {size[i]:.3g} non-zero "
            "parameters: is train_flops in FLOPs, and are nonzero_params a plain count?",
            {"modality": modality},
            {"data_seen": float(data[i]), "per_parameter": float(data[i] / size[i]), "share": float(where.mean())},
        )
    ]
