"""A model of training whose expected loss is known exactly: ridge regression on random features.

Data x have independent Gaussian components of variances λ_I = largest · I^-(1 + alpha), I = 1 … latent; labels are
y = w · x + noise with random w; what is trained are the weights of N random linear features of x, on T examples
(Maloney, Roberts, Sully, arXiv:2210.16859). The loss falls as a power law in N and in T, has double descent at N = T
where the ridge is small, and leaves the power law where both N and T exceed the number of components.

No fitted law has this form, and what it expects is known: ground truth for checks of laws, intervals and extrapolation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.runs import load_runs

__all__ = ["LATEX", "REFERENCE", "Model", "expected_loss", "optimal_ridge", "simulate", "train", "train_averaged"]

REFERENCE = "Maloney, Roberts, Sully (2022), arXiv:2210.16859"
LATEX = (
    r"L = \frac{\sigma_w^2 \Delta [\rho (s_1 - s_2) + (1 - \rho) s_1] + g_1 \sigma_\epsilon^2}{1 - g_1} "
    r"+ \sigma_\epsilon^2, \quad (N - s_1)(T - s_1) \Delta = g"
)

Ridge = float | Literal["optimal"]

HALVINGS = 64
"""Of the bracket of a root's logarithm, less than 1,500 wide at first: down to the last digit of a double."""


@dataclass(frozen=True)
class Model:
    """What the data are like.

    Attributes
    ----------
    latent : int
        Components of the data, M.
    alpha : float
        Exponent of the loss: variances fall as I^-(1 + alpha).
    largest : float
        Variance of the first component.
    weight_variance : float
        Of each component's true weight.
    noise_variance : float
        Of the labels; also the irreducible loss.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    latent: int = 1000
    alpha: float = 0.5
    largest: float = 1.0
    weight_variance: float = 1.0
    noise_variance: float = 0.0

    def __post_init__(self) -> None:
        if self.latent < 1:
            raise InputError(f"latent is {self.latent}; it is a whole number of at least 1")
        for name in ("alpha", "largest", "weight_variance"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name):g}; it is above 0")
        if not self.noise_variance >= 0:
            raise InputError(f"noise_variance is {self.noise_variance:g}; it is at least 0")

    @property
    def variances(self) -> np.ndarray:
        """Variances of the components, shape (latent,)."""
        return self.largest * np.arange(1, self.latent + 1) ** -(1 + self.alpha)


def expected_loss(model: Model, features: Any, samples: Any, ridge: Ridge = 0.0) -> np.ndarray:
    """Held-out squared error on noisy labels, in the limit of many features and examples.

    Parameters
    ----------
    model : Model
    features, samples : int or array of int
        N and T; they broadcast.
    ridge : float or "optimal"
        Of the squared weights, against the sum of squared errors; 0 takes the interpolating weights of least norm.

    Returns
    -------
    ndarray
        Infinite at N = T below ``latent`` without ridge.

    Raises
    ------
    InputError
        If a number is out of range.

    Notes
    -----
    The deterministic equivalent of arXiv:2210.16859, for features with unit variance. With noise in the labels it
    diverges without ridge at T = ``latent`` < N, too.
    """
    n, t = _sizes(features, samples)
    if ridge == "optimal":
        return np.reshape([_best(model, *pair)[1] for pair in zip(n.flat, t.flat, strict=True)], n.shape)
    _check_ridge(ridge)
    return _loss(model, n, t, _resolution(model, n, t, float(ridge)))


def optimal_ridge(model: Model, features: Any, samples: Any) -> np.ndarray:
    """The ridge with the least expected loss.

    Parameters
    ----------
    model : Model
    features, samples : int or array of int
        N and T; they broadcast.

    Returns
    -------
    ndarray

    Raises
    ------
    InputError
        If a number is out of range.
    """
    n, t = _sizes(features, samples)
    return np.reshape([_best(model, *pair)[0] for pair in zip(n.flat, t.flat, strict=True)], n.shape)


def _sizes(features: Any, samples: Any) -> tuple[np.ndarray, np.ndarray]:
    for name, values in (("features", features), ("samples", samples)):
        each = np.asarray(values, dtype=float)
        if not ((each >= 1) & (each == np.floor(each))).all():
            raise InputError(f"{name} is {values}; these are whole numbers of at least 1")
    n, t = np.broadcast_arrays(np.asarray(features, dtype=float), np.asarray(samples, dtype=float))
    return n, t


def _check_ridge(ridge: Any) -> None:
    if isinstance(ridge, str) or not ridge >= 0:
        raise InputError(f"ridge is {ridge}; it is a number of at least 0, or 'optimal'")


def _traces(model: Model, resolution: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums over components of λ / (λ + Δ) and of its square."""
    ratio = model.variances / (model.variances + resolution[..., None])
    return ratio.sum(axis=-1), (ratio**2).sum(axis=-1)


