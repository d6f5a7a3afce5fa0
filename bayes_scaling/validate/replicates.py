"""What laws would score if one of them were right: runs drawn from its predictions, scored by all.

Runs at one scale are missed together: a slope that is a little off misses all of them to the same side. How far such
luck makes one law lead another cannot be read off the runs of a single scale, however many there are. It can be read
off the laws' own predictions, whose draws carry slopes, discrepancy and noise for all runs jointly.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayes_scaling.design import log_loss_se
from bayes_scaling.noise import draw_noise, log_density
from bayes_scaling.pointwise import mean_and_scale
from bayes_scaling.validate.scores import log_score

__all__ = ["Predicted", "predicted", "replicated_scores"]

REPLICATES = 500
DRAWS, FEWEST_DRAWS = 500, 100
"""Of each law, evenly spaced; a mean over densities needs no more."""

MOST_DENSITIES = 1e7
"""A law's of all replicates under each draw, a second's work: beyond 40 runs there are fewer draws."""


@dataclass(frozen=True)
class Predicted:
    """A law's predictions of runs.

    Attributes
    ----------
    mean, scale : ndarray, shape (draw, run)
        Of log loss, draw by draw: where it lies without noise, and the scale of a run's noise.
    """

    mean: np.ndarray
    scale: np.ndarray

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Log losses of all runs from each of some draws, shape (replicate, run)."""
        picked = rng.integers(len(self.mean), size=REPLICATES)
        return self.mean[picked] + self.scale[picked] * draw_noise((REPLICATES, self.mean.shape[1]), rng)

    def score(self, log_loss: np.ndarray) -> np.ndarray:
        """Mean log score of replicates, shape (replicate,), run by run to spare memory."""
        runs = range(log_loss.shape[1])
        each = [
            log_score(log_density(log_loss[None, :, i], self.mean[:, i, None], self.scale[:, i, None])) for i in runs
        ]
        return np.mean(each, axis=0)


def predicted(posterior: xr.DataTree, runs: xr.Dataset) -> Predicted:
    """What a posterior predicts of runs.

    Parameters
    ----------
    posterior : DataTree
    runs : Dataset
        Finished runs that were held out.
    """
    stated = log_loss_se(runs, runs["loss"].to_numpy())
    mean, scale = (each.stack(sample=("chain", "draw")) for each in mean_and_scale(posterior, runs, stated))
    draws = int(np.clip(MOST_DENSITIES / (REPLICATES * runs.sizes["run"]), FEWEST_DRAWS, DRAWS))
    picked = np.linspace(0, mean.sizes["sample"] - 1, draws).astype(int)
    return Predicted(*(each.transpose("sample", "run").to_numpy()[picked] for each in (mean, scale)))


def replicated_scores(laws: Mapping[str, Predicted], seed: int) -> xr.DataArray:
    """Mean log scores of all laws on runs that each law in turn has made.

    Parameters
    ----------
    laws : dict of Predicted
        By name, of the same runs.
    seed : int

    Returns
    -------
    DataArray
        Over ``truth``, ``law`` and ``replicate``.
    """
    names = list(laws)
    scores = []
    for i, truth in enumerate(laws.values()):
        log_loss = truth.draw(np.random.default_rng([seed, 32, i]))
        scores.append([law.score(log_loss) for law in laws.values()])
    return xr.DataArray(scores, {"truth": names, "law": names}, ("truth", "law", "replicate"))
