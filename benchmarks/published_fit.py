"""The fitting procedure of arXiv:2309.08520 as its public code has it, and a bootstrap of the runs around it.

Mean Huber loss, on the loss for ViT (delta 0.01) and on its log for T5 (delta 0.001); `scipy.optimize.minimize` with
its default BFGS, numerical gradient and tolerances; 25 starts from a uniform distribution over [0, 1]^7; of the runs
that the optimiser flags as successful the one with the lowest objective. Parameters are in millions, data in 1e9 images
or 1e5 steps. The objective is not scaled, and BFGS's absolute tolerance on its gradient is what stops the T5 fit early.

The paper gives no intervals. Here the whole procedure is repeated on resampled runs, all starts included: refits begun
at the optimum would not move at all where that tolerance is met.
"""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from handwritten import Runs, expected

STARTS = 25
REFITS = 200
NOISES = 10
"""Residuals that each refit is given in turn."""

COEFFICIENTS = ("a_S", "b_S", "c_S", "b_N", "data", "b_D", "c")
"""In the order of the public code, for the starts."""

SAME = 1e-4
"""Relative difference of objectives within which starts have found the same optimum."""


@dataclass(frozen=True)
class Setting:
    """What the public code sets for a modality: units of size and data, Huber's delta, on log loss or not, seed."""

    units: tuple[float, float]
    delta: float
    on_log: bool
    seed: int


SETTINGS = {
    "language": Setting((1e6, 1e5 * 65_536), 0.001, True, 1),
    "vision": Setting((1e6, 1e9), 0.01, False, 0),
}


@dataclass(frozen=True)
class Fit:
    """One modality's fit.

    Attributes
    ----------
    best : dict
        Coefficients in the code's units.
    objective : float
    gradient : float
        Largest derivative at the end, relative to the objective.
    successful, agreeing : float
        Share of the starts that are flagged as successful, and that reach the best objective.
    """

    best: dict[str, float]
    objective: float
    gradient: float
    successful: float
    agreeing: float


def fit(runs: Runs, setting: Setting, seed: int) -> Fit | None:
    """The published procedure on one modality's runs in the code's units; None where no start succeeds."""
    from scipy.optimize import minimize

    observed = np.log(runs.loss) if setting.on_log else runs.loss

    def objective(values: np.ndarray) -> float:
        mean = expected(runs, **dict(zip(COEFFICIENTS, values, strict=True)))
        off = np.abs((np.log(mean) if setting.on_log else mean) - observed)
        near = np.minimum(off, setting.delta)
        return float(near @ (off - near / 2)) / len(off)

    rng = np.random.RandomState(setting.seed + seed)  # the generator of the public code
    with np.errstate(all="ignore"):  # excursions to negative losses, which end by themselves
        found = [minimize(objective, rng.uniform(size=len(COEFFICIENTS))) for _ in range(STARTS)]
    successful = [each for each in found if each.success and np.isfinite(each.fun)]
    if not successful:
        return None
    best = min(successful, key=lambda each: each.fun)
    return Fit(
        dict(zip(COEFFICIENTS, best.x.tolist(), strict=True)),
        best.fun,
        float(np.abs(best.jac).max() / best.fun),
        len(successful) / STARTS,
        sum(each.fun <= best.fun * (1 + SAME) for each in found) / STARTS,
    )


def in_units(runs: Runs, units: tuple[float, float]) -> Runs:
    """One group's runs with size and data relative to given units."""
    size, data = (log + old[0] - np.log(unit) for log, old, unit in zip(
        (runs.size, runs.data), runs.centre, units, strict=True
    ))  # fmt: skip
    return replace(runs, size=size, data=data, centre=np.log(units)[:, None])


def rows(runs: Runs, which: np.ndarray) -> Runs:
    """Some of the runs, by index."""
    each = {name: getattr(runs, name)[which] for name in ("group", "sparsity", "size", "data", "loss")}
    return replace(runs, **each)


def bootstrap(runs: Runs, setting: Setting, seed: int) -> list[Fit | None]:
    """The procedure on runs drawn with replacement, on all processors, as the chains of samplers are."""
    rng = np.random.default_rng([seed, 11])
    count = len(runs.loss)
    drawn = [rows(runs, rng.integers(count, size=count)) for _ in range(REFITS)]
    with ProcessPoolExecutor() as pool:
        return list(pool.map(partial(fit, setting=setting, seed=seed), drawn, chunksize=4))


def predicted(point: Fit, refits: list[Fit], runs: Runs, new: Runs, rng: np.random.Generator) -> np.ndarray:
    """Log losses of new runs, shape (draw, run): a refit's prediction and a residual of the fit, on the log.

    Residuals are widened for the coefficients that were fitted to them. NaN where a refit predicts no positive loss.
    """
    count = len(runs.loss)
    residuals = np.log(runs.loss) - np.log(expected(runs, **point.best))
    residuals *= np.sqrt(count / (count - len(COEFFICIENTS)))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.log(np.array([expected(new, **each.best) for each in refits]))
    return np.concatenate([mean + rng.choice(residuals, mean.shape) for _ in range(NOISES)])
