"""Whether one noise scale serves all runs of a modality, and whether it is noise."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from bayes_scaling.checks.levels import replicate_groups
from bayes_scaling.intervals import PROB
from bayes_scaling.noise import NOISE_DF
from bayes_scaling.notes import Note
from bayes_scaling.review.misfit import CHANCE, SHORT, axes_of
from bayes_scaling.review.residuals import REPLICATES, Residuals, family_p

__all__ = ["noise_notes"]

STRONGLY = 1.5
"""Factor along an axis below which noise that varies is not worth a word."""

USUAL_NOISE = 0.005
"""Seeds of published sweeps change the log loss by .0003 to .001, those of very small models by up to .01: a scale
above this may be the law's misfit as well as noise."""

MOSTLY_MISFIT = 0.7
"""Scale between replicates, over that around the law, below which misfit makes up half of the variance."""

FEWEST_GROUPS = 4
"""Groups of replicates below which their spread says little about how noise varies."""

ROUNDS = 8


@dataclass(frozen=True)
class _Trend:
    """How the log of a scatter changes along an axis: how far beyond chance, per nat, and where."""

    strength: float
    slope: float
    axis: np.ndarray

    @property
    def factor(self) -> float:
        """From the one end to the other, above one."""
        return float(np.exp(abs(self.slope) * np.ptp(self.axis)))


def noise_notes(residuals: Residuals) -> list[Note]:
    """Notes on the noise of a modality's runs.

    Parameters
    ----------
    residuals : Residuals
    """
    groups = _Spreads(residuals, replicate_groups(residuals.runs))
    # Replicates first: there is no misfit in them.
    notes = _varying(residuals, "Replicates", *_of_replicates(residuals, groups))
    said = {note.about["column"] for note in notes}
    notes += [
        note for note in _varying(residuals, "The runs", *_of_residuals(residuals)) if note.about["column"] not in said
    ]
    return notes + _nature(residuals, groups)


def _of_residuals(residuals: Residuals) -> tuple[dict[str, _Trend], dict[str, np.ndarray]]:
    """How the scatter around the law changes along each axis, by score tests."""
    trends, replicated = {}, {}
    for name, axis in axes_of(residuals).items():
        centred = axis - axis.mean()
        simulated = _scale_scores(residuals.replicates) @ centred
        observed = _scale_scores(residuals.z) @ centred
        strength = float(abs(observed - simulated.mean()) / simulated.std())
        trends[name] = _Trend(strength, _slope(residuals.z, centred), axis)
        replicated[name] = np.abs(simulated - simulated.mean()) / simulated.std()
    return trends, replicated


def _of_replicates(residuals: Residuals, groups: "_Spreads") -> tuple[dict[str, _Trend], dict[str, np.ndarray]]:
    """How the scatter between replicates changes along each axis."""
    trends, replicated = {}, {}
    for name, axis in axes_of(residuals).items():
        if len(groups.log_spread) >= FEWEST_GROUPS and np.ptp(at := groups.means(axis)) > SHORT:
            slope, simulated = groups.slopes(at)
            trends[name] = _Trend(float(abs(slope) / simulated.std()), slope, at)
            replicated[name] = np.abs(simulated) / simulated.std()
    return trends, replicated


def _varying(
    residuals: Residuals, who: str, trends: dict[str, _Trend], replicated: dict[str, np.ndarray]
) -> list[Note]:
    p_values = family_p({name: trend.strength for name, trend in trends.items()}, replicated)
    return [
        _varying_note(residuals.modality, name, who, trends[name], p_value)
        for name, p_value in p_values.items()
        if p_value < CHANCE and trends[name].factor > STRONGLY
    ]


def _varying_note(modality: str, name: str, who: str, trend: _Trend, p_value: float) -> Note:
    ends = (trend.axis.min(), trend.axis.max())
    shown = [f"{-np.expm1(-end):.3g}" if name == "sparsity" else f"{np.exp(end):.3g}" for end in ends]
    noisy, calm = shown if trend.slope < 0 else shown[::-1]
    around = "around the law" if who == "The runs" else "around each other"
    return Note(
        "noise_varies",
        "warning",
        f"{who} of {modality} scatter {around} {trend.factor:.2g} times as widely at {name} {noisy} as at {calm}, and "
        "the model has one noise scale: intervals of new runs are too narrow at the one end and too wide at the other.",
        {"modality": modality, "column": name},
        {"factor": trend.factor, "p_value": p_value},
    )


