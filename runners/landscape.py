"""The weight landscape: what the spectra of a model's matrices look like, before and after training.

All figures are of the weights that the model computes with, zeros included, from their singular values in double
precision. Eigenvalues are those of W^T W, the squares of the singular values, without the zero ones.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from runners.models import Model
from runners.shards import whole

__all__ = ["Figures", "Tail", "add_landscape", "eigenvalues", "figures", "landscape", "power_law_tail"]

type Figures = dict[str, float | int | None]

MEANS = {
    "spectral_norm": "mean_spectral_norm",
    "frobenius_norm": "mean_frobenius_norm",
    "stable_rank": "mean_stable_rank",
    "tail_exponent": "mean_tail_exponent",
    "tail_ks": "mean_tail_ks",
    "weighted_exponent": "mean_weighted_exponent",
    "entropy": "mean_spectral_entropy",
}
"""Figures whose means over the blocks' matrices are columns of the run table."""


SAME = 1e-9
"""Eigenvalues whose logarithms differ by less are equal but for rounding, and no tail."""


@dataclass(frozen=True)
class Tail:
    """A power law density λ^-exponent fitted to the largest eigenvalues.

    Attributes
    ----------
    exponent : float
        By maximum likelihood, 1 + n / sum of log(λ / start) over the tail.
    start : float
        Where the tail begins: the eigenvalue from which on the distance is smallest.
    ks : float
        Kolmogorov-Smirnov distance of the tail from the fit, in [0, 1]: how well it fits.
    size : int
        Eigenvalues in the tail.
    """

    exponent: float
    start: float
    ks: float
    size: int


def landscape(model: Model) -> dict[str, Figures]:
    """Figures of every matrix in the blocks and of the embedding layers, by the layer's name in the model."""
    wanted = {id(layer) for layer in (*model.block_layers(), *model.embedding_layers())}
    return {name: figures(whole(layer.weight)) for name, layer in model.named_modules() if id(layer) in wanted}


def figures(weight: torch.Tensor) -> Figures:
    """What the spectrum of one matrix looks like.

    Parameters
    ----------
    weight : torch.Tensor
        A matrix, on any device.

    Returns
    -------
    dict
        ``spectral_norm``, the largest singular value; ``frobenius_norm``; ``stable_rank``, the square of their ratio;
        ``tail_exponent``, ``tail_ks`` and ``tail_size`` of `power_law_tail` (None where there are fewer than three
        eigenvalues); ``weighted_exponent``, the exponent times log10 of the largest eigenvalue; ``entropy``,
        -sum p log p / log R of the eigenvalues' shares p, which is 1 where all R of them are equal and 0 where there
        is one.

    References
    ----------
    Martin, Peng and Mahoney, Nature Communications 12, 4122 (2021), for these as measures of a model; arXiv:2410.14602
    compares them under dropout, weight decay and data.
    """
    spectrum = eigenvalues(weight)
    if not len(spectrum):  # all zeros: nothing is there to be described
        keys = ("stable_rank", "tail_exponent", "tail_ks", "tail_size", "weighted_exponent", "entropy")
        return {"spectral_norm": 0.0, "frobenius_norm": 0.0, **dict.fromkeys(keys)}
    largest, total = float(spectrum[-1]), float(spectrum.sum())
    shares = spectrum / total
    tail = power_law_tail(spectrum)
    return {
        "spectral_norm": math.sqrt(largest),
        "frobenius_norm": math.sqrt(total),
        "stable_rank": total / largest,
        "tail_exponent": None if tail is None else tail.exponent,
        "tail_ks": None if tail is None else tail.ks,
        "tail_size": None if tail is None else tail.size,
        "weighted_exponent": None if tail is None else tail.exponent * math.log10(largest),
        "entropy": float(-(shares * np.log(shares)).sum() / math.log(len(spectrum))) if len(spectrum) > 1 else 0.0,
    }


def eigenvalues(weight: torch.Tensor) -> np.ndarray:
    """The eigenvalues of W^T W that are not zero but for rounding, in rising order."""
    singular = torch.linalg.svdvals(weight.detach().cpu().double()).numpy()[::-1]
    # What a matrix of lower rank has in place of its zeros is rounding of the weights' own precision.
    smallest = singular[-1] * max(weight.shape) * torch.finfo(weight.dtype).eps
    spectrum: np.ndarray = singular[singular > smallest] ** 2
    return spectrum


def power_law_tail(spectrum: np.ndarray) -> Tail | None:
    """Fit a power law to the largest of some positive numbers; None where there are fewer than three.

    Parameters
    ----------
    spectrum : ndarray
        In rising order.

    References
    ----------
    Clauset, Shalizi and Newman, arXiv:0706.1062: the exponent by maximum likelihood for every possible start, and the
    start with the smallest distance between the tail and its fit.
    """
    if len(spectrum) < 3:
        return None
    logs = np.log(spectrum)
    best: Tail | None = None
    for i in range(len(spectrum) - 1):
        size = len(spectrum) - i
        excess = logs[i:] - logs[i]
        if excess[-1] < SAME:
            continue
        exponent = 1 + size / float(excess.sum())
        below = -np.expm1((1 - exponent) * excess)
        ks = float(np.abs(below - np.arange(size) / size).max())
        if best is None or ks < best.ks:
            best = Tail(exponent, float(spectrum[i]), ks, size)
    return best


def add_landscape(record: dict[str, Any], before: dict[str, Figures] | None, model: Model) -> None:
    """Put the landscape into a run's record, and its means over the blocks' matrices into the run's row.

    Parameters
    ----------
    record : dict
        Of the run that trained `model`; one that diverged has no landscape after it.
    before : dict, optional
        The landscape that training started from; None where it was not asked for, and nothing is added.
    model : Model
        As it is at the end.
    """
    if before is None:
        return
    after = landscape(model) if record["status"] == "finished" else {}
    record["landscape"] = {"before": before, "after": after}
    of_blocks = [each for name, each in after.items() if name.startswith("blocks.")]
    for figure, column in MEANS.items():
        values = [value for each in of_blocks if (value := each[figure]) is not None]
        record["run"][column] = float(np.mean(values)) if values else None
