"""What the sizes and the amounts of data of a modality's runs cannot tell."""

from collections.abc import Collection

import numpy as np
import xarray as xr

from bayes_scaling.checks.levels import density, levels
from bayes_scaling.design import FEWEST_RUNS
from bayes_scaling.notes import Note

__all__ = ["axis_notes"]

_AXES = {"nonzero_params": ("b_N", "size"), "data_seen": ("b_D", "training data")}

LOOSE = 0.2
"""Standard deviation of log D around a curve in log N below which D follows N. In simulated sweeps (64-fold N, noise
.4 %) a looser tie costs b_D less than a factor of two in precision, a perfect one a factor of four and the sampler its
footing, and all of it rests on the law's form being true."""

FOLLOWS = 0.95
"""Least share of the variance of log D that the curve explains, so that a narrow range of D is not taken for a tie."""


def axis_notes(modality: str, runs: xr.Dataset, held: Collection[str] = ()) -> list[Note]:
    """Notes on the number of runs of a modality, and on its values of N and D.

    Parameters
    ----------
    modality : str
    runs : Dataset
        Its finished runs.
    held : collection of str
        Columns that the law is no function of, and asks no levels of.
    """
    notes = []
    about = {"modality": modality}
    count = runs.sizes["run"]
    if count < FEWEST_RUNS:
        notes.append(
            Note(
                "few_runs",
                "warning",
                f"{modality} has {count} finished run{'s' * (count > 1)}, fewer than {FEWEST_RUNS}: "
                "its coefficients lean on the priors and on other modalities.",
                about,
                {"runs": count},
            )
        )
    for column in (name for name in _AXES if name not in held):
        notes += _level_notes(modality, column, runs[column].to_numpy())
    return notes + _tied_notes(modality, runs)


def _level_notes(modality: str, column: str, values: np.ndarray) -> list[Note]:
    exponent, axis = _AXES[column]
    of_level = levels(np.log(values))
    about = {"modality": modality, "column": column}
    if of_level.max() == 0:
        return [
            Note(
                f"one_level_{column}",
                "warning",
                f"All runs of {modality} have the same {column}: how loss falls with {axis} ({exponent}) comes "
                "from the priors and from other modalities, and so does every answer that depends on it.",
                about,
                {"levels": 1},
            )
        ]
    if of_level.max() == 1:
        shown = " and ".join(f"{np.exp(np.log(values[of_level == i]).mean()):.3g}" for i in (0, 1))
        return [
            Note(
                f"two_levels_{column}",
                "warning",
                f"The runs of {modality} have two values of {column}, {shown}: two points give a slope and no bend, so "
                f"what separates {exponent} from the irreducible loss comes from the priors.",
                about,
                {"levels": 2},
            )
        ]
    return []


def _tied_notes(modality: str, runs: xr.Dataset) -> list[Note]:
    """Whether data follows size, as in sweeps at fixed tokens per parameter or on one compute budget."""
    log_data, log_size = (np.log(runs[name].to_numpy()) for name in ("data_seen", "nonzero_params"))
    sizes = {"nonzero_params": log_size, "nonzero_params / (1 - sparsity)": log_size + density(runs)}
    if len(log_data) < FEWEST_RUNS or levels(log_data).max() == 0:
        return []
    for name, x in sizes.items():
        if levels(x).max() == 0:
            continue
        curve = np.vander((x - x.mean()) / np.ptp(x), 3)
        left = log_data - curve @ np.linalg.lstsq(curve, log_data, rcond=None)[0]
        loose = float(np.sqrt((left**2).sum() / (len(left) - 3)))
        explained = float(1 - left.var() / log_data.var())
        if loose < LOOSE and explained > FOLLOWS:
            return [
                Note(
                    "data_tied_to_size",
                    "warning",
                    f"In the runs of {modality} data_seen follows {name} to within {np.expm1(loose):.0%}: only the "
                    "law's form tells what size does from what data does, and every other ratio is extrapolation.",
                    {"modality": modality, "column": "data_seen"},
                    {"r_squared": explained, "spread": loose},
                )
            ]
    return []
