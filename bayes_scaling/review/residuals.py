"""What a fitted law leaves of the runs of one modality, and what it would leave if it were true.

Posterior predictive p-values are too cautious: the law has been bent towards the very runs that it is held against, so
that replicates drawn around the posterior scatter more than residuals can (Robins, van der Vaart and Ventura,
"Asymptotic distribution of p values in composite null models", JASA 95, 2000). Replicates here are what a refit would
leave of them. No refit is needed: the posterior covariance C of the runs' mean log losses says how far noise moves the
fit, by C times its score. Residuals enter as Student-t scores, which single runs cannot dominate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from bayes_scaling.design import FEWEST_RUNS
from bayes_scaling.noise import NOISE_DF
from bayes_scaling.predict import expected_loss, noise_scale

__all__ = ["REPLICATES", "Residuals", "family_p", "residuals_of"]

REPLICATES = 2000

MOST_RUNS = 2000
"""Runs of a modality that are looked at, a random choice where there are more: their covariance has its square."""


@dataclass(frozen=True)
class Residuals:
    """Residuals of the runs of one modality.

    Attributes
    ----------
    modality : str
    runs : Dataset
        Its finished runs.
    values : ndarray, shape (run,)
        Log loss less the posterior mean of what the law says.
    scale : ndarray, shape (run,)
        Noise scale, the posterior's geometric mean.
    sigma : ndarray, shape (draw,)
        Draws of the modality's noise scale, typical over its runs, without the standard errors that runs state.
    followed : ndarray, shape (run, run)
        Posterior covariance of the runs' mean log losses.
    seed : tuple of int
        Of the replicates.
    """

    modality: str
    runs: xr.Dataset
    values: np.ndarray
    scale: np.ndarray
    sigma: np.ndarray
    followed: np.ndarray
    seed: tuple[int, ...]

    @property
    def z(self) -> np.ndarray:
        """Residuals in units of the noise scale."""
        return self.values / self.scale

    @property
    def weight(self) -> np.ndarray:
        """How much of a residual counts: 1.25 for none, less the farther off."""
        return (NOISE_DF + 1) / (NOISE_DF + self.z**2)

    @cached_property
    def replicates(self) -> np.ndarray:
        """Residuals as a refit would leave them if the law were true, in noise scales: shape (replicate, run)."""
        rng = np.random.default_rng(self.seed)
        noise = self.scale * rng.standard_t(NOISE_DF, (REPLICATES, len(self.scale)))
        score = (NOISE_DF + 1) * noise / (NOISE_DF * self.scale**2 + noise**2)
        return (noise - score @ self.followed) / self.scale


def residuals_of(posterior: xr.DataTree, runs: xr.Dataset, seed: int) -> list[Residuals]:
    """The residuals of each modality that has enough runs to speak of.

    Parameters
    ----------
    posterior : DataTree
        From `bayes_scaling.fit`.
    runs : Dataset
        The finished runs, in the order of the posterior's ``observed_data``.
    seed : int
    """
    count = runs.sizes["run"]
    mean = np.log(expected_loss(posterior, runs).to_numpy()).reshape(-1, count)
    given = posterior["constant_data"]["log_loss_se"].to_numpy()
    log_scale = np.log(noise_scale(posterior, runs, given).transpose("chain", "draw", "run").to_numpy())
    log_scale = log_scale.reshape(-1, count)
    log_sigma = np.log(noise_scale(posterior, runs).transpose("chain", "draw", "run").to_numpy()).reshape(-1, count)
    log_loss = posterior["observed_data"]["log_loss"].to_numpy()
    modality = runs["modality"].to_numpy()
    found = []
    for i, name in enumerate(dict.fromkeys(modality.tolist())):
        mine = np.flatnonzero(modality == name)
        if len(mine) < FEWEST_RUNS:
            continue
        if len(mine) > MOST_RUNS:
            mine = np.sort(np.random.default_rng((seed, 6, i, 2)).choice(mine, MOST_RUNS, replace=False))
        found.append(
            Residuals(
                modality=name,
                runs=runs.isel(run=mine),
                values=log_loss[mine] - mean[:, mine].mean(axis=0),
                scale=np.exp(log_scale[:, mine].mean(axis=0)),
                sigma=np.exp(log_sigma[:, mine].mean(axis=1)),
                followed=np.cov(mean[:, mine], rowvar=False),
                seed=(seed, 6, i),
            )
        )
    return found


def family_p(observed: Mapping[str, float], replicated: Mapping[str, np.ndarray]) -> dict[str, float]:
    """P-values of several tests that hold for all of them together.

    Parameters
    ----------
    observed : dict of float
        A statistic per test, on a scale that the tests share; large is bad.
    replicated : dict of ndarray, shape (replicate,)
        The same statistics of the same replicates.

    Returns
    -------
    dict of float
        How often the worst of all replicated statistics is as bad as the observed one (Westfall and Young,
        "Resampling-based multiple testing", 1993): the chance of any finding where there is nothing to find.
    """
    if not observed:
        return {}
    worst = np.max([replicated[name] for name in observed], axis=0)
    return {name: float((1 + (worst >= value).sum()) / (1 + len(worst))) for name, value in observed.items()}