def _resolution(model: Model, n: np.ndarray, t: np.ndarray, ridge: float) -> np.ndarray:
    """Δ, the variance below which components are not resolved: where (N - s1)(T - s1) Δ is the ridge.

    Without ridge s1 = min(N, T), or Δ = 0 where that exceeds the number of components. With one, Δ lies above that
    point, and the left side rises from 0 there, so the root is the only one.
    """
    few = np.minimum(n, t)

    def too_small(log: np.ndarray) -> np.ndarray:
        s1, _ = _traces(model, np.exp(log))
        return (s1 >= few) | ((n - s1) * (t - s1) * np.exp(log) < ridge)

    total = model.variances.sum()
    low = np.full(n.shape, np.log(np.finfo(float).tiny))
    # s1 is at most total / Δ, so this is above the point and, with a ridge, far enough above it.
    high = np.log(2 * total / few + 4 * ridge / (n * t))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = too_small(middle)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.where((ridge == 0) & (few >= model.latent), 0.0, np.exp(high))


def _loss(model: Model, n: np.ndarray, t: np.ndarray, resolution: np.ndarray) -> np.ndarray:
    s1, s2 = _traces(model, resolution)
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = np.where(n == s2, 1.0, (n - s1) / (n - s2))  # both vanish where N components are all resolved
        from_noise = ((1 - rho) * s1 + rho * s2) / t
        missed = model.weight_variance * resolution * (rho * (s1 - s2) + (1 - rho) * s1)
        excess = (missed + from_noise * model.noise_variance) / (1 - from_noise)
    # 1 - from_noise is 0 at the peak, and there a rounding error may have either sign.
    return (
        np.where(1 - from_noise > 1e-9, excess, np.where(missed + model.noise_variance > 0, np.inf, 0.0))
        + model.noise_variance
    )


def _best(model: Model, n: float, t: float) -> tuple[float, float]:
    """The optimal ridge and its loss, found over Δ, which gives the ridge without a root to find."""
    from scipy.optimize import minimize_scalar

    size, data = np.array([n]), np.array([t])
    least = float(_resolution(model, size, data, 0.0)[0])
    start = np.log(max(least, np.finfo(float).tiny ** 0.5))
    end = np.log(least + model.variances.sum() + model.noise_variance)

    def loss(log: float) -> float:
        return float(_loss(model, size, data, np.exp(np.array([log])))[0])

    grid = np.linspace(start, end, 60)[1:]
    lowest = int(np.argmin([loss(log) for log in grid]))
    around = (grid[max(lowest - 1, 0)] if lowest else start, grid[min(lowest + 1, len(grid) - 1)])
    found = minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-10})
    resolution = np.exp(found.x)
    s1, _ = _traces(model, np.array([resolution]))
    ridge = float((n - s1[0]) * (t - s1[0]) * resolution)
    return max(ridge, 0.0), float(found.fun)


