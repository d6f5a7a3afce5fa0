"""Regression that a minority of runs cannot bend, however far off."""

import numpy as np

__all__ = ["robust_residuals"]

STARTS = 300
ENOUGH = 100_000
"""Starts times rows beyond which there are fewer starts: many rows need fewer, and each costs more."""

BEST = 10
STEPS = 2, 8
"""Steps towards the majority: two of all starts, then eight of the ten best."""

ROUNDS = 20
DF = 4
"""Of the Student-t weights in the last rounds, as for the noise of runs."""


def robust_residuals(columns: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Residuals of a linear regression that follows the majority.

    Least trimmed squares from many small subsets gives a start that almost half of the rows cannot move (Rousseeuw and
    Van Driessen, "Computing LTS regression for large data sets", Data Mining and Knowledge Discovery 12, 2006); a few
    rounds of Student-t weights, with the scale held at the start's, then use all rows that are not far off.

    Parameters
    ----------
    columns : ndarray, shape (row, column)
    response : ndarray, shape (row,)

    Returns
    -------
    ndarray, shape (row,)
    """
    rows, width = columns.shape
    kept = (rows + width + 1) // 2
    rng = np.random.default_rng(0)
    starts = int(np.clip(ENOUGH / rows, BEST, STARTS))
    subset = rng.permuted(np.tile(np.arange(rows), (starts, 1)), axis=1)[:, : min(width + 2, rows)]
    coefficients = _solve(columns[subset], response[subset])
    for steps in STEPS:
        for _ in range(steps):
            residual = np.abs(response - coefficients @ columns.T)
            nearest = np.argpartition(residual, kept - 1, axis=1)[:, :kept]
            coefficients = _solve(columns[nearest], response[nearest])
        square = np.partition((response - coefficients @ columns.T) ** 2, kept - 1, axis=1)[:, :kept]
        coefficients = coefficients[np.argsort(square.sum(axis=1))[:BEST]]
    residual = response - columns @ coefficients[0]
    scale = max(1.4826 * float(np.median(np.abs(residual))), 1e-3)
    for _ in range(ROUNDS):
        weight = np.sqrt((DF + 1) / (DF + (residual / scale) ** 2))
        fitted = np.linalg.lstsq(columns * weight[:, None], response * weight, rcond=None)[0]
        residual = response - columns @ fitted
    return residual


def _solve(columns: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Least squares for a stack of subsets, which may be singular: grids repeat their values."""
    return np.einsum("skr,sr->sk", np.linalg.pinv(columns, rcond=1e-8), response)
