"""Losses that seem wrong: copied, in another unit than the rest of their modality, or absurd for a single run.

The last two are looked for before sampling, as large residuals of a robust regression of log loss on a smooth surface
in log N, log D and log(1 - S), which half of the runs cannot bend. What is found must be as far off a rough fit of the
law to the other runs: a surface misses steep corners of a sweep, and only what is far off by any standard is noted.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayes_scaling.checks.curve import law_residuals
from bayes_scaling.checks.levels import copies, density, levels
from bayes_scaling.checks.robust import robust_residuals
from bayes_scaling.design import FEWEST_RUNS
from bayes_scaling.notes import Note

__all__ = ["loss_notes", "outlying"]

FAR = np.log(1.2)
SCALES = 10.0
"""A run is outlying where it is off by a factor of 1.2 and by ten times the usual residual. Were noise so large that
ten times came first, Student-t(4) noise alone would name a run in one sweep in sixteen of 160 runs."""

UNIT = 0.25
"""Least residual, of the log, of losses in another unit; bits and nats differ by .37."""

UNKNOWN_UNIT = 0.5
"""Least residual of losses in a unit that is not known, as per byte and per token: sparsity alone does less."""

FEWEST_OF_A_UNIT = 3
MOST_OUTLYING = 0.1
"""Share of a modality's runs above which large residuals are no outliers: the surface does not describe the runs."""

NAMED = 3
"""How many runs a note names."""

LOG_BITS = -np.log(np.log(2))


@dataclass(frozen=True)
class _Block:
    """Runs whose losses are off alike, and how they would fit."""

    rows: np.ndarray
    said: str
    numbers: dict[str, float]


def loss_notes(modality: str, runs: xr.Dataset) -> list[Note]:
    """Notes on losses that do not go with the others of their modality.

    Parameters
    ----------
    modality : str
    runs : Dataset
        Its finished runs.
    """
    notes = _copy_notes(modality, runs)
    if runs.sizes["run"] < FEWEST_RUNS:
        return notes
    block = _other_unit(runs)
    if block is not None:
        count = len(block.rows)
        return [
            *notes,
            Note(
                "loss_unit_suspect",
                "warning",
                f"The losses of {count} of the {runs.sizes['run']} runs of {modality} ({_who(runs, block.rows)}) "
                f"{block.said}: look whether they are in the same unit.",
                {"modality": modality, "column": "loss"},
                {"runs": count} | block.numbers,
            ),
        ]
    return notes + _outlier_notes(modality, runs)


