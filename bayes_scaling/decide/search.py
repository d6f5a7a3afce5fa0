"""Optimal sparsity under any law and cost model: the best point of a grid, refined to the root of the slope beside it.

Everything is in t = -log(1 - S). From scratch there is one minimum. A pretrained start has learnt something from no
data at all, so there the loss may turn again towards full sparsity, and the grid finds the lower of two minima.
"""

from dataclasses import replace

import numpy as np
import xarray as xr

from bayes_scaling.decide.question import Question
from bayes_scaling.laws.base import Law

__all__ = ["END", "search"]

END = 14.0
"""Search up to a density of e^-14, one weight in a million; nearer to 1, rounding of 1 - S hides the slope."""

GRID = 0.25
"""Spacing of the points in log density between which the optimum is refined."""

STEP = 1e-5
"""Half the step of the central difference in log density: rounding and truncation errors are both about 1e-11."""

NEAR = STEP * (1 + 1e-6)
"""Where the search begins beside 0, so that slopes leave 0 out: a cost may jump between dense and sparse."""

ROUNDING = 1e-13
"""Relative change of a loss that means nothing."""


def search(law: Law, at: dict[str, xr.DataArray], question: Question) -> tuple[xr.DataArray, xr.DataArray]:
    """The optimum of each draw, and where the loss has more than one minimum.

    Parameters
    ----------
    law : Law
    at : dict of DataArray
        Its coefficients.
    question : Question
        Sizes and budgets that broadcast against the coefficients.

    Returns
    -------
    tuple of DataArray
        t, in [0, `END`], and whether the grid saw several local minima, the ends of the search included.
    """
    names = list(at)
    size, budget, *values = xr.broadcast(question.nonzero_params, question.train_flops, *at.values())
    template = values[0].drop_attrs()
    arrays = [v.transpose(*template.dims).to_numpy().ravel() for v in (size, budget, *values)]

    def loss(t: np.ndarray, size: np.ndarray, budget: np.ndarray, *values: np.ndarray) -> np.ndarray:
        here = replace(question, nonzero_params=size, train_flops=budget)
        return here.loss(law, dict(zip(names, values, strict=True)), -np.expm1(-t))

    def slope(t: np.ndarray, *args: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            difference = loss(t + STEP, *args) - loss(t - STEP, *args)
        return np.where(np.isfinite(difference), difference, 1.0)  # loss is infinite where the budget does not reach

    dense = before = loss(np.zeros(1), *arrays)
    t, least = np.full(template.size, NEAR), np.full(template.size, np.inf)
    minima = np.zeros(template.size, dtype=int)
    falls, rises = np.zeros(template.size, dtype=bool), np.zeros(template.size, dtype=bool)
    for point in (NEAR, *np.linspace(0.0, END, round(END / GRID) + 1)[1:]):
        here = loss(np.full(1, point), *arrays)
        up, down = here > before * (1 + ROUNDING), here < before * (1 - ROUNDING)
        minima += up & ~rises  # it has fallen until here, or begins at 0 by rising
        falls, rises = (falls & ~up) | down, (rises & ~down) | up
        t, least, before = np.where(here < least, point, t), np.fmin(here, least), here
    minima += falls
    left, right = np.maximum(t - GRID, NEAR), np.minimum(t + GRID, END)
    inside = slope(left, *arrays) < 0  # otherwise loss rises from the beginning on
    if inside.any():
        from scipy.optimize import elementwise

        some = tuple(a[inside] for a in arrays)
        found = elementwise.find_root(slope, (left[inside], right[inside]), args=some)
        paid = np.isfinite(loss(found.x, *some))
        root = np.where(paid, found.x, np.minimum(*found.bracket))  # where the budget ends, from the left
        t[inside] = np.where(found.status == 0, root, t[inside])  # at the end of the grid there may be no root
    t = np.where(loss(t, *arrays) < dense, t, 0.0)
    shape = template.shape
    return template.copy(data=t.reshape(shape)), template.copy(data=(minima > 1).reshape(shape))
