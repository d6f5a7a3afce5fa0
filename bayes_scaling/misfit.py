"""What a point fit minimises: how far a law misses the runs of one modality, with an exact gradient.

The law's own formula is evaluated at complex numbers: with a step of i·1e-20 in one coordinate, the imaginary part of
the loss over the step is the derivative to the last digit, because nothing is subtracted (Squire and Trapp, "Using
complex variables to estimate derivatives of real functions", SIAM Review 40, 1998). A law needs no derivatives for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bayes_scaling.design import Design
from bayes_scaling.hierarchy import link
from bayes_scaling.laws.base import Grouped, Independent, Law, Pooled, Prior, Rough, Shares

__all__ = ["Misfit", "misfit_of"]

STEP = 1e-20
"""Of the complex step; its square is below the rounding of any loss."""

PRECISION = 1e-5
"""Residuals of this relative size are as good as none. Without noise the objective's own value is no scale: it falls
with the square of the residuals, its gradient with the residuals, down to their rounding."""

ROUNDS = 6
"""How often at most a minimisation goes on from where it stopped, with the objective scaled anew."""


@dataclass(frozen=True)
class Misfit:
    """The objective of one modality, over a point without bounds.

    A point is a vector of what has priors: the log of the loss at the reference point over the rough one, log ratios
    of the shares to the last one, and pooled quantities on their link scales, those of a cell once per cell.

    Attributes
    ----------
    modality : str
        Its name.
    law : Law
    priors : dict
        The law's priors that these runs bear on, in the order of the point.
    cells : ndarray of int, shape (cell, 3)
        Modality, structure and strategy of the modality's cells.
    cell_of_run : ndarray of int, shape (run,)
        Rows of ``cells``.
    columns : dict of ndarray, each of shape (run,)
        What the law's formula takes: sparsity, and size and data relative to the reference point.
    rough_loss : float
        Median loss of the runs.
    observed : ndarray, shape (run,)
        Losses, or their logs.
    on_log : bool
        Whether residuals are of log losses.
    weight : ndarray, shape (run,)
        How often each run counts.
    delta : float
        Where the Huber function turns from a parabola to a line, in units of the residuals; infinite for squares.
    """

    modality: str
    law: Law
    priors: Mapping[str, Prior]
    cells: np.ndarray
    cell_of_run: np.ndarray
    columns: Mapping[str, np.ndarray]
    rough_loss: float
    observed: np.ndarray
    on_log: bool
    weight: np.ndarray
    delta: float

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Where each prior's quantities stand in a point."""
        found, start = {}, 0
        for name, prior in self.priors.items():
            match prior:
                case Rough():
                    width = 1
                case Shares():
                    width = len(prior.terms) - 1
                case Pooled() | Independent():
                    width = 1 if prior.over == ("modality",) else len(self.cells)
            found[name] = slice(start, start + width)
            start += width
        return found

    @cached_property
    def center(self) -> np.ndarray:
        """The priors' centre, with equal shares."""
        centers = {name: link(p.center, p) for name, p in self.priors.items() if isinstance(p, Grouped)}
        return np.concatenate([np.full(s.stop - s.start, centers.get(name, 0.0)) for name, s in self.slices.items()])

    @cached_property
    def free(self) -> np.ndarray:
        """Which coordinates of a point any run bears on; the others are held at the priors' centre."""
        size = np.abs(self.residuals(self.center)[1]).max(axis=1)
        return size > 1e-12 * size.max()

    def drawn(self, rng: np.random.Generator) -> np.ndarray:
        """A point from the priors, without pooling."""
        point = self.center.copy()
        for name, prior in self.priors.items():
            part = point[self.slices[name]]
            if isinstance(prior, Shares):
                shares = rng.dirichlet(prior.concentrations)
                part += np.log(shares[:-1] / shares[-1])
            else:
                part += prior.sd * rng.standard_normal(part.size)
        point[~self.free] = self.center[~self.free]
        return point

    def quantities(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """What has priors, on its own scale.

        Parameters
        ----------
        points : ndarray, shape (..., coordinate)
            Real or complex.

        Returns
        -------
        dict of ndarray, shape (..., 1) or (..., cell)
            By the name of the quantity, or of the term whose share it is.
        """
        found: dict[str, np.ndarray] = {}
        for name, prior in self.priors.items():
            values = points[..., self.slices[name]]
            match prior:
                case Rough():
                    found[name] = self.rough_loss * np.exp(values)
                case Shares():
                    ratios = np.concatenate([values, np.zeros_like(values[..., :1])], axis=-1)
                    ratios = np.exp(ratios - ratios.real.max(axis=-1, keepdims=True))
                    shares = ratios / ratios.sum(axis=-1, keepdims=True)
                    found |= {term: shares[..., i : i + 1] for i, term in enumerate(prior.terms)}
                case Pooled(link="log") | Independent(link="log"):
                    found[name] = np.exp(values)
                case Pooled() | Independent():  # scipy's expit takes no complex numbers
                    found[name] = 1 / (1 + np.exp(-values))
        return found

    def loss(self, points: np.ndarray) -> np.ndarray:
        """The law at each run, shape (..., run)."""
        per_cell = {name for name, p in self.priors.items() if isinstance(p, Grouped) and p.over != ("modality",)}
        at_runs: dict[str, Any] = {
            name: value[..., self.cell_of_run] if name in per_cell else value
            for name, value in self.quantities(points).items()
        }
        return self.law.loss(**self.columns, **self.law.from_shares(**at_runs))

    def residuals(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fitted minus observed, shape (run,), and its derivatives, shape (coordinate, run)."""
        # A start may lie where a power overflows; what is not finite there is dealt with where it is used.
        with np.errstate(all="ignore"):
            stepped = self.loss(point + 1j * STEP * np.eye(point.size))
            fitted, slope = stepped.real[0], stepped.imag / STEP
            return (np.log(fitted) - self.observed, slope / fitted) if self.on_log else (fitted - self.observed, slope)

    def value(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """The objective and its gradient; infinite where the law is not finite."""
        residual, slope = self.residuals(point)
        if not (np.isfinite(residual).all() and np.isfinite(slope).all()):
            return np.inf, np.zeros(point.size)
        total = self.weight.sum()
        return (
            float(self.weight @ self.of_residuals(residual) / total),
            slope @ (self.weight * residual.clip(-self.delta, self.delta)) / total,
        )

    def of_residuals(self, residual: np.ndarray) -> np.ndarray:
        """Each run's part of the objective."""
        from scipy.special import huber

        return huber(self.delta, residual)

    def scale(self, value: float) -> float:
        """What changes of the objective are compared with: its value, or what rounding leaves of it."""
        rounding = PRECISION * (1.0 if self.on_log else self.rough_loss)
        return max(value, float(self.of_residuals(np.array(rounding))))

    def gradient(self, point: np.ndarray) -> float:
        """Largest relative change of the objective per unit of a free coordinate; 0 at a minimum."""
        value, slope = self.value(point)
        return float(np.abs(slope[self.free]).max() / self.scale(value))

    def flat(self, point: np.ndarray) -> np.ndarray:
        """Which coordinates these runs do not determine at a point, shape (coordinate,).

        They are those of a direction along which a whole unit (a factor of e, or of e in the odds) changes the losses
        of the runs by less than a millionth.
        """
        residual, slope = self.residuals(point)
        relative = slope if self.on_log else slope / (residual + self.observed)
        directions, size, _ = np.linalg.svd(relative[self.free])
        size = np.append(size, np.zeros(len(directions) - size.size))  # where runs are fewer than coordinates
        lost = directions[:, size < 1e-6 * np.sqrt(residual.size)]
        found = np.zeros(point.size, dtype=bool)
        found[self.free] = (np.abs(lost) > 0.1).any(axis=1)
        return found

    def minimised(self, start: np.ndarray, tolerance: float = 1e-6) -> np.ndarray:
        """The minimum that BFGS reaches from a start.

        Its tolerances are absolute, and objectives of scaling laws are tiny: that of arXiv:2309.08520 for T5 is of the
        order of 1e-6, so that where the published coefficients are its gradient passed for zero (1e-5). So the
        objective is divided by its own value, and again when that has come down.

        Parameters
        ----------
        start : ndarray, shape (coordinate,)
        tolerance : float
            Gradient at which to stop, as `gradient` measures it.

        Returns
        -------
        ndarray, shape (coordinate,)
        """
        from scipy.optimize import minimize

        point = start.copy()
        for _ in range(ROUNDS):
            scale = self.scale(self.value(point)[0])
            if not np.isfinite(scale):
                break

            def scaled(free: np.ndarray, point: np.ndarray = point, scale: float = scale) -> tuple[float, np.ndarray]:
                there = point.copy()
                there[self.free] = free
                value, slope = self.value(there)
                # The line search interpolates, and cannot with infinity.
                return min(value / scale, 1e10), slope[self.free] / scale

            options = {"gtol": tolerance, "maxiter": 500}
            point[self.free] = minimize(scaled, point[self.free], jac=True, method="BFGS", options=options).x
            if self.gradient(point) < 10 * tolerance:
                break
        return point


def misfit_of(law: Law, design: Design, modality: int, *, on_log: bool, delta: float) -> Misfit:
    """The objective of a modality's runs.

    Parameters
    ----------
    law : Law
    design : Design
    modality : int
        Which of the design's modalities.
    on_log : bool
        Whether residuals are of log losses.
    delta : float
        Where the Huber function turns to a line, in units of the residuals; infinite for squares.
    """
    mine = np.flatnonzero(design.cells[design.cell_of_run, 0] == modality)
    cells, cell_of_run = np.unique(design.cell_of_run[mine], return_inverse=True)
    active = design.active(law)
    log_loss = design.runs["log_loss"][mine]
    return Misfit(
        modality=design.modality[modality],
        law=law,
        priors={n: p for n, p in law.priors.items() if not isinstance(p, Grouped) or n in active},
        cells=design.cells[cells],
        cell_of_run=cell_of_run,
        columns={c: values[mine] for c, values in design.runs.items() if not c.startswith("log_loss")},
        rough_loss=float(np.exp(design.rough_log_loss[modality])),
        observed=log_loss if on_log else np.exp(log_loss),
        on_log=on_log,
        weight=np.ones(mine.size),
        delta=delta,
    )
