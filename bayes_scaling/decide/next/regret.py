"""What a run is worth to a choice: the expected regret that it would save, by reweighting draws.

A run saves regret only where its loss would change what is done, which no covariance tells. So losses are simulated
from some draws, the other draws weighted by how likely they make them, the action chosen that is best under these
weights, and its regret taken in the draw that the loss came from (expected value of sample information; Raiffa and
Schlaifer, "Applied Statistical Decision Theory", 1961). That draw has no weight of its own, so with few draws near it
the choice is worse than a refit's and the run's worth underrated, never overrated.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bayes_scaling.decide.next.variance import Variance
from bayes_scaling.noise import draw_noise, log_density

__all__ = ["Preposterior"]

TRUTHS = 256
"""Draws that losses are simulated from."""

SHORTLIST = 16
"""Candidates reweighted in each round, of those that tell most of optimal sparsity, and as many per FLOP."""

CHANCE = 2.0
"""Standard errors of the saving that a candidate must exceed."""


@dataclass(frozen=True)
class Preposterior:
    """Expected regret of the action, and what is needed to see it fall.

    Attributes
    ----------
    left : float
        Expected regret, in units of loss.
    losses : ndarray, shape (draw, action)
        By the law.
    least : ndarray, shape (draw,)
        Loss of each draw's own optimum.
    log_loss : ndarray, shape (draw, run)
        Of the candidates, by the law.
    noise : ndarray, shape (draw, run)
        Variance of each run's noise.
    optimum : Variance
        Of optimal sparsity, for the short list.
    flops : ndarray, shape (run,)
    truths : ndarray of int, shape (truth,)
        Draws that losses are simulated from.
    log_weight : ndarray, shape (truth, draw)
        Of the draws, given the losses of the runs picked so far.
    seed : int
    picked : int
        How many runs that are.
    """

    left: float
    losses: np.ndarray
    least: np.ndarray
    log_loss: np.ndarray
    noise: np.ndarray
    optimum: Variance
    flops: np.ndarray
    truths: np.ndarray
    log_weight: np.ndarray
    seed: int
    picked: int = 0

    @classmethod
    def of(
        cls,
        losses: np.ndarray,
        least: np.ndarray,
        log_loss: np.ndarray,
        noise: np.ndarray,
        optimum: Variance,
        flops: np.ndarray,
        seed: int,
    ) -> "Preposterior":
        """Before any run was picked."""
        left = float((losses[:, losses.mean(axis=0).argmin()] - least).mean())
        count = least.size
        truths = np.random.default_rng([seed, 11]).permutation(count)[:TRUTHS]
        log_weight = np.zeros((truths.size, count))
        log_weight[np.arange(truths.size), truths] = -np.inf
        return cls(left, losses, least, log_loss, noise, optimum, flops, truths, log_weight, seed)

    @cached_property
    def gains(self) -> np.ndarray:
        """Expected saving of regret for the short list, 0 elsewhere and where it may be chance."""
        linear = self.optimum.gains
        short = {*np.argsort(-linear)[:SHORTLIST].tolist(), *np.argsort(-linear / self.flops)[:SHORTLIST].tolist()}
        gains, now = np.zeros(linear.size), self._regret(self.log_weight)
        for i in short:
            saved = now - self._regret(self.log_weight + self._log_likelihood(i))
            sure = saved.mean() > CHANCE * saved.std() / np.sqrt(saved.size)
            gains[i] = saved.mean() if sure else 0.0
        return gains

    def take(self, i: int) -> "Preposterior":
        """With a loss of one run simulated for each truth."""
        log_weight = self.log_weight + self._log_likelihood(i)
        saved = self._regret(self.log_weight) - self._regret(log_weight)
        return replace(
            self,
            left=self.left - float(saved.mean()),
            log_weight=log_weight,
            optimum=self.optimum.take(i),
            picked=self.picked + 1,
        )

    @cached_property
    def _noise_of_truths(self) -> np.ndarray:
        """The same for all candidates of a round, so that their difference is not chance."""
        return draw_noise(self.truths.shape, np.random.default_rng([self.seed, 12, self.picked]))

    def _log_likelihood(self, i: int) -> np.ndarray:
        """Of every draw given the loss that a candidate has under each truth, shape (truth, draw)."""
        # A Student-t with 4 degrees of freedom has twice the variance of its squared scale.
        scale = np.sqrt((self.noise[:, i] + self.optimum.misses.at[i]) / 2)
        seen = self.log_loss[self.truths, i] + scale[self.truths] * self._noise_of_truths
        return log_density(seen[:, None], self.log_loss[:, i], scale)

    def _regret(self, log_weight: np.ndarray) -> np.ndarray:
        """Regret of the best action under the weights, where each truth is true, shape (truth,)."""
        weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
        action = (weight @ self.losses).argmin(axis=1)
        return self.losses[self.truths, action] - self.least[self.truths]
