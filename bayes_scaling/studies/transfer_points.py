"""What a pretrained start is worth as a formula, its published coefficients, and the usual point estimate."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.laws.base import Law

__all__ = ["PUBLISHED", "data_for", "regression", "transferred"]

PUBLISHED: dict[str, dict[str, float]] = {
    "text": {"k": 1.9e4, "alpha": 0.18, "beta": 0.38},
    "half text, half other code": {"k": 2.1e5, "alpha": 0.096, "beta": 0.38},
}
"""Of Hernandez et al., arXiv:2102.01293, to Python, in characters and non-embedding parameters, by what models were
pretrained on."""

STEPS = 50
"""Halvings of a bracket: to one part in 10^13."""

WIDEST = 50.0
"""Nats around the reference point in which data are looked for."""


def transferred(finetune_data: Any, nonzero_params: Any, *, k: Any, alpha: Any, beta: Any) -> Any:
    """Effective data transferred, D_T = k D_F^α N^β.

    Parameters
    ----------
    finetune_data : array or tensor
        D_F, in the unit of the answer.
    nonzero_params : array or tensor
        N.
    k, alpha, beta : array or tensor
        Coefficients; k belongs to the units.
    """
    return k * finetune_data**alpha * nonzero_params**beta


def data_for(
    law: Law, coefficients: Mapping[str, Any], nonzero_params: Any, loss: Any, reference: float
) -> xr.DataArray:
    """The data at which a law from scratch has a loss; infinite where endless data do not reach it.

    Parameters
    ----------
    law : Law
        Whose loss falls with data.
    coefficients : dict of DataArray
        In physical units.
    nonzero_params, loss : DataArray
    reference : float
        Data to look around.
    """
    target = loss + 0.0 * law.loss(0.0, nonzero_params, reference, **coefficients)
    low, high = (xr.full_like(target, np.log(reference) + sign * WIDEST) for sign in (-1, 1))
    out_of_reach = law.loss(0.0, nonzero_params, np.exp(high), **coefficients) > target
    for _ in range(STEPS):
        middle = (low + high) / 2
        too_little = law.loss(0.0, nonzero_params, np.exp(middle), **coefficients) > target
        low, high = xr.where(too_little, middle, low), xr.where(too_little, high, middle)
    found: xr.DataArray = xr.where(out_of_reach, np.inf, np.exp((low + high) / 2)).transpose(*target.dims)
    return found


def regression(finetune_data: np.ndarray, nonzero_params: np.ndarray, effective_data: np.ndarray) -> dict[str, float]:
    """Least squares on the logit of D_T / D_E, which is linear in log D_F and log N.

    Parameters
    ----------
    finetune_data, nonzero_params, effective_data : ndarray, shape (run,)
        D_F, N and D_E; runs whose D_E is no more than D_F or infinite are left out.

    Returns
    -------
    dict
        ``k``, ``alpha``, ``beta``, and ``runs``, how many were used.

    Raises
    ------
    InputError
        If they do not determine three coefficients.
    """
    fine = np.isfinite(effective_data) & (effective_data > finetune_data)
    d, n, share = finetune_data[fine], nonzero_params[fine], effective_data[fine] / finetune_data[fine] - 1
    columns = np.stack([np.ones(len(d)), np.log(d), np.log(n)], axis=-1)
    if np.linalg.matrix_rank(columns) < 3:
        raise InputError(
            f"{len(d)} fine-tuned runs do better than from scratch, and they do not differ in both data and size, "
            "so a point fit has no answer"
        )
    constant, slope, beta = np.linalg.lstsq(columns, np.log(share), rcond=None)[0]
    return {"k": float(np.exp(constant)), "alpha": float(slope + 1), "beta": float(beta), "runs": float(len(d))}