def outlying(runs: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Single runs of a modality whose loss is absurd beside the others'.

    Parameters
    ----------
    runs : Dataset
        Finished runs of one modality.

    Returns
    -------
    rows : ndarray of int
        The worst first; empty where more than a tenth would be, since then the surface is wrong and not the runs.
    residual : ndarray, shape (run,)
        Log of every loss over what the surface says.
    """
    residual = robust_residuals(_surface(runs, sparse=True, bent=True), np.log(runs["loss"].to_numpy()))
    far = _far(residual)
    if far.any():
        residual = law_residuals(runs, np.flatnonzero(~far))
        far &= _far(residual)
    rows = np.flatnonzero(far)
    if len(rows) > max(1, MOST_OUTLYING * len(residual)):
        rows = rows[:0]
    return rows[np.argsort(-np.abs(residual[rows]))], residual


def _far(residual: np.ndarray) -> np.ndarray:
    return np.abs(residual) > max(FAR, SCALES * _scale(residual))


def _copy_notes(modality: str, runs: xr.Dataset) -> list[Note]:
    rows = copies(runs)
    if not rows.size:
        return []
    count = len(rows)
    return [
        Note(
            "copied_runs",
            "warning",
            f"{count} run{'s' * (count > 1)} of {modality} ({_named(runs, rows)}) {'have' if count > 1 else 'has'} the "
            "design and to the last digit the loss of another: a run that stands twice in the table counts twice.",
            {"modality": modality, "column": "loss"},
            {"runs": count},
        )
    ]


def _outlier_notes(modality: str, runs: xr.Dataset) -> list[Note]:
    rows, residual = outlying(runs)
    ids, loss = runs["run_id"].to_numpy(), runs["loss"].to_numpy()
    notes = []
    for i in rows:
        factor = float(np.exp(residual[i]))
        notes.append(
            Note(
                "outlying_run",
                "warning",
                f"The loss of run {ids[i]} of {modality}, {loss[i]:.4g}, is {factor:.2g} times what runs like it "
                "reach: look what happened to it.",
                {"modality": modality, "run_id": str(ids[i])},
                {"loss": float(loss[i]), "factor": factor},
            )
        )
    return notes


def _other_unit(runs: xr.Dataset) -> _Block | None:
    """A block of losses that fit after a change of unit."""
    log_loss = np.log(runs["loss"].to_numpy())
    unlabelled = None
    # A surface that bends, or that knows of sparsity, follows a block that fills a corner of the sweep.
    for sparse, bent in ((True, True), (True, False), (False, True), (False, False)):
        surface = robust_residuals(_surface(runs, sparse=sparse, bent=bent), log_loss)
        for sign in (1, -1):
            inside = sign * surface > UNIT
            if not _apart(sign * surface, inside):
                continue
            rows = np.flatnonzero(inside)
            residual = law_residuals(runs, np.flatnonzero(~inside))
            if not _apart(sign * residual, inside) or not (found := _conversion(log_loss, residual, rows)):
                continue
            if _shared(runs, rows):
                return found
            unlabelled = unlabelled or found
    return unlabelled


def _apart(residual: np.ndarray, inside: np.ndarray) -> bool:
    """Whether the residuals of a block lie above all others, with a gap in between."""
    if not FEWEST_OF_A_UNIT <= inside.sum() < len(inside) / 2 + 1:
        return False
    return bool(residual[inside].min() - residual[~inside].max() > _tight(residual[~inside]))


def _tight(others: np.ndarray) -> float:
    """How well the residuals of a block must agree with each other, by those of the other runs."""
    return max(2 * _scale(others), 0.03)


def _conversion(log_loss: np.ndarray, residual: np.ndarray, rows: np.ndarray) -> _Block | None:
    """What would bring the residuals of a block to those of the others, if anything known does."""
    tight = _tight(np.delete(residual, rows))
    off, loss, fitted = residual[rows], np.exp(log_loss[rows]), (log_loss - residual)[rows]
    typical = float(np.median(off))
    numbers = {"factor": float(np.exp(typical))}
    constant = _scale(off - typical) < tight
    if constant and abs(abs(typical) - LOG_BITS) < max(0.05, tight):
        ratio = "1/ln 2" if typical > 0 else "ln 2"
        return _Block(rows, f"are {np.exp(typical):.2f} times what the others suggest, about {ratio}", numbers)
    with np.errstate(invalid="ignore", divide="ignore"):
        as_perplexity, as_log = np.log(log_loss[rows]) - fitted, loss - fitted
    for changed, said in ((as_perplexity, "fit the others as perplexities"), (as_log, "fit the others as logarithms")):
        # The surface has not seen these runs in their own unit, so allow it what it misses elsewhere.
        if np.isfinite(changed).all() and np.abs(np.median(changed)) < max(0.1, tight) < np.abs(typical):
            return _Block(rows, said, numbers)
    if constant and abs(typical) > UNKNOWN_UNIT:
        return _Block(rows, f"are all about {np.exp(typical):.2g} times what the others suggest", numbers)
    return None


def _surface(runs: xr.Dataset, *, sparse: bool, bent: bool) -> np.ndarray:
    """Columns of a smooth surface, as many as the number of runs can bear, the most needed first."""
    n, d = (np.log(runs[name].to_numpy()) for name in ("nonzero_params", "data_seen"))
    t = density(runs)
    axes = [axis for axis in ([n, d, t] if sparse else [n, d]) if levels(axis).max() > 0]
    unit = [(axis - axis.mean()) / np.ptp(axis) for axis in axes]
    bends = [u**2 for u, axis in zip(unit, axes, strict=True) if levels(axis).max() > 1]
    twist = [unit[0] * unit[1]] if len(unit) > 1 else []
    columns = [np.ones_like(n), *unit] + (bends + twist if bent else [])
    return np.stack(columns[: max(1, (len(n) - 2) // 2)], axis=1)


def _scale(residual: np.ndarray) -> float:
    """Standard deviation by the median absolute deviation."""
    return float(1.4826 * np.median(np.abs(residual - np.median(residual))))


def _shared(runs: xr.Dataset, rows: np.ndarray) -> str:
    """What the runs of a block have in common and no other run has, if a column says it."""
    inside = np.isin(np.arange(runs.sizes["run"]), rows)
    for name, values in runs.data_vars.items():
        column = values.to_numpy()
        if column.dtype.kind in "Ub" and ((column == column[rows[0]]) == inside).all():
            return f"those with {name} {str(column[rows[0]])!r}"
    return ""


def _who(runs: xr.Dataset, rows: np.ndarray) -> str:
    """A block by what its runs share, else by the names of the first."""
    return _shared(runs, rows) or _named(runs, rows)


def _named(runs: xr.Dataset, rows: np.ndarray) -> str:
    ids = [str(run) for run in runs["run_id"].to_numpy()[rows]]
    return ", ".join(ids[:NAMED]) + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")
