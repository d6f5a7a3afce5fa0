"""The linear formula: by how much a run's loss is expected to reduce the variance of a target.

Over posterior draws, with g the target and f a candidate's log loss, the best linear estimate of g from a noisy
observation of f leaves Var(g) - Cov(g, f)^2 / (Var(f) + noise). It is exact where everything is normal and a lower
bound of the reduction that a refit brings on average elsewhere. Conditioning on a run that was picked takes the same
step on the covariances of everything, as in sequential design with Gaussian processes (Krause, Singh and Guestrin,
"Near-optimal sensor placements in Gaussian processes", JMLR 9, 2008).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from bayes_scaling.decide.next.misses import Misses

__all__ = ["State", "Variance"]

CHANCE = 10.8
"""Draws that have nothing to do with each other correlate a little: n times the squared correlation is chi-square with
one degree of freedom, which is above this once in a thousand times."""


class State(Protocol):
    """What is known of a target, given the runs trained and picked so far."""

    @property
    def left(self) -> float:
        """What a decision would like to be small."""

    @property
    def gains(self) -> np.ndarray:
        """By how much each candidate is expected to make it smaller, shape (run,)."""

    def take(self, i: int) -> "State":
        """The state after a candidate was trained, whatever its loss will be."""


@dataclass(frozen=True)
class Variance:
    """The variance of a target.

    Attributes
    ----------
    covariance : ndarray, shape (1 + run, 1 + run)
        Of the target, which comes first, and the candidates' log losses, all by the law alone.
    noise : ndarray, shape (run,)
        Variance of each run's noise on log loss.
    misses : Misses
    draws : float
        How many independent draws the covariances come from.
    """

    covariance: np.ndarray
    noise: np.ndarray
    misses: Misses
    draws: float

    @classmethod
    def of(cls, goal: np.ndarray, log_loss: np.ndarray, noise: np.ndarray, misses: Misses, draws: float) -> "Variance":
        """From values of the target, shape (draw,), and log losses of the candidates, shape (draw, run)."""
        return cls(np.cov(np.column_stack([goal, log_loss]), rowvar=False, bias=True), noise, misses, draws)

    @property
    def left(self) -> float:
        """Variance of the target, with what the law may miss there."""
        return float(self.covariance[0, 0]) + self.misses.at_goal

    @property
    def spread(self) -> np.ndarray:
        """Variance of what is observed of each candidate."""
        return np.diag(self.covariance)[1:] + self.noise + self.misses.at

    @cached_property
    def gains(self) -> np.ndarray:
        """Expected reduction of the variance; 0 where draws would show as much by chance."""
        goal, shared, own = self.covariance[0, 0], self.covariance[0, 1:], np.diag(self.covariance)[1:]
        told = shared**2 > CHANCE / self.draws * goal * own
        return np.where(told, shared**2 / self.spread, 0.0) + self.misses.at_goal - self.misses.after()

    def take(self, i: int) -> "Variance":
        """Everything conditioned on one run."""
        column = self.covariance[:, 1 + i]
        left = self.covariance - np.outer(column, column) / self.spread[i]
        return replace(self, covariance=left, misses=self.misses.with_run(i))