def _trained(
    model: Model, features: int, samples: int, ridge: float, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Data X, shape (T, M), and the map from labels to predictor in the space of x, shape (M, T)."""
    mix = rng.standard_normal((features, model.latent))
    data = rng.standard_normal((samples, model.latent)) * np.sqrt(model.variances)
    phi = mix @ data.T
    if ridge == 0:
        solve = np.linalg.pinv(phi.T, rcond=1e-12)
    elif features <= samples:
        solve = np.linalg.solve(phi @ phi.T + ridge * np.eye(features), phi)
    else:
        solve = np.linalg.solve(phi.T @ phi + ridge * np.eye(samples), phi.T).T
    return data, mix.T @ solve


def train(model: Model, features: int, samples: int, ridge: float, rng: np.random.Generator) -> float:
    """Train once: draw data, features, true weights and noise, and take the held-out loss, which needs no test set.

    Parameters
    ----------
    model : Model
    features, samples : int
        N and T.
    ridge : float
        At least 0.
    rng : numpy.random.Generator

    Returns
    -------
    float
        Squared error on new noisy labels, averaged over all data.
    """
    data, predictor = _trained(model, features, samples, ridge, rng)
    truth = np.sqrt(model.weight_variance) * rng.standard_normal(model.latent)
    labels = data @ truth + np.sqrt(model.noise_variance) * rng.standard_normal(samples)
    return float(model.variances @ (truth - predictor @ labels) ** 2) + model.noise_variance


def train_averaged(model: Model, features: int, samples: int, ridge: float, rng: np.random.Generator) -> float:
    """The same, averaged over true weights and noise in closed form, so that fewer repeats tell the mean.

    Parameters
    ----------
    model, features, samples, ridge, rng
        As of `train`.
    """
    data, predictor = _trained(model, features, samples, ridge, rng)
    missed = np.eye(model.latent) - predictor @ data
    from_weights = model.weight_variance * float(model.variances @ (missed**2).sum(axis=1))
    from_noise = model.noise_variance * float(model.variances @ (predictor**2).sum(axis=1))
    return from_weights + from_noise + model.noise_variance


def simulate(
    model: Model,
    features: Sequence[int],
    samples: Sequence[int],
    *,
    ridge: Ridge = "optimal",
    seeds: int = 1,
    seed: int = 0,
) -> xr.Dataset:
    """Train a grid of runs, whose law is known and is none of those that are fitted.

    Parameters
    ----------
    model : Model
    features, samples : sequence of int
        Every N is trained on every T.
    ridge : float or "optimal"
        The same for all, or each run's best, which removes double descent.
    seeds : int
        Runs of each cell, which differ in everything random.
    seed : int
        Of all random numbers.

    Returns
    -------
    Dataset
        A run table: ``nonzero_params`` is N, ``data_seen`` T, ``loss`` the held-out squared error; ``expected_loss`` is
        the truth behind it and ``ridge`` what was used.

    Raises
    ------
    InputError
        If a number is out of range.
    """
    if seeds < 1 or seed < 0:
        raise InputError(f"seeds is {seeds} and seed {seed}; they are at least 1 and at least 0")
    _sizes(features, samples)
    if ridge != "optimal":
        _check_ridge(ridge)
    rows = []
    for n in features:
        for t in samples:
            strength = float(optimal_ridge(model, n, t)) if ridge == "optimal" else float(ridge)
            expected = float(expected_loss(model, n, t, strength))
            for which in range(seeds):
                rng = np.random.default_rng([seed, n, t, which])
                rows.append(
                    {
                        "run_id": f"N{n}-T{t}-{which}",
                        "modality": "solvable",
                        "sparsity": 0.0,
                        "nonzero_params": n,
                        "data_seen": t,
                        "data_unit": "examples",
                        "loss": train(model, n, t, strength, rng),
                        "seed": which,
                        "expected_loss": expected,
                        "ridge": strength,
                    }
                )
    return load_runs(rows)
