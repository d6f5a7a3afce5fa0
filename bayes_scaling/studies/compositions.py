"""What compositions of domains are worth, and the best of a total: a convex problem, whose end has equal gradients."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError

__all__ = ["best_of_mean", "check_room", "offset_of", "relative_loss", "removable", "share_of", "water_filling"]


def removable(amount: Any, *, a: Any, b: Any) -> Any:
    """The part of the loss that further data of a domain can still remove, relative to the base composition's loss.

    Parameters
    ----------
    amount : array or tensor
        Of the domain, relative to the base's.
    a : array or tensor
        Amount that the other domains' data stand in for, in the same unit.
    b : array or tensor
        Exponent.
    """
    return (amount + a) ** -b


def share_of(slope: Any, b: Any) -> Any:
    """The part that further data can remove at the base, (1 + a)^-b, from the gradient there, b (1 + a)^(-b - 1)."""
    return (slope / b) ** (b / (b + 1))


def offset_of(share: Any, b: Any) -> Any:
    """The a at which a domain's data can still remove a share at the base: (1 + a)^-b = share."""
    return share ** (-1 / b) - 1


def relative_loss(amount: xr.DataArray, coefficients: xr.Dataset) -> xr.DataArray:
    """Loss of a composition, relative to the base composition's.

    Parameters
    ----------
    amount : DataArray
        Over ``domain``, relative to the base's.
    coefficients : Dataset
        ``a`` and ``b`` over ``domain``.
    """
    a, b = coefficients["a"], coefficients["b"]
    return 1 + (removable(amount, a=a, b=b) - removable(1.0, a=a, b=b)).sum("domain")


def check_room(base: np.ndarray, total: float, floor: float) -> None:
    """Refuse a total that the floors alone exceed, and values that neither can have."""
    if not (floor >= 0 and np.isfinite(total) and total > 0):
        raise InputError(f"total is {total:g} and floor {floor:g}; they are above 0 and of at least 0")
    if floor * base.sum() > total:
        raise InputError(
            f"total is {total:g}, less than the floors of {floor:g} times the base amounts together, "
            f"{floor * base.sum():g}"
        )


def water_filling(a: Any, b: Any, base: Any, total: float, floor: float = 0.2) -> np.ndarray:
    """The amounts of a total that minimise the sum of (x_i + a_i)^-b_i: equal gradients per unit of data.

    Parameters
    ----------
    a, b : ndarray, shape (…, domain)
        a of at least 0, b above 0.
    base : ndarray, shape (domain,)
        Base amounts, in the unit of the total.
    total : float
        What they sum to.
    floor : float
        Least amount of each, relative to the base's.

    Returns
    -------
    ndarray, shape (…, domain)
        Amounts relative to the base's.

    Raises
    ------
    InputError
        If floor or total is out of range, or the floors alone exceed the total.
    """
    a, b, base = (np.asarray(each, dtype=float) for each in (a, b, base))
    check_room(base, total, floor)

    def amounts(log_gradient: np.ndarray) -> np.ndarray:
        """Where each domain's gain per unit of data has come down to a value."""
        return np.maximum(np.exp((np.log(b / base) - log_gradient) / (b + 1)) - a, floor)

    # Between the gradient at which nobody gets more than the floor, and the one at which everybody alone has the total.
    def log_gain(x: Any) -> np.ndarray:
        return np.log(b / base) - (b + 1) * np.log(x + a)

    low = log_gain(total / base).min(axis=-1, keepdims=True)
    high = log_gain(floor if floor > 0 else 1e-300).max(axis=-1, keepdims=True)
    for _ in range(100):
        middle = (low + high) / 2
        much = (amounts(middle) * base).sum(axis=-1, keepdims=True) > total
        low, high = np.where(much, middle, low), np.where(much, high, middle)
    return amounts((low + high) / 2)


def best_of_mean(a: xr.DataArray, b: xr.DataArray, base: np.ndarray, total: float, floor: float) -> np.ndarray:
    """The relative amounts that minimise the posterior mean, a convex problem in as many numbers as domains."""
    from scipy.optimize import minimize

    offsets, exponents = (each.to_numpy().reshape(-1, len(base)) for each in (a, b))
    costs = base / base.mean()

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        terms = removable(x, a=offsets, b=exponents)
        slopes = -exponents * terms / (x + offsets)
        return float(terms.mean(axis=0).sum()), slopes.mean(axis=0)

    start = water_filling(np.median(offsets, axis=0), np.median(exponents, axis=0), base, total, floor)
    found = minimize(
        objective,
        start,
        jac=True,
        method="SLSQP",
        bounds=[(floor, None)] * len(base),
        constraints={"type": "eq", "fun": lambda x: costs @ x - total / base.mean(), "jac": lambda x: costs},  # noqa: ARG005
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return np.maximum(found.x, floor)
