"""The model of `effects`: figures of every matrix over knobs, in coordinates in which it is a regression.

Matrices enter as orthonormal contrasts, the first of which is their mean times the root of their number: in these, what
belongs to the mean and what sets matrices apart are independent, a sum of zero needs no constraint, and so do seeds. A
run's row of the design matrix says which steps between the levels of its knobs it has taken, so that all there is to
compute is one product of matrices. Steps of a knob have effects of their own: shares of one whole, in order and alike
for all matrices, were tried; matrices and figures differ in them by more than the noise, which left many modes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import gammaln

from bayes_scaling.noise import NOISE_DF
from bayes_scaling.studies.effects_table import knobs_of, levels_of
from bayes_scaling.studies.fitting import Study

__all__ = ["LAW", "study"]

LAW = "effects"

# Priors, in standard deviations of a figure over runs.
INTERCEPT_SD = 3.0
"""Of a matrix's mean over runs around the mean over runs that was taken off it."""
SPREADS = {"knob_spread": 0.5, "matrix_spread": 0.5, "seed_spread": 0.2}
"""Medians of log-normal priors: of a knob's effects on a figure, of matrices around their mean, and of seeds. Every
figure has its own; one for all draws figures that a knob moves to nothing where it hardly moves the norm."""
SPREAD_SD = 1.0
"""Standard deviation of their logarithm. Nothing is at 0, but a twentieth of a standard deviation is well inside."""
NOISE_SPREAD = {"between": 1.0, "within": 2.0}
"""Half-normal scales of what runs add to the mean over matrices, and of what matrices of a run add to each other."""
ETA = 2.0
"""Of the LKJ prior of correlations between figures."""

LEAST = 0.01
"""Least standard deviation that is believed where runs are hardly more than coefficients."""

SAMPLER = {"tune": 500, "target_accept": 0.95, "thin": 2}
"""Hundreds of coordinates, but even ones: 31 leapfrogs a draw."""


@dataclass(frozen=True)
class Layout:
    """A table of figures in the model's coordinates.

    Attributes
    ----------
    y : ndarray, shape (run, contrast, figure)
        Figures in standard deviations over runs, around their means over runs.
    x : ndarray, shape (run, column)
        One; for every step between two levels of a knob, whether the run has taken it, around the mean over runs; and
        contrasts of seeds.
    turn : ndarray, shape (contrast, matrix)
        From matrices to contrasts.
    seed_turn : ndarray, shape (contrast, seed)
    levels : dict of str to ndarray
        Every knob's values in rising order.
    """

    y: np.ndarray
    x: np.ndarray
    turn: np.ndarray
    seed_turn: np.ndarray
    levels: Mapping[str, np.ndarray]

    @property
    def knob_of_step(self) -> np.ndarray:
        """Which knob each step belongs to, shape (step,)."""
        return np.repeat(np.arange(len(self.levels)), [len(values) - 1 for values in self.levels.values()])

    @property
    def steps(self) -> list[str]:
        """What steps are called: ``dropout 0.1 to 0.2``."""
        return [f"{knob} {low:g} to {high:g}" for knob, each in self.levels.items() for low, high in pairwise(each)]

    @property
    def share(self) -> np.ndarray:
        """What a step's prior standard deviation is of its knob's, shape (step,): those of all steps make up one."""
        steps: np.ndarray = np.bincount(self.knob_of_step)
        return 1 / np.sqrt(steps[self.knob_of_step])

    @property
    def parts(self) -> list[str]:
        """What has noise of its own: runs as a whole and, where there are several matrices, these around them."""
        return ["between", "within"] if len(self.turn) > 1 else ["between"]

    def split(self, residual: Any) -> dict[str, Any]:
        """Residuals of both parts, from those of contrasts in dimension -2."""
        mean = residual[..., :1, :] / np.sqrt(len(self.turn))
        return dict(zip(self.parts, (mean, residual[..., 1:, :]), strict=False))


