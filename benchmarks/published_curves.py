"""The four point estimates of arXiv:2209.06640, by the procedure that its authors published with their data.

All minimise the squared error of log loss, or of the logs of both sides of M4, in turns: least squares for what enters
linearly, then steps for the rest. M3 and M4 need not end at a minimum, so the turns, their step sizes and their rule to
stop belong to the estimate. In M4 the ceiling moves, but the regression goes on using the
ceiling 1 that it started with. Every estimate takes x and loss and returns a function from x to loss.
"""

from collections.abc import Callable

import numpy as np
from numba import njit
from scipy.optimize import nnls

__all__ = ["ESTIMATES", "Estimate"]

Curve = Callable[[np.ndarray], np.ndarray]
Estimate = Callable[[np.ndarray, np.ndarray], Curve]

MARGIN = 1e-3
"""By how much floors stay below the lowest loss, and ceilings above the highest."""

TURNS, SLOW_TURNS, DONE = 10_000, 100, 1e-10
"""Turns at most; turns of small gradient steps before damped Newton steps; change of β at which turns end."""

SMALL, DAMPED = (1e-8, 1000), (0.1, 100)
"""Step size and number of steps of a turn."""

FLAT = 1e-5
"""Curvature and power below which M4 leaves a step out, or the ceiling."""


def m1(x: np.ndarray, loss: np.ndarray) -> Curve:
    """β x^-c."""
    design = np.column_stack([np.ones_like(x), np.log(x)])
    log_beta, slope = np.linalg.lstsq(design, np.log(loss))[0]
    return lambda u: np.exp(log_beta + slope * np.log(u))


def m2(x: np.ndarray, loss: np.ndarray) -> Curve:
    """β x^-c + e."""
    design = np.column_stack([np.ones_like(x), np.log(x)])
    top = floor = loss.min() - MARGIN
    beta = 1.0
    for turn in range(TURNS):
        coefficients = np.linalg.lstsq(design, np.log(loss - floor))[0]
        before, beta = beta, np.exp(coefficients[0])
        newton = turn >= SLOW_TURNS
        floor = _move_floor(loss, design @ coefficients, floor, top, newton, *(DAMPED if newton else SMALL))
        if abs(beta - before) < DONE and turn > SLOW_TURNS + 1:
            break
    return lambda u: beta * u ** coefficients[1] + floor


def m3(x: np.ndarray, loss: np.ndarray) -> Curve:
    """β (1/x + γ)^c, where γ is one of the values that make one point exact."""
    gamma, beta = 0.0, 1.0
    for _ in range(TURNS):
        log_beta, power = np.linalg.lstsq(np.column_stack([np.ones_like(x), np.log(1 / x + gamma)]), np.log(loss))[0]
        power, before, beta = max(power, 0.0), beta, np.exp(log_beta)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            exact = (loss / beta) ** (1 / power) - 1 / x
        tried = np.concatenate([[gamma], exact[np.isfinite(exact) & (exact >= 0)]])
        off = np.log(loss) - log_beta - power * np.log(1 / x + tried[:, None])
        gamma = tried[(off**2).sum(axis=1).argmin()]
        if abs(beta - before) < DONE:
            break
    return lambda u: beta * (1 / u + gamma) ** power


def m4(x: np.ndarray, loss: np.ndarray) -> Curve:
    """(L - e) / (e_0 - L)^α = β x^-c, with β at least 1, and c and α at least 0."""
    design = np.column_stack([np.ones_like(x), -np.log(x), np.log(1 - loss)])
    top, bottom = loss.min() - MARGIN, loss.max() + MARGIN
    floor, ceiling, beta = top, 1.0, 1.0
    for turn in range(TURNS):
        log_beta, power, alpha = nnls(design, np.log(loss - floor))[0]
        before, beta = beta, np.exp(log_beta)
        line, newton = log_beta - power * np.log(x), turn >= SLOW_TURNS
        floor, ceiling = _move_both(
            loss, line, alpha, floor, ceiling, top, bottom, newton, *(DAMPED if newton else SMALL)
        )
        if abs(beta - before) < DONE and turn > SLOW_TURNS + 1:
            break

    def curve(u: np.ndarray) -> np.ndarray:
        right = beta * u**-power
        if alpha < FLAT:
            return floor + right
        above = np.linspace(0, ceiling - floor, 10_000)  # solved by the nearest of so many values
        left = (ceiling - floor - above) ** alpha
        return floor + np.array([above[np.abs(above - value * left).argmin()] for value in right])

    return curve


ESTIMATES: dict[str, Estimate] = {"M1": m1, "M2": m2, "M3": m3, "M4": m4}


@njit
def _move_floor(loss, line, floor, top, newton, rate, steps):  # type: ignore[no-untyped-def]
    for _ in range(steps):
        gap = loss - floor
        off = np.log(gap) - line
        step = -np.mean(off / gap)
        if newton:
            step /= np.mean((1 - off) / gap**2)
        floor = min(max(floor - rate * step, 0.0), top)
    return floor


@njit
def _move_both(loss, line, alpha, floor, ceiling, top, bottom, newton, rate, steps):  # type: ignore[no-untyped-def]
    for _ in range(steps):
        gap, room = loss - floor, ceiling - loss
        off = np.log(gap) - alpha * np.log(room) - line
        down, up = -np.mean(off / gap), -alpha * np.mean(off / room)
        if newton:
            curved = np.mean((1 - off) / gap**2)
            down = down / curved if abs(curved) > FLAT else 0.0
            curved = alpha * np.mean((alpha + off) / room**2)
            up = up / curved if abs(curved) > FLAT else 0.0
        floor = min(max(floor - rate * down, 0.0), top)
        ceiling = max(ceiling - rate * up, bottom)
    return floor, ceiling
