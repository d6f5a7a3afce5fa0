"""What single runs add to the law: Student-t noise on log loss."""

import numpy as np

__all__ = ["NOISE_DF", "SIGMA_MEDIAN", "SIGMA_SD", "draw_noise", "log_density"]

NOISE_DF = 4
"""Degrees of freedom: single runs go wrong now and then."""

SIGMA_MEDIAN, SIGMA_SD = 0.01, 1.0
"""Log-normal prior of the noise scale per modality. Replicate runs of published sweeps differ by .0007 to .003 nats,
and a law with few coefficients misses by up to some per cent."""


def draw_noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Noise of unit scale on log loss."""
    return rng.standard_t(NOISE_DF, shape)


def log_density(log_loss: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Log density of observed log losses."""
    from scipy import stats

    return stats.t.logpdf(log_loss, NOISE_DF, mean, scale)