def study(runs: xr.Dataset) -> Study:
    """What `fitting.fit_study` needs.

    Parameters
    ----------
    runs : Dataset
        From `effects_table.load`.
    """
    layout = _layout(runs)
    expected = _expected(layout)
    seeds = np.unique(runs["seed"])
    matrices, figures = runs["matrix"].to_numpy().tolist(), runs["figure"].to_numpy().tolist()

    def coefficients(drawn: Mapping[str, np.ndarray]) -> xr.Dataset:
        return _posterior(drawn, layout, expected["told"], seeds, matrices, figures)

    def pointwise(posterior: xr.Dataset, rng: np.random.Generator) -> dict[str, xr.DataArray]:
        return _pointwise(posterior, layout, figures, rng)

    scales = ("knob_spread", "matrix_spread", "seed_spread", *layout.parts)
    return Study(LAW, lambda: _model(layout, expected, figures), coefficients, pointwise, "figures", scales, SAMPLER)


def _layout(runs: xr.Dataset) -> Layout:
    from scipy.linalg import helmert

    values = (runs["value"] - runs["value"].mean("run")) / runs["scale"]
    turn = helmert(runs.sizes["matrix"], full=True)
    seeds, of_seed = np.unique(runs["seed"], return_inverse=True)
    seed_turn = helmert(len(seeds)) if len(seeds) > 1 else np.zeros((0, 1))
    levels = {knob: levels_of(runs, knob) for knob in knobs_of(runs)}
    taken = np.column_stack([which > step for each, which in levels.values() for step in range(len(each) - 1)])
    x = np.column_stack([np.ones(len(taken)), taken - taken.mean(axis=0), seed_turn[:, of_seed].T])
    y = np.einsum("rmf,cm->rcf", values.transpose("run", "matrix", "figure").to_numpy(), turn)
    return Layout(y, x, turn, seed_turn, {knob: each for knob, (each, _) in levels.items()})


def _model(layout: Layout, expected: Mapping[str, Any], figures: list[str]) -> Any:
    import pymc as pm
    import pytensor.tensor as pt

    size, (runs, columns) = len(figures), layout.x.shape
    contrasts = len(layout.turn)
    coords = {"knob": list(layout.levels), "figure": figures, "run": np.arange(runs), "column": np.arange(columns)}
    with pm.Model(coords=coords | {"contrast": np.arange(contrasts)}) as built:
        spreads = {
            name: pm.LogNormal(
                name,
                np.log(median),
                SPREAD_SD,
                initval=expected[name],
                dims="figure" if name == "seed_spread" else ("knob", "figure"),
            )
            for name, median in SPREADS.items()
            if name in expected
        }
        sd = _sds(spreads, layout, pt)
        # Where runs say much, slopes are best sampled as they are; where the prior does, in units of its spread.
        told = pm.Data("told", expected["told"], dims=("column", "contrast", "figure"))
        even = pm.Normal("even", 0.0, sd**told, dims=("column", "contrast", "figure"))
        slopes = even * sd ** (1 - told)

        y = pm.Data("y", layout.y, dims=("run", "contrast", "figure"))
        x = pm.Data("x", layout.x, dims=("run", "column"))
        residual = y - pt.dot(x, slopes.reshape((columns, -1))).reshape(layout.y.shape)
        for name, noise in layout.split(residual).items():
            scale, start = pm.HalfNormal.dist(NOISE_SPREAD[name]), expected[name][np.tril_indices(size)]
            packed = pm.LKJCholeskyCov(name, n=size, eta=ETA, sd_dist=scale, compute_corr=False, initval=start)
            chol = pm.math.expand_packed_triangular(size, packed)
            pm.Potential(f"{name}_fit", _log_density(noise.reshape((-1, size)), chol, size, pt).sum())
    return built


