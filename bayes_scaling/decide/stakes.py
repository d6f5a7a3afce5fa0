"""What hangs on a choice: the gain over dense, what other choices would cost, and what it is worth to know more."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling import laws
from bayes_scaling.decide.actions import Case
from bayes_scaling.decide.optimum import optimum_of
from bayes_scaling.errors import InputError
from bayes_scaling.intervals import interval
from bayes_scaling.point_fit import PointFit

__all__ = ["Point", "check_point", "compared", "point_sparsity", "stakes_of"]

Point = PointFit | Mapping[str, float]

MOST = np.log(1e6)
"""Nats of budget searched for one that buys what certainty would."""


def check_point(point: Point | None, modalities: Sequence[str]) -> None:
    """Refuse coefficients of one modality where several are asked about.

    Raises
    ------
    InputError
        If they are.
    """
    if isinstance(point, Mapping) and len(modalities) > 1:
        raise InputError(
            f"point has the coefficients of one modality, and {', '.join(modalities)} are asked about; name one"
        )


def point_sparsity(case: Case, point: Point) -> float:
    """The sparsity that a point estimate recommends: the optimum of its own law, among those allowed.

    Parameters
    ----------
    case : Case
    point : PointFit or dict of float
        Coefficients in physical units, as of `laws.Law.published`.

    Raises
    ------
    InputError
        If a coefficient, or the modality or structure, is missing.
    """
    if isinstance(point, PointFit):
        law, values = laws.get(point.law), _at_cell(point.coefficients, case)
    else:
        law, values = case.law, {**case.law.nested, **point}
    needed = [name for name in law.coefficients if name in case.at]
    if missing := [name for name in needed if name not in values]:
        raise InputError(f"point has no {', '.join(missing)}, which the law {law.name} needs")
    at = {name: xr.DataArray(np.array([float(values[name])]), dims="draw") for name in needed}
    return float(case.allowed(optimum_of(law, at, case.question, case.structure)).item())


def stakes_of(case: Case, action: float, best: xr.DataArray, point: Point | None) -> dict[str, Any]:
    """What hangs on the choice of a sparsity, by the law alone.

    Parameters
    ----------
    case : Case
    action : float
        The sparsity recommended.
    best : DataArray
        Each draw's own optimum.
    point : PointFit or dict of float, optional
        A point estimate whose choice is held against it.

    Returns
    -------
    dict
        As `Answer.stakes`.
    """
    loss, dense, least = (case.law_loss(s) for s in (action, 0.0, best))
    # Optima of a pretrained start may have minima to either side of the limit.
    attainable = np.minimum(np.minimum(case.law_loss(case.allowed(best)), loss), dense)
    worth = float((loss - attainable).mean())
    found: dict[str, Any] = {
        "regret_of_dense": float((dense - least).mean()),
        "perfect_information": {"loss": worth, "train_flops": _extra_flops(case, action, float(attainable.mean()))},
    }
    if point is not None:
        theirs = point_sparsity(case, point)
        regret = float((case.law_loss(theirs) - least).mean())
        found["point"] = {"sparsity": theirs, "expected_regret": regret}
    return found


def _extra_flops(case: Case, action: float, loss: float) -> float | None:
    """Budget beyond the case's own at which the action's expected loss is that small; None where no budget does."""
    from scipy.optimize import brentq

    budget = float(case.question.train_flops)

    def above(nats: float) -> float:
        question = replace(case.question, train_flops=case.question.train_flops * np.exp(nats))
        return float(case.law_loss(action, question).mean()) - loss

    if above(0.0) <= 0:
        return 0.0
    if not above(MOST) < 0:
        return None
    return budget * float(np.expm1(brentq(above, 0.0, MOST, xtol=1e-12, rtol=1e-12)))


def compared(
    modality: str, dense_loss: xr.DataArray, choices: Sequence[tuple[str, float, xr.DataArray]], prob: float
) -> dict[str, Any]:
    """Structures of one modality side by side on paired draws, each at its recommended sparsity, and dense.

    Parameters
    ----------
    modality : str
    dense_loss : DataArray
        Draws of the dense model's loss.
    choices : sequence of (str, float, DataArray)
        Structure, recommended sparsity and draws of its loss. One that is best left dense is no choice of its own.
    prob : float
        Probability of the intervals.

    Returns
    -------
    dict
        As an entry of `Recommendation.comparisons`.
    """
    options = [("dense", 0.0, dense_loss), *(choice for choice in choices if choice[1] > 0)]
    losses = xr.concat([loss.drop_vars(list(loss.coords)) for *_, loss in options], dim="option")
    first = int(np.argmin(losses.mean(("chain", "draw")).to_numpy()))
    share = np.bincount(losses.argmin("option").to_numpy().ravel(), minlength=len(options)) / dense_loss.size
    over = losses - losses.isel(option=first)
    return {
        "modality": modality,
        "best": options[first][0],
        "options": [
            {
                "structure": structure,
                "sparsity": sparsity,
                "probability_best": float(share[i]),
                "difference": interval(over.isel(option=i), prob),
            }
            for i, (structure, sparsity, _) in enumerate(options)
        ],
    }


def _at_cell(coefficients: xr.Dataset, case: Case) -> dict[str, float]:
    """The coefficients of the case's modality, structure and strategy."""
    cell = {"modality": case.modality, "structure": case.structure, "strategy": case.strategy}
    here = {dim: name for dim, name in cell.items() if dim in coefficients.dims}
    for dim, name in here.items():
        if name not in (known := coefficients[dim].to_numpy().tolist()):
            raise InputError(f"point has no {dim} {name!r}; it has {', '.join(known)}")
    return {str(name): float(values) for name, values in coefficients.sel(here).data_vars.items()}
