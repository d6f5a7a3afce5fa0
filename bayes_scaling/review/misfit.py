"""Where a law misses its runs: along an axis, where two axes meet, or at single runs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtrc, stdtr

from bayes_scaling.checks.levels import density, levels
from bayes_scaling.checks.losses import outlying
from bayes_scaling.noise import NOISE_DF
from bayes_scaling.notes import Note
from bayes_scaling.review.residuals import Residuals, family_p

__all__ = ["CHANCE", "SHORT", "axes_of", "misfit_notes", "outlier_notes"]

CHANCE = 0.01
"""Chance of a note on a modality, from each kind of test, where the law and its noise are true."""

MOST_LEVELS = 7
BINS = 5
"""An axis of more levels is cut into five bins with about as many runs each."""

ABSORBED = 0.05
"""A combination of levels that the fit follows with 95 % of its variance says nothing about the law."""

SHORT = 0.1
"""An axis shorter than this, in nats, is none."""


@dataclass(frozen=True)
class _Axis:
    """Contrasts between runs that a true law leaves no trace in."""

    rows: np.ndarray
    labels: tuple[str, ...]
    interaction: tuple[str, str] | None = None


def axes_of(residuals: Residuals) -> dict[str, np.ndarray]:
    """The axes of a design along which runs differ, in nats: log N, log D, -log(1 - S)."""
    runs = residuals.runs
    axes = {name: np.log(runs[name].to_numpy()) for name in ("nonzero_params", "data_seen")}
    axes["sparsity"] = density(runs)
    return {name: axis for name, axis in axes.items() if np.ptp(axis) > SHORT}


def misfit_notes(residuals: Residuals) -> list[Note]:
    """Notes on trends that the law leaves in the residuals, each with its size in per cent of the loss.

    Level means along each axis, and the product of every two axes, are tested as score tests of an effect that the law
    does not have, all of them together.

    Parameters
    ----------
    residuals : Residuals
    """
    score, replicated = _scores(residuals.z), _scores(residuals.replicates)
    observed: dict[str, float] = {}
    simulated: dict[str, np.ndarray] = {}
    contrasts = _contrasts(residuals)
    for name, axis in contrasts.items():
        tested = _whitened(axis.rows / residuals.scale, replicated)
        if tested is None:
            continue
        directions, count = tested
        # Minus the log of the p-value is a scale that axes with few and with many levels share.
        observed[name] = float(_surprise(((directions @ score) ** 2).sum(), count))
        simulated[name] = _surprise(((replicated @ directions.T) ** 2).sum(axis=1), count)
    p_values = family_p(observed, simulated)
    return [_trend(residuals, name, contrasts[name], p) for name, p in p_values.items() if p < CHANCE]


def outlier_notes(residuals: Residuals) -> list[Note]:
    """Notes on runs farther off the law than its noise, heavy tails and all, would bring any of so many.

    Runs that the checks before sampling name already are left out.

    Parameters
    ----------
    residuals : Residuals
    """
    count = len(residuals.values)
    chance = 2 * stdtr(NOISE_DF, -np.abs(residuals.z)) * count
    far = np.flatnonzero(chance < CHANCE)
    if not far.size:
        return []
    known = set(outlying(residuals.runs)[0].tolist())
    ids = residuals.runs["run_id"].to_numpy()
    return [
        Note(
            "outlying_run",
            "warning",
            f"Run {ids[i]} of {residuals.modality} lies {_percent(residuals.values[i])} the law, "
            f"{abs(residuals.z[i]):.0f} times the noise scale: look what happened to it.",
            {"modality": residuals.modality, "run_id": str(ids[i])},
            {"percent": _in_percent(residuals.values[i]), "noise_scales": float(residuals.z[i])},
        )
        for i in far[np.argsort(-np.abs(residuals.z[far]))]
        if i not in known
    ]


def _scores(z: np.ndarray) -> np.ndarray:
    """Student-t scores of residuals, to unit size, so that a noise scale which is off does no harm."""
    score = (NOISE_DF + 1) * z / (NOISE_DF + z**2)
    return score / np.sqrt((score**2).mean(axis=-1, keepdims=True))


def _whitened(contrasts: np.ndarray, replicated: np.ndarray) -> tuple[np.ndarray, int] | None:
    """Directions among contrasts that the fit has not absorbed, to unit variance under the law, and their number."""
    contrasts = contrasts / np.sqrt((contrasts**2).sum(axis=1, keepdims=True))
    covariance = np.atleast_2d(np.cov(replicated @ contrasts.T, rowvar=False))
    variance, direction = np.linalg.eigh(covariance)
    left = variance > ABSORBED
    if not left.any():
        return None
    return (direction[:, left] / np.sqrt(variance[left])).T @ contrasts, int(left.sum())


def _surprise(square: Any, count: int) -> Any:
    return -np.log(np.maximum(chdtrc(count, square), 1e-300))


def _contrasts(residuals: Residuals) -> dict[str, _Axis]:
    axes = axes_of(residuals)
    found: dict[str, _Axis] = {}
    for name, axis in axes.items():
        found[name] = _sparsities(residuals, axis) if name == "sparsity" else _levels_of(name, axis)
    names = list(axes)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            product = (axes[one] - axes[one].mean()) * (axes[other] - axes[other].mean())
            found[f"{one} × {other}"] = _Axis(product[None], (), (one, other))
    return found


def _levels_of(name: str, logs: np.ndarray) -> _Axis:
    of_level = levels(logs)
    if of_level.max() >= MOST_LEVELS:
        of_level = np.searchsorted(np.quantile(logs, np.arange(1, BINS) / BINS), logs)
    used = np.unique(of_level)
    labels = tuple(f"{name} {np.exp(logs[of_level == i].mean()):.3g}" for i in used)
    return _Axis((of_level == used[:, None]).astype(float), labels)


def _sparsities(residuals: Residuals, t: np.ndarray) -> _Axis:
    structure = residuals.runs["structure"].to_numpy()
    rows, labels = [], []
    for name in dict.fromkeys(structure.tolist()):
        mine = np.flatnonzero(structure == name)
        axis = _levels_of("", t[mine])
        for inside in axis.rows > 0:
            row = np.zeros(len(t))
            row[mine[inside]] = 1
            sparsity = residuals.runs["sparsity"].to_numpy()[mine[inside]].mean()
            rows.append(row)
            labels.append(name if name == "dense" else f"{name} at sparsity {sparsity:.3g}")
    return _Axis(np.array(rows), tuple(labels))


def _trend(residuals: Residuals, name: str, axis: _Axis, p_value: float) -> Note:
    """The note on one axis, with what a robust mean of the residuals says about its size."""
    row, weight = axis.rows, residuals.weight
    effect = (row * weight) @ residuals.values / (row**2 * weight).sum(axis=1)
    if axis.interaction is None:
        high, low = int(np.argmax(effect)), int(np.argmin(effect))
        up, down = effect[high], effect[low]
        found = f"{_percent(up)} it for {axis.labels[high]} and {_percent(down)} it for {axis.labels[low]}"
        sentence = f"The law misses the runs of {residuals.modality} along {name}: they lie {found}."
    else:
        up, down = effect[0] * row.max(), effect[0] * row.min()
        one, other = axis.interaction
        sentence = (
            f"The law misses how {one} and {other} act together in the runs of {residuals.modality}: where both are "
            f"large or both small they lie up to {_percent(up)} it, where one is large and the other small up to "
            f"{_percent(down)}."
        )
    numbers = {"percent": max(_in_percent(up), _in_percent(down), key=abs), "p_value": p_value}
    return Note("residual_trend", "warning", sentence, {"modality": residuals.modality, "column": name}, numbers)


def _in_percent(log_ratio: float) -> float:
    return float(100 * np.expm1(log_ratio))


def _percent(log_ratio: float) -> str:
    return f"{abs(_in_percent(log_ratio)):.2g} % {'above' if log_ratio > 0 else 'below'}"
