"""Posterior density of one curve under one form, for thousands of parameter vectors at once.

log loss = form + drift process + noise. Process and noise are Gaussian with variances drift² and noise²: the process's
covariance is rotated to a diagonal once per curve, after which a vector of parameters costs one evaluation of the form
and one product with the rotation.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayes_scaling.curve.drift import covariance, paths
from bayes_scaling.curve.forms.base import Form, Quantity
from bayes_scaling.curve.table import Curve

__all__ = ["COMMON", "Target", "quantities"]

LEVEL_SD = 0.2
"""Prior standard deviation of the log loss at the last point, around the one measured there."""

SLOPE = Quantity(0.2, 1.0, "log", "steepness -d log loss / d log x at the last point")
NOISE = Quantity(0.01, 1.2, "log", "standard deviation of a single measurement of log loss")
DRIFT = Quantity(0.03, 1.0, "log", "how much the slope wanders, per square root of a nat of log x")
COMMON = ("level", "slope", "noise", "drift")
"""Quantities of every form, beside its shape."""


def quantities(form: Form) -> dict[str, Quantity]:
    """All quantities of a form, in the order of parameter vectors."""
    level = Quantity(1.0, LEVEL_SD, "log", "loss at the last point")
    return {"level": level, "slope": SLOPE, **form.shape, "noise": NOISE, "drift": DRIFT}


@dataclass(frozen=True)
class Target:
    """A curve, a form and a prior.

    Parameters
    ----------
    curve : Curve
    form : Form
    shift, sd : ndarray, shape (dim,), optional
        The prior on the link scale: mean less the form's own centre for the curve, and standard deviation. By default
        the form's own.
    """

    curve: Curve
    form: Form
    shift: np.ndarray | None = None
    sd: np.ndarray | None = None

    @cached_property
    def center(self) -> np.ndarray:
        """The form's own prior means for this curve, on the link scale."""
        loss = np.exp(self.curve.log_loss)
        found = {name: quantity.to_link(quantity.center) for name, quantity in quantities(self.form).items()}
        found["level"] = self.curve.log_loss[-1]
        for name, quantity in self.form.shape.items():
            found[name] = quantity.to_link(self.form.center(name, loss))
        return np.array(list(found.values()))

    @property
    def prior_mean(self) -> np.ndarray:
        """Means on the link scale."""
        return self.center if self.shift is None else self.center + self.shift

    @property
    def prior_sd(self) -> np.ndarray:
        """Standard deviations on the link scale."""
        return np.array([q.sd for q in quantities(self.form).values()]) if self.sd is None else self.sd

    def natural(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """Quantities on their own scales, each of shape (draw,), from parameter vectors of shape (draw, dim)."""
        return {n: q.from_link(points[:, i]) for i, (n, q) in enumerate(quantities(self.form).items())}

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Log of prior times likelihood, shape (draw,); -inf where the form overflows."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            value = self._log_likelihood(self.natural(points)) + log_normal(points, self.prior_mean, self.prior_sd)
        return np.where(np.isfinite(value), value, -np.inf)

    def _log_likelihood(self, drawn: dict[str, np.ndarray]) -> np.ndarray:
        gap = self.curve.log_loss - self._form_at(self.curve.log_x, drawn)
        variance = self._variance(drawn)
        rotated = (gap * self._scale) @ self._axes
        constant = len(self._scale) * np.log(2 * np.pi) - 2 * np.log(self._scale).sum()
        return -((rotated**2 / variance + np.log(variance)).sum(axis=1) + constant) / 2

    def mean_and_variance(self, drawn: dict[str, np.ndarray], log_x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance, given a draw, of the log loss without noise; each of shape (draw, len(log_x)).

        Parameters
        ----------
        drawn : dict of ndarray, shape (draw,)
            Quantities on their own scales.
        log_x : ndarray, shape (n,)
        """
        at = log_x - self.curve.log_x[-1]
        pull = covariance(at, self._from_last) * self._scale @ self._axes
        drift2 = drawn["drift"][:, None] ** 2
        gain = drift2 / self._variance(drawn)
        rotated = ((self.curve.log_loss - self._form_at(self.curve.log_x, drawn)) * self._scale) @ self._axes
        mean = self._form_at(log_x, drawn) + (rotated * gain) @ pull.T
        prior = abs(at) ** 3 / 3
        return mean, np.maximum(drift2 * prior - (drift2 * gain) @ (pull**2).T, 0)

    def draw(self, drawn: dict[str, np.ndarray], log_x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Joint draws of the log loss without noise, shape (draw, len(log_x)), by Matheron's rule.

        A path of the process and noise from the prior, corrected by what the curve says against them: exact, and its
        cost grows with the number of points only linearly.
        """
        count, inside = len(drawn["drift"]), len(self._from_last)
        at = np.concatenate([self._from_last, log_x - self.curve.log_x[-1]])
        path = paths(at, count, rng) * drawn["drift"][:, None]
        noise = rng.standard_normal((count, inside)) * drawn["noise"][:, None] / self._scale
        gap = self.curve.log_loss - self._form_at(self.curve.log_x, drawn) - path[:, :inside] - noise
        gain = drawn["drift"][:, None] ** 2 / self._variance(drawn)
        pull = covariance(at[inside:], self._from_last) * self._scale @ self._axes
        return self._form_at(log_x, drawn) + path[:, inside:] + (((gap * self._scale) @ self._axes) * gain) @ pull.T

    def _form_at(self, log_x: np.ndarray, drawn: dict[str, np.ndarray]) -> np.ndarray:
        own = {name: drawn[name][:, None] for name in ("level", "slope", *self.form.shape)}
        return self.form.log_loss(log_x - self.curve.log_x[-1], **own)

    def _variance(self, drawn: dict[str, np.ndarray]) -> np.ndarray:
        return drawn["noise"][:, None] ** 2 + drawn["drift"][:, None] ** 2 * self._spread

    @cached_property
    def _from_last(self) -> np.ndarray:
        return self.curve.log_x - self.curve.log_x[-1]

    @cached_property
    def _scale(self) -> np.ndarray:
        """What makes every point's noise as large as that of a single measurement."""
        return 1 / np.sqrt(self.curve.variance)

    @cached_property
    def _rotation(self) -> tuple[np.ndarray, np.ndarray]:
        inside = covariance(self._from_last, self._from_last)
        variances, axes = np.linalg.eigh(self._scale[:, None] * inside * self._scale)
        return variances, axes

    @property
    def _spread(self) -> np.ndarray:
        return np.maximum(self._rotation[0], 0)

    @property
    def _axes(self) -> np.ndarray:
        return self._rotation[1]


def log_normal(points: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Log density of independent normals, summed over the last axis."""
    return -(((points - mean) / sd) ** 2 / 2 + np.log(sd) + np.log(2 * np.pi) / 2).sum(axis=-1)