def _expected(layout: Layout) -> dict[str, Any]:
    """Where the search for the mode holds standard deviations, and how much runs say of slopes.

    Noise is what least squares leaves. Spreads are those that make its slopes likeliest, given their errors. ``told``,
    between 0 and 1, is how much of a slope's variance, in prior and error together, is the prior's.
    """
    runs, whose, contrasts = len(layout.y), layout.knob_of_step, len(layout.turn)
    flat, *_ = np.linalg.lstsq(layout.x, layout.y.reshape(runs, -1), rcond=None)
    slopes = flat.reshape(-1, *layout.y.shape[1:])
    residual = layout.y - (layout.x @ flat).reshape(layout.y.shape)
    freedom = max(runs - len(slopes), 1)
    unit = np.sqrt(np.diag(np.linalg.pinv(layout.x.T @ layout.x)))[:, None, None]
    error = unit * np.sqrt((residual**2).sum(axis=0) / freedom).clip(LEAST)

    found: dict[str, Any] = {}
    for name, noise in layout.split(residual).items():
        cov = np.einsum("rcf,rcg->fg", noise, noise) / noise.shape[1] / freedom * (NOISE_DF - 2) / NOISE_DF
        found[name] = np.linalg.cholesky(cov + LEAST**2 * np.eye(len(cov)))
    steps = slice(1, 1 + len(whose))
    size = layout.share[:, None, None]
    of_steps, errors = slopes[steps] / size, error[steps] / size
    of_knobs = [whose == knob for knob in range(len(layout.levels))]
    root = np.sqrt(contrasts)
    found["knob_spread"] = np.array([_likeliest(of_steps[k, :1] / root, errors[k, :1] / root) for k in of_knobs])
    if contrasts > 1:
        found["matrix_spread"] = np.array([_likeliest(of_steps[k, 1:], errors[k, 1:]) for k in of_knobs])
    if len(layout.seed_turn):
        found["seed_spread"] = _likeliest(slopes[steps.stop :], error[steps.stop :])
    found["told"] = 1 / (1 + (error / _sds(found, layout, np)) ** 2)
    return found


