"""Optimal sparsity by an explicit inverse, for laws that state a term of size and one of data.

With t = -log(1 - S), a size term f(t), a data term G D^-β, a cost multiplier m(t) and D_0 the data that the budget
pays for at sparsity 0, the sum of the terms is least where

    log(-f'(t)) = log(β G) - β log D_0 + β log m(t) + log((log m)'(t)).

Since f is a function of sparsity times one of size, all that depends on t can go to one side:

    H(t) = β log m + log((log m)') - log(f'(t) / f'(0)) = β log D_0 - log(β G) + log(-f'(0)).

The right side is explicit. Where H rises, there is one optimum, t = H^-1(right side), or 0 below H(0). H is tabulated
per draw and inverted by cubic Hermite pieces, so that each further budget costs an interpolation. The tables are held
against H between their nodes; where they miss, because a cost model jumps or bends, `search` takes over.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide.costs import Cost
from bayes_scaling.decide.question import Question
from bayes_scaling.decide.search import END
from bayes_scaling.laws.base import Law

__all__ = ["invert", "log_dense_data", "solvable"]

NODES = 257

BEND = 2.0
"""How much denser nodes are at 0, where cost models bend, than at the end: e^2 times."""

MISS = 1e-9
"""Largest error of sparsity between nodes."""

REACH = 300.0
"""Heights that nothing asks for: with b_S in the tens, f' falls below the smallest float, and H there is a line."""

CHECKED = 50
"""Draws of a table that are held against H between the nodes."""

TINY = 1e-20
"""Of the complex step, as in `misfit`: derivatives to the last digit, because nothing is subtracted."""

STEP = 1e-3
"""Of the difference of fourth order that a cost model's slope is taken by: both errors are about 1e-12."""

FAR = 20.0
"""Nats of data between the points that give the exponent of the data term."""


def solvable(law: Law, question: Question) -> bool:
    """Whether the condition above is what makes the loss least.

    The class that the law's loss comes from must state the terms too (another loss may have others), all data must be
    paid for alike, and the cost must not jump between dense and sparse.
    """
    owner = next(c for c in type(law).__mro__ if "loss" in vars(c))
    if "terms" not in vars(owner) or question.pretrain_data:
        return False
    dense, *sparse = (np.asarray(question.spent(s)) for s in (0.0, 0.5, 0.99))
    jump = question.cost.multiplier(np.array([1e-9])) / question.cost.multiplier(np.zeros(1)) - 1
    return all(np.array_equal(dense, other) for other in sparse) and bool(np.abs(jump).max() < 1e-6)