def _nature(residuals: Residuals, groups: "_Spreads") -> list[Note]:
    """Whether the scatter around the law is noise between runs."""
    name, about = residuals.modality, {"modality": residuals.modality}
    typical = float(np.median(residuals.sigma))
    if not len(groups.log_spread):
        if np.quantile(residuals.sigma, (1 - PROB) / 2) <= USUAL_NOISE:
            return []
        return [
            Note(
                "no_replicates",
                "info",
                f"The runs of {name} scatter around the law by {100 * typical:.2g} %, and no two of them are "
                "replicates: how much of it is noise between seeds and how much the law's misfit cannot be told.",
                about,
                {"sigma": typical},
            )
        ]
    log_ratio, error = groups.level()
    strength = -log_ratio / np.hypot(error, np.log(residuals.sigma).std())
    if strength < -ndtri(CHANCE) or np.exp(log_ratio) > MOSTLY_MISFIT:
        return []
    typical = float(np.median(residuals.scale))
    return [
        Note(
            "misfit_beyond_noise",
            "warning",
            f"Replicates of {name} scatter around each other by {100 * typical * np.exp(log_ratio):.2g} % and the runs "
            f"around the law by {100 * typical:.2g} %: most of what the model takes for noise is the law's misfit.",
            about,
            {"ratio": float(np.exp(log_ratio)), "scale": typical},
        )
    ]


def _scale_scores(z: np.ndarray) -> np.ndarray:
    """Derivative of the Student-t log density by the log of its scale: how much wider than expected a residual is."""
    return (NOISE_DF + 1) * z**2 / (NOISE_DF + z**2) - 1


def _slope(z: np.ndarray, centred: np.ndarray) -> float:
    """Maximum-likelihood slope of the log noise scale along an axis."""
    information = 2 * NOISE_DF / (NOISE_DF + 3)
    level = slope = 0.0
    for _ in range(ROUNDS):
        score = _scale_scores(z * np.exp(-level - slope * centred))
        level += score.mean() / information
        slope += score @ centred / (centred @ centred) / information
    return float(slope)


class _Spreads:
    """Groups of replicates: the log of each one's standard deviation in noise scales, less what Student-t noise gives.

    Noise of any common scale shifts all of them alike, so their slopes along an axis are free of it.
    """

    def __init__(self, residuals: Residuals, groups: list[np.ndarray]) -> None:
        self.groups = groups
        rng = np.random.default_rng((*residuals.seed, 1))
        spreads, self.simulated, weights = [], np.empty((REPLICATES, len(groups))), []
        for i, rows in enumerate(groups):
            simulated = np.log(rng.standard_t(NOISE_DF, (REPLICATES, len(rows))).std(axis=1, ddof=1))
            self.simulated[:, i] = simulated - simulated.mean()
            weights.append(1 / simulated.var())
            # Losses that agree to the last digit were copied, or trained the same: no reason to take logs of 0.
            deviation = max(float(residuals.z[rows].std(ddof=1)), 1e-3)
            spreads.append(np.log(deviation) - simulated.mean())
        self.log_spread, self.weight = np.array(spreads), np.array(weights)

    def means(self, axis: np.ndarray) -> np.ndarray:
        """Where each group stands along an axis."""
        return np.array([axis[rows].mean() for rows in self.groups])

    def slopes(self, at: np.ndarray) -> tuple[float, np.ndarray]:
        """Slope of the log spread along an axis, and the same of groups that have none."""
        centred = at - np.average(at, weights=self.weight)
        row = self.weight * centred / (self.weight @ centred**2)
        return float(row @ self.log_spread), self.simulated @ row

    def level(self) -> tuple[float, float]:
        """Log of the scale between replicates over the scale around the law, and its standard error."""
        return float(np.average(self.log_spread, weights=self.weight)), float(1 / np.sqrt(self.weight.sum()))
