"""What the sparsities of a modality's runs cannot tell."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayes_scaling.checks.levels import density, levels
from bayes_scaling.design import FEWEST_RUNS
from bayes_scaling.notes import Note

__all__ = ["FEWEST_SPARSE_RUNS", "sparsity_notes"]

FEWEST_SPARSE_RUNS = 5
"""Of one structure: it has two coefficients of its own, and noise has heavy tails."""

ONE_SIZE = np.log(1.25)
NEIGHBOUR = np.log(1.3)
"""Sizes within a factor of 1.25 are one size. A sparsity seen at one size is no trouble where densities within a factor
of 1.3 were seen at others, as in sweeps with scattered sparsities; .5, .75 and .875 are a factor of 2 apart."""


def sparsity_notes(modality: str, runs: xr.Dataset, structures: Sequence[str]) -> list[Note]:
    """Notes on the dense and the sparse runs of a modality.

    Parameters
    ----------
    modality : str
    runs : Dataset
        Its finished runs.
    structures : sequence of str
        The structures of all modalities.
    """
    notes = []
    sparsity = runs["sparsity"].to_numpy()
    if not (sparsity == 0).any():
        notes.append(
            Note(
                "no_dense_runs",
                "info",
                f"{modality} has no dense runs: its dense losses are read off the law, not off runs.",
                {"modality": modality},
            )
        )
    if not (sparsity > 0).any():
        notes.append(
            Note(
                "no_sparse_runs",
                "warning",
                f"{modality} has no sparse runs: what sparsity does there comes from the priors and from other "
                "modalities.",
                {"modality": modality},
            )
        )
    for structure in structures:
        mine = np.flatnonzero((sparsity > 0) & (runs["structure"].to_numpy() == structure))
        if mine.size:
            notes += _structure_notes(modality, structure, runs, mine)
    return notes


def _structure_notes(modality: str, structure: str, runs: xr.Dataset, mine: np.ndarray) -> list[Note]:
    notes = []
    about = {"modality": modality, "structure": structure}
    few = len(mine) < FEWEST_SPARSE_RUNS
    if few and runs.sizes["run"] >= FEWEST_RUNS:  # else the note on the modality says it
        notes.append(
            Note(
                "few_sparse_runs",
                "warning",
                f"{modality}, {structure} has {len(mine)} sparse run{'s' * (len(mine) > 1)}, fewer than "
                f"{FEWEST_SPARSE_RUNS}: what this structure does leans on the priors and on others.",
                about,
                {"runs": len(mine)},
            )
        )
    sparsities = np.unique(runs["sparsity"].to_numpy()[mine].round(3))
    if len(sparsities) == 1:
        notes.append(
            Note(
                "one_sparsity",
                "info",
                f"{modality}, {structure} was trained at sparsity {sparsities[0]:g} only: the runs determine its "
                "dense-equivalent multiplier there; a_S, b_S and c_S apart lean on the priors.",
                about,
                {"sparsity": float(sparsities[0])},
            )
        )
    # One size altogether, and very few runs, have notes of their own.
    log_size = np.log(runs["nonzero_params"].to_numpy())
    if np.ptp(log_size) > ONE_SIZE and not few:
        notes += _one_size_notes(about, runs["sparsity"].to_numpy()[mine], density(runs)[mine], log_size[mine])
    return notes


def _one_size_notes(about: dict[str, str], sparsity: np.ndarray, t: np.ndarray, log_size: np.ndarray) -> list[Note]:
    if 2 * len(np.unique(sparsity.round(2))) > len(sparsity):
        return []  # scattered sparsities are no levels
    level = levels(t)
    lone = []
    for i in range(level.max() + 1):
        at = level == i
        near = np.abs(t - t[at].mean()) < NEIGHBOUR
        if np.ptp(log_size[near]) < ONE_SIZE:
            lone.append((float(sparsity[at].mean()), float(np.exp(log_size[at].mean()))))
    if not lone:
        return []
    shown = ", ".join(f"{s:.3g} at {size:.3g}" for s, size in lone)
    return [
        Note(
            "sparsity_at_one_size",
            "warning",
            f"{about['modality']}, {about['structure']} was trained at some sparsities with one value of "
            f"nonzero_params each ({shown}): there the runs cannot tell what sparsity does from what size does.",
            about,
            {"sparsities": len(lone), "of": int(level.max() + 1)},
        )
    ]