def _likeliest(estimates: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """The spread of true values that makes estimates of known errors likeliest, of each figure, the last dimension."""
    spreads = np.geomspace(LEAST, 10, 100)
    variance = spreads[:, None, None, None] ** 2 + errors**2
    found: np.ndarray = spreads[(np.log(variance) + estimates**2 / variance).sum(axis=(1, 2)).argmin(axis=0)]
    return found


def _sds(spreads: Mapping[str, Any], layout: Layout, xp: Any) -> Any:
    """Prior standard deviations of slopes, shape (…, column, contrast, figure), from spreads over knobs and figures."""
    knobs, contrasts, steps = len(layout.levels), len(layout.turn), len(layout.knob_of_step)
    which = np.zeros((layout.x.shape[1], contrasts), dtype=int)
    times = np.zeros(which.shape)
    each = [spreads["knob_spread"]]
    which[1 : 1 + steps] = layout.knob_of_step[:, None]
    times[1 : 1 + steps] = layout.share[:, None]
    times[:, 0] *= np.sqrt(contrasts)
    if contrasts > 1:
        each.append(spreads["matrix_spread"])
        which[1 : 1 + steps, 1:] += knobs
    if len(layout.seed_turn):
        which[1 + steps :] = len(each) * knobs
        times[1 + steps :] = 1.0
        each.append(spreads["seed_spread"][..., None, :])
    fixed = np.zeros((*which.shape, 1))
    fixed[0] = INTERCEPT_SD
    return fixed + times[..., None] * xp.concatenate(each, axis=-2)[..., which, :]


def _posterior(
    drawn: Mapping[str, np.ndarray],
    layout: Layout,
    told: np.ndarray,
    seeds: np.ndarray,
    matrices: list[str],
    figures: list[str],
) -> xr.Dataset:
    """Draws of the model's variables as those of the posterior group, with contrasts turned back into matrices."""
    over, steps = ("chain", "draw"), len(layout.knob_of_step)
    slopes = drawn["even"] * _sds(drawn, layout, np) ** (1 - told)
    slopes = np.einsum("...pcf,cm->...pfm", slopes, layout.turn)
    of_steps = slopes[:, :, 1 : 1 + steps]
    of_knobs = of_steps.swapaxes(2, -1) @ (layout.knob_of_step[:, None] == np.arange(len(layout.levels)))
    of_knobs = of_knobs.swapaxes(2, -1)
    sds = {name: np.sqrt((_square(drawn[name], len(figures)) ** 2).sum(axis=-1)) for name in layout.parts}
    found: dict[str, Any] = {
        "effect": ((*over, "knob", "figure"), of_knobs.mean(axis=-1)),
        "step_effect": ((*over, "step", "figure", "matrix"), of_steps),
        "knob_spread": ((*over, "knob", "figure"), drawn["knob_spread"]),
        "intercept": ((*over, "figure", "matrix"), slopes[:, :, 0]),
        "sigma": ((*over, "figure"), sds["between"]),
    }
    found |= {f"noise_{name}": ((*over, "entry"), drawn[name]) for name in layout.parts}
    coords: dict[str, Any] = {"knob": list(layout.levels), "matrix": matrices, "figure": figures, "step": layout.steps}
    if len(matrices) > 1:
        found["matrix_effect"] = ((*over, "knob", "figure", "matrix"), of_knobs)
        found["matrix_spread"] = ((*over, "knob", "figure"), drawn["matrix_spread"])
        found["sigma_within"] = ((*over, "figure"), sds["within"])
    if len(seeds) > 1:
        of_seeds = np.einsum("...tfm,ts->...sfm", slopes[:, :, 1 + steps :], layout.seed_turn)
        found["seed_effect"] = ((*over, "seed", "figure", "matrix"), of_seeds)
        found["seed_spread"] = ((*over, "figure"), drawn["seed_spread"])
        coords["seed"] = seeds
    return xr.Dataset(found, coords)


def _slopes(posterior: xr.Dataset, layout: Layout) -> np.ndarray:
    """The model's slopes back from the posterior group, shape (chain, draw, column, contrast, figure)."""
    parts = [posterior["intercept"].to_numpy()[:, :, None], posterior["step_effect"].to_numpy()]
    if "seed_effect" in posterior:
        parts.append(np.einsum("...sfm,ts->...tfm", posterior["seed_effect"], layout.seed_turn))
    found: np.ndarray = np.einsum("...pfm,cm->...pcf", np.concatenate(parts, axis=2), layout.turn)
    return found


def _pointwise(
    posterior: xr.Dataset, layout: Layout, figures: list[str], rng: np.random.Generator
) -> dict[str, xr.DataArray]:
    """Run by run: the mean over matrices of every figure, what repetitions may give, and the log density of all."""
    size, over = len(figures), ("chain", "draw", "run")
    mean = np.einsum("rp,...pcf->...rcf", layout.x, _slopes(posterior, layout), optimize=True)
    chols = {name: _square(posterior[f"noise_{name}"].to_numpy(), size) for name in layout.parts}
    likelihood = sum(
        _log_density(noise, chols[name][..., None, :, :], size, np).sum(axis=-1)
        for name, noise in layout.split(layout.y - mean).items()
    )
    shape = mean.shape[:3]
    heavy = np.sqrt(NOISE_DF / rng.chisquare(NOISE_DF, shape))[..., None]
    noise = np.einsum("...ij,...rj->...ri", chols["between"], rng.standard_normal((*shape, size)))
    root = np.sqrt(len(layout.turn))
    return {
        "observed_data": xr.DataArray(layout.y[:, 0] / root, {"figure": figures}, ("run", "figure")),
        "log_likelihood": xr.DataArray(likelihood, dims=over),
        "posterior_predictive": xr.DataArray(
            mean[..., 0, :] / root + heavy * noise, {"figure": figures}, (*over, "figure")
        ),
    }


def _square(packed: np.ndarray, size: int) -> np.ndarray:
    """Lower triangular matrices from their packed entries."""
    square = np.zeros((*packed.shape[:-1], size, size))
    square[..., *np.tril_indices(size)] = packed
    return square


def _log_density(noise: Any, chol: Any, size: int, xp: Any) -> Any:
    """Log density of multivariate Student-t noise.

    Parameters
    ----------
    noise : array or tensor, shape (…, run, size)
    chol : array or tensor, shape (…, size, size)
        Cholesky factor of its scale matrix.
    size : int
    xp : module
        Whose functions to use: numpy or pytensor.tensor.
    """
    whole = NOISE_DF + size
    constant = gammaln(whole / 2) - gammaln(NOISE_DF / 2) - size / 2 * np.log(NOISE_DF * np.pi)
    even = noise @ xp.swapaxes(xp.linalg.inv(chol), -1, -2)
    log_det = xp.log(xp.diagonal(chol, axis1=-2, axis2=-1)).sum(axis=-1)
    return constant - log_det[..., None] - whole / 2 * xp.log1p((even**2).sum(axis=-1) / NOISE_DF)
