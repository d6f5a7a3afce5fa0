"""What a set of runs cannot tell, said before anybody relies on it."""

import numpy as np
import xarray as xr

from bayes_scaling.design import FEWEST_RUNS, Design
from bayes_scaling.notes import Note

__all__ = ["design_notes"]

_AXES = {
    "nonzero_params": ("nonzero_params", "b_N", "size"),
    "data_seen": ("data_seen", "b_D", "training data"),
}


def design_notes(design: Design, runs: xr.Dataset) -> list[Note]:
    """Notes on what the runs of each modality and structure cannot determine.

    Parameters
    ----------
    design : Design
    runs : Dataset
        The finished runs that the design was made from.
    """
    notes: list[Note] = []
    sparsity = runs["sparsity"].to_numpy()
    structure = runs["structure"].to_numpy()
    for modality in design.modality:
        mine = runs["modality"].to_numpy() == modality
        if mine.sum() < FEWEST_RUNS:
            notes.append(
                Note(
                    "few_runs",
                    "warning",
                    f"{modality} has {mine.sum()} finished runs, fewer than {FEWEST_RUNS}: "
                    "its coefficients lean on the priors and on other modalities.",
                )
            )
        for column, exponent, axis in _AXES.values():
            if len(np.unique(runs[column].to_numpy()[mine])) == 1:
                notes.append(
                    Note(
                        f"one_level_{column}",
                        "warning",
                        f"All runs of {modality} have the same {column}: how loss falls with {axis} ({exponent}) comes "
                        "from the priors and from other modalities, and so does every answer that depends on it.",
                    )
                )
        if not (mine & (sparsity == 0)).any():
            notes.append(
                Note(
                    "no_dense_runs",
                    "info",
                    f"{modality} has no dense runs: its dense losses are read off the law, not off runs.",
                )
            )
        if not (mine & (sparsity > 0)).any():
            notes.append(
                Note(
                    "no_sparse_runs",
                    "warning",
                    f"{modality} has no sparse runs: what sparsity does there comes from the priors and from other "
                    "modalities.",
                )
            )
        for name in design.structure:
            levels = np.unique(sparsity[mine & (structure == name)].round(3))
            if len(levels) == 1:
                notes.append(
                    Note(
                        "one_sparsity",
                        "info",
                        f"{modality}, {name} was trained at sparsity {levels[0]:g} only: the runs determine its "
                        "dense-equivalent multiplier there; a_S, b_S and c_S apart lean on the priors.",
                    )
                )
    return notes
