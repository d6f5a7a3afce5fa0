"""What a set of runs cannot tell, or seems to have wrong, said before anybody relies on it.

One file per theme: `axes` (size and data), `sparsities`, `losses`; `levels` is what they share.
"""

import numpy as np
import xarray as xr

from bayes_scaling.checks.axes import axis_notes
from bayes_scaling.checks.losses import loss_notes
from bayes_scaling.checks.sparsities import sparsity_notes
from bayes_scaling.design import Design
from bayes_scaling.laws.base import Law
from bayes_scaling.notes import Note

__all__ = ["coverage_notes", "design_notes"]


def design_notes(design: Design, runs: xr.Dataset, law: Law | None = None) -> list[Note]:
    """Notes on what the runs of each modality and structure cannot determine, and on losses that seem wrong.

    Parameters
    ----------
    design : Design
    runs : Dataset
        The finished runs that the design was made from.
    law : Law, optional
        That they are fitted with: what it does not ask of runs is no lack.
    """
    suspect = [note for modality in design.modality for note in loss_notes(modality, _of(modality, runs))]
    return coverage_notes(design, runs, law) + suspect


def coverage_notes(design: Design, runs: xr.Dataset, law: Law | None = None) -> list[Note]:
    """The notes on what the runs cannot determine alone.

    Parameters
    ----------
    design : Design
    runs : Dataset
        The finished runs that the design was made from.
    law : Law, optional
        That they are fitted with.
    """
    notes: list[Note] = []
    of_sparsity = law is None or law.prunes
    for modality in design.modality:
        mine = _of(modality, runs)
        notes += axis_notes(modality, mine, () if law is None else law.held)
        notes += sparsity_notes(modality, mine, design.structure) if of_sparsity else []
    return notes


def _of(modality: str, runs: xr.Dataset) -> xr.Dataset:
    return runs.isel(run=np.flatnonzero(runs["modality"].to_numpy() == modality))
