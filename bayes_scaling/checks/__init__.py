"""What a set of runs cannot tell, or seems to have wrong, said before anybody relies on it.

One file per theme: `axes` (size and data), `sparsities`, `losses`; `levels` is what they share.
"""

import numpy as np
import xarray as xr

from bayes_scaling.checks.axes import axis_notes
from bayes_scaling.checks.losses import loss_notes
from bayes_scaling.checks.sparsities import sparsity_notes
from bayes_scaling.design import Design
from bayes_scaling.notes import Note

__all__ = ["coverage_notes", "design_notes"]


def design_notes(design: Design, runs: xr.Dataset) -> list[Note]:
    """Notes on what the runs of each modality and structure cannot determine, and on losses that seem wrong.

    Parameters
    ----------
    design : Design
    runs : Dataset
        The finished runs that the design was made from.
    """
    suspect = [note for modality in design.modality for note in loss_notes(modality, _of(modality, runs))]
    return coverage_notes(design, runs) + suspect


def coverage_notes(design: Design, runs: xr.Dataset) -> list[Note]:
    """The notes on what the runs cannot determine alone.

    Parameters
    ----------
    design : Design
    runs : Dataset
        The finished runs that the design was made from.
    """
    notes: list[Note] = []
    for modality in design.modality:
        mine = _of(modality, runs)
        notes += axis_notes(modality, mine) + sparsity_notes(modality, mine, design.structure)
    return notes


def _of(modality: str, runs: xr.Dataset) -> xr.Dataset:
    return runs.isel(run=np.flatnonzero(runs["modality"].to_numpy() == modality))