def invert(law: Law, at: dict[str, xr.DataArray], question: Question) -> xr.DataArray | None:
    """The optimum of each draw, in t, or None where H does not rise or the table misses it.

    Parameters
    ----------
    law : Law
    at : dict of DataArray
        Its coefficients.
    question : Question
        One that is `solvable`; sizes and budgets broadcast against the coefficients.
    """
    broadcast = xr.broadcast(*at.values())
    whole = broadcast[0].drop_attrs()
    rows = {n: v.transpose(*whole.dims).to_numpy().reshape(-1, 1) for n, v in zip(at, broadcast, strict=True)}
    nodes = END * np.expm1(BEND * np.linspace(0, 1, NODES)) / np.expm1(BEND)
    between = (nodes[1:] + nodes[:-1]) / 2
    scale, exponent = _data_power(law, rows)
    size = float(np.ravel(question.nonzero_params)[0])
    if not _as_stated(law, rows, size):
        return None

    def table(t: np.ndarray, some: slice) -> np.ndarray:
        few = {name: values[some] for name, values in rows.items()}
        drop = _size_slope(law, few, t, size) - _size_slope(law, few, 0.0, size)
        log_cost, log_slope = _cost(question.cost, t)
        with np.errstate(invalid="ignore"):  # both slopes may vanish; what is not finite goes to the search below
            return np.minimum(exponent[some] * log_cost + log_slope - drop, 2 * REACH + t)

    heights = table(nodes, slice(None))
    if np.isneginf(heights).all():  # sparsity is free
        free = xr.broadcast(whole, question.data_seen(0.0))[0].transpose(*whole.dims, ...)
        return xr.full_like(free, END)
    if not (np.isfinite(heights).all() and (np.diff(heights) > 0).all()):
        return None
    pieces = _pieces(nodes, heights)
    some = slice(None, None, max(1, len(heights) // CHECKED))
    wanted = table(between, some)
    missed = np.exp(-_along(pieces[some], heights[some], wanted)) - np.exp(-between)
    if not ((np.abs(missed) < MISS) | (wanted > REACH)).all():
        return None
    scale, exponent = (whole.copy(data=values.reshape(whole.shape)) for values in (scale, exponent))
    with np.errstate(divide="ignore"):
        log_data = np.log(question.data_seen(0.0))
    asked = exponent * log_data + (_size_slope(law, at, 0.0, question.nonzero_params) - scale)
    asked = asked.broadcast_like(whole).transpose(*whole.dims, ...)
    if asked.max() > REACH:
        return None
    t = _along(pieces, heights, asked.to_numpy().reshape(len(heights), -1))
    return asked.drop_attrs().copy(data=t.reshape(asked.shape))


def log_dense_data(law: Law, at: dict[str, xr.DataArray], cost: Cost, size: Any, t: float) -> xr.DataArray:
    """The log of the data that a dense model would see on the budget from which t is optimal."""
    scale, exponent = _data_power(law, at)
    log_cost, log_slope = (float(c[0]) for c in _cost(cost, np.array([t])))
    return (scale + exponent * log_cost + log_slope - _size_slope(law, at, t, size)) / exponent


def _size_slope(law: Law, at: Mapping[str, Any], t: Any, size: Any) -> Any:
    """log(-f'(t))."""
    term, _ = law.terms(-np.expm1(-(t + 1j * TINY)), size, 1.0, 0.0, **at)
    with np.errstate(divide="ignore"):
        return np.log(-term.imag / TINY)


def _data_slope(law: Law, at: Mapping[str, Any], log_data: float) -> Any:
    """How fast the data term falls over log D, as a log."""
    _, term = law.terms(0.0, 1.0, np.exp(log_data) * (1 + 1j * TINY), 0.0, **at)
    return np.log(-term.imag / TINY)


def _data_power(law: Law, at: Mapping[str, Any]) -> tuple[Any, Any]:
    """log(β G) and β, of a data term G D^-β."""
    scale = _data_slope(law, at, 0.0)
    return scale, (scale - _data_slope(law, at, FAR)) / FAR


def _as_stated(law: Law, at: Mapping[str, Any], size: float) -> bool:
    """Whether the data term is a power and the size term a product, at one point more each."""
    scale, exponent = _data_power(law, at)
    power = _data_slope(law, at, FAR / 2) - (scale - exponent * FAR / 2)
    drop, other = (_size_slope(law, at, 0.1, s) - _size_slope(law, at, 0.0, s) for s in (size, 3 * size))
    return bool((np.abs(power) < 1e-9).all() and (np.abs(drop - other) < 1e-9).all())


def _cost(cost: Cost, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logs of m and of (log m)'; minus infinity or NaN where m does not rise."""

    def log_multiplier(steps: int) -> np.ndarray:
        return np.log(cost.multiplier(-np.expm1(-np.maximum(t + steps * STEP, 0.0))))

    forward = [(0, -25), (1, 48), (2, -36), (3, 16), (4, -3)]  # near 0, below which there is no cost
    central = [(-2, 1), (-1, -8), (1, 8), (2, -1)]
    with np.errstate(all="ignore"):
        ahead, around = (sum(w * log_multiplier(k) for k, w in rule) / (12 * STEP) for rule in (forward, central))
        return log_multiplier(0), np.log(np.where(t < 2 * STEP, ahead, around))


def _pieces(nodes: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Cubics in the fraction of the way from node to node, for t as a function of H: (draw, piece, power)."""
    from scipy.interpolate import CubicSpline

    slope = CubicSpline(nodes, heights, axis=1)(nodes, 1)
    rise, step = np.diff(heights), np.diff(nodes)
    first, last = rise / slope[:, :-1], rise / slope[:, 1:]
    start = np.broadcast_to(nodes[:-1], rise.shape)
    return np.stack([start, first, 3 * step - 2 * first - last, first + last - 2 * step], axis=-1)


def _along(pieces: np.ndarray, heights: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Where each row reaches the heights asked for; the ends beyond the table."""
    steps = np.arange(heights.shape[1], dtype=float)
    way = np.stack([np.interp(row, table, steps) for row, table in zip(asked, heights, strict=True)])
    piece = np.minimum(way.astype(int), pieces.shape[1] - 1)
    way -= piece
    flat = piece + pieces.shape[1] * np.arange(len(pieces))[:, None]
    start, first, second, third = (np.take(pieces[..., power], flat) for power in range(4))
    return start + way * (first + way * (second + way * third))
