"""What regularisers and the diversity of data do to the spectra of weights, and which of them do alike.

Figures of every matrix are regressed on the knobs that runs differ in, together: an effect is how far a figure moves
from a knob's least to its most value, in standard deviations over runs of the figure's mean over matrices. On the way
the values between may lie anywhere, in order (Bürkner and Charpentier, British Journal of Mathematical and Statistical
Psychology 73, 420, 2020). Matrices have effects of their own around their mean, and so have seeds; what a run adds is
correlated between its figures and shared by its matrices. The question is that of Ba, Mancenido and Pan
(arXiv:2410.14602): do more diverse data move spectra as dropout does, and unlike weight decay?
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import gammaln

from bayes_scaling.errors import InputError
from bayes_scaling.intervals import PROB
from bayes_scaling.noise import NOISE_DF
from bayes_scaling.notes import Note
from bayes_scaling.studies.effects_table import DATA, FIGURES, KNOBS, knobs_of, levels_of, load, table
from bayes_scaling.studies.fitting import Study, check_settings, fit_study, settings_of

__all__ = [
    "FIGURES",
    "KNOBS",
    "LATEX",
    "REFERENCE",
    "check_knobs",
    "fit",
    "knobs_of",
    "load",
    "probability_closer",
    "similarity",
    "table",
]

LAW = "effects"
REFERENCE = "after Ba, Mancenido, Pan (2024), arXiv:2410.14602"
LATEX = r"y_{rfm} = a_{fm} + \sum_k x_{rk} (B_{kf} + \Delta_{kfm}) + u_{rf} + e_{rfm}"

# Priors, in standard deviations of a figure over runs.
INTERCEPT_SD = 3.0
"""Matrices lie far apart in some figures; each is measured from its own mean."""
EFFECT_SPREAD, MATRIX_SPREAD, SEED_SPREAD = 1.0, 0.5, 0.5
"""Half-normal scales of a knob's effects on figures, of matrices around their mean, and of seeds."""
NOISE_SPREAD = {"between": 1.0, "within": 2.0}
"""Half-normal scales of what runs add to the mean over matrices, and of what matrices of a run add to each other."""
SAMPLER = {"tune": 1000, "target_accept": 0.9, "thin": 1}
"""Hundreds of coordinates, each well determined: steps are short enough, and coordinates that are even at one mode are
not so elsewhere (460 leapfrogs a draw in these, 85 in the model's own)."""
ETA = 2.0
"""Of the LKJ prior of correlations between figures."""


def fit(
    source: Any,
    columns: Mapping[str, str] | None = None,
    *,
    seed: int = 0,
    draws: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    progressbar: bool = True,
) -> xr.DataTree:
    """Fit the hierarchical regression of spectral figures on knobs.

    Parameters
    ----------
    source : path, DataFrame, Dataset or list of dict
        As `load` reads it.
    columns : dict of str to str, optional
        Their names to ours.
    seed : int
        Seed of all random numbers.
    draws, chains : int
        Draws kept per chain; number of chains.
    cores : int, optional
        Chains run at a time; as many as there are processors unless said.
    progressbar : bool
        Whether to show progress on stderr, where that is a terminal.

    Returns
    -------
    DataTree
        An ArviZ posterior. ``effect`` over ``knob`` and ``figure``: from least to most value, of the mean over
        matrices, in standard deviations of that mean over runs (``scale`` of the group ``runs`` says how much that
        is); ``matrix_effect`` over ``matrix`` too; ``knob_spread`` and ``matrix_spread`` over ``knob``; ``sigma`` and
        ``sigma_within`` over ``figure``: noise of a run's mean, and of its matrices around it; ``dose_…`` of a knob
        with values between, over ``level_…``: how much of its effect each has. Law, settings, diagnostics and notes
        are JSON in its attributes.

    Raises
    ------
    InputError
        If a setting is out of range or the table is wrong.
    """
    check_settings(seed=seed, draws=draws, chains=chains)
    runs = load(source, columns)
    settings = {"seed": seed, "draws": draws, "chains": chains}
    return fit_study(_study(runs), runs, settings, cores=cores, progressbar=progressbar, notes=_notes)


def _contrasts(count: int) -> np.ndarray:
    """Orthonormal contrasts between matrices and, first, their mean times the root of their number."""
    from scipy.linalg import helmert

    rows: np.ndarray = helmert(count, full=True)
    return rows


def _study(runs: xr.Dataset) -> Study:
    knobs, matrices, figures = knobs_of(runs), runs["matrix"].to_numpy().tolist(), runs["figure"].to_numpy().tolist()
    values = (runs["value"] - runs["value"].mean("run")) / runs["scale"]
    y = values.transpose("run", "matrix", "figure").to_numpy()
    levels = {knob: levels_of(runs, knob) for knob in knobs}
    seeds, of_seed = np.unique(runs["seed"].to_numpy(), return_inverse=True)
    turn = _contrasts(len(matrices))
    several, seeded = len(matrices) > 1, len(seeds) > 1
    chol_names = ("between", "within") if several else ("between",)

    def model() -> Any:
        import pymc as pm
        import pytensor.tensor as pt

        coords = {"knob": knobs, "matrix": matrices, "figure": figures, "seed": seeds, "run": np.arange(len(y))}
        with pm.Model(coords=coords) as built:
            columns = []
            for knob in knobs:
                steps = len(levels[knob][0]) - 1
                shares = pm.Dirichlet(f"steps_{knob}", np.full(steps, 2.0)) if steps > 1 else pt.ones(1)
                reached = pt.concatenate([pt.zeros(1), pt.cumsum(shares)])
                columns.append(reached[pm.Data(f"level_of_run_{knob}", levels[knob][1], dims="run")])
            x = pt.stack(columns, axis=-1)
            spread = pm.HalfNormal("knob_spread", EFFECT_SPREAD, dims="knob")
            effect = spread[:, None] * pm.Normal("effect_raw", 0.0, 1.0, dims=("knob", "figure"))
            mean = pt.zeros((len(y), 1, 1)) + pm.Normal("intercept", 0.0, INTERCEPT_SD, dims=("matrix", "figure"))
            mean = mean + pt.dot(x, effect)[:, None, :]
            if several:
                apart = pm.HalfNormal("matrix_spread", MATRIX_SPREAD, dims="knob")
                raw = pm.ZeroSumNormal("matrix_raw", 1.0, dims=("knob", "figure", "matrix"))
                mean = mean + pt.tensordot(x, apart[:, None, None] * raw, axes=1).transpose(0, 2, 1)
            if seeded:
                of_run = pm.Data("seed_of_run", of_seed, dims="run")
                raw = pm.ZeroSumNormal("seed_raw", 1.0, dims=("matrix", "figure", "seed")).transpose(2, 0, 1)
                mean = mean + (pm.HalfNormal("seed_spread", SEED_SPREAD) * raw)[of_run]
            residual = pm.Data("figures", y, dims=("run", "matrix", "figure")) - mean
            turned = pt.tensordot(residual, pt.as_tensor(turn), axes=[[1], [1]]).transpose(0, 2, 1)
            parts = {"between": turned[:, 0] / np.sqrt(len(matrices)), "within": turned[:, 1:]}
            for name in chol_names:
                packed = pm.LKJCholeskyCov(
                    name, n=len(figures), eta=ETA, sd_dist=pm.HalfNormal.dist(NOISE_SPREAD[name]), compute_corr=False
                )
                chol = pm.expand_packed_triangular(len(figures), packed)
                pm.Potential(f"{name}_fit", _log_density(parts[name], chol, len(figures), pt).sum())
        return built

    def coefficients(drawn: Mapping[str, np.ndarray]) -> xr.Dataset:
        over = ("chain", "draw")
        effect = drawn["knob_spread"][..., None] * drawn["effect_raw"]
        chols = {name: _square(drawn[name], len(figures)) for name in chol_names}
        sds = {name: np.sqrt((chol**2).sum(axis=-1)) for name, chol in chols.items()}
        found: dict[str, Any] = {
            "effect": ((*over, "knob", "figure"), effect),
            "knob_spread": ((*over, "knob"), drawn["knob_spread"]),
            "intercept": ((*over, "matrix", "figure"), drawn["intercept"]),
            "sigma": ((*over, "figure"), sds["between"]),
        }
        found |= {f"noise_{name}": ((*over, "entry"), drawn[name]) for name in chol_names}
        if several:
            own = drawn["matrix_spread"][..., None, None] * drawn["matrix_raw"]
            found["matrix_effect"] = ((*over, "knob", "figure", "matrix"), effect[..., None] + own)
            found["matrix_spread"] = ((*over, "knob"), drawn["matrix_spread"])
            found["sigma_within"] = ((*over, "figure"), sds["within"])
        if seeded:
            scatter = drawn["seed_spread"][..., None, None, None] * drawn["seed_raw"]
            found["seed_effect"] = ((*over, "matrix", "figure", "seed"), scatter)
        coords: dict[str, Any] = {"knob": knobs, "matrix": matrices, "figure": figures}
        coords |= {"seed": seeds} if seeded else {}
        for knob in knobs:
            if f"steps_{knob}" in drawn:
                reached = np.cumsum(drawn[f"steps_{knob}"], axis=-1)[..., :-1]
                found[f"dose_{knob}"] = ((*over, f"level_{knob}"), reached)
                coords[f"level_{knob}"] = levels[knob][0][1:-1]
        return xr.Dataset(found, coords)

    def pointwise(posterior: xr.Dataset, rng: np.random.Generator) -> dict[str, xr.DataArray]:
        fitted = _fitted(posterior, runs)
        turned = np.einsum("...mf,nm->...nf", y - fitted.to_numpy(), turn)
        parts = {"between": turned[..., :1, :] / np.sqrt(len(matrices)), "within": turned[..., 1:, :]}
        chols = {name: _square(posterior[f"noise_{name}"].to_numpy(), len(figures)) for name in chol_names}
        likelihood = sum(
            _log_density(parts[name], chol[:, :, None, None], len(figures), np).sum(axis=-1)
            for name, chol in chols.items()
        )
        mean = fitted.mean("matrix")
        shape = (*mean.shape[:2], len(y))
        heavy = np.sqrt(NOISE_DF / rng.chisquare(NOISE_DF, shape))[..., None]
        noise = np.einsum("cdij,cdrj->cdri", chols["between"], rng.standard_normal((*shape, len(figures))))
        return {
            "observed_data": xr.DataArray(y.mean(axis=1), {"figure": figures}, ("run", "figure")),
            "log_likelihood": mean.isel(figure=0, drop=True).copy(data=likelihood),
            "posterior_predictive": mean + heavy * noise,
        }

    scales = ("knob_spread", "matrix_spread", "seed_spread", *chol_names)
    return Study(LAW, model, coefficients, pointwise, "figures", scales, SAMPLER, whiten=False)


def _fitted(posterior: xr.Dataset, runs: xr.Dataset) -> xr.DataArray:
    """What the regression says of every figure, over (chain, draw, run, matrix, figure)."""
    of = posterior["matrix_effect"] if "matrix_effect" in posterior else posterior["effect"]
    found = posterior["intercept"]
    for knob in knobs_of(runs):
        found = found + _reached(posterior, runs, knob) * of.sel(knob=knob, drop=True)
    if "seed_effect" in posterior:
        seeds = xr.DataArray(runs["seed"].to_numpy(), dims="run")
        found = found + posterior["seed_effect"].sel(seed=seeds).drop_vars("seed")
    return found.transpose("chain", "draw", "run", "matrix", "figure")


def _reached(posterior: xr.Dataset, runs: xr.Dataset, knob: str) -> xr.DataArray:
    """How much of a knob's effect each run has, over (…, run)."""
    values, which = levels_of(runs, knob)
    at, level = xr.DataArray(which, dims="run"), f"level_{knob}"
    if len(values) == 2:
        return at.astype(float)
    between = posterior[f"dose_{knob}"].drop_vars(level)
    ends = [xr.zeros_like(between.isel({level: [0]})), between, xr.ones_like(between.isel({level: [0]}))]
    return xr.concat(ends, level).isel({level: at})


def _square(packed: np.ndarray, size: int) -> np.ndarray:
    """Lower triangular matrices from their entries, which PyMC packs row by row."""
    square = np.zeros((*packed.shape[:-1], size, size))
    square[..., *np.tril_indices(size)] = packed
    return square


def _log_density(noise: Any, chol: Any, size: int, xp: Any) -> Any:
    """Log density of multivariate Student-t noise.

    Parameters
    ----------
    noise : array or tensor, shape (…, size)
    chol : array or tensor, shape (…, size, size)
        Cholesky factor of its scale matrix, whose first dimensions broadcast.
    size : int
    xp : module
        Whose functions to use: numpy or pytensor.tensor.
    """
    whole = NOISE_DF + size
    density = gammaln(whole / 2) - gammaln(NOISE_DF / 2) - size / 2 * np.log(NOISE_DF * np.pi)
    even: list[Any] = []  # the noise in coordinates in which it is so, by forward substitution
    for i in range(size):
        left = noise[..., i]
        for j, known in enumerate(even):
            left = left - chol[..., i, j] * known
        even.append(left / chol[..., i, i])
        density = density - xp.log(chol[..., i, i])
    return density - whole / 2 * xp.log1p(sum(each**2 for each in even) / NOISE_DF)


def _notes(posterior: xr.DataTree) -> Iterable[Note]:
    """Knobs that move no figure: what they do alike is not known."""
    effect = posterior["posterior"]["effect"]
    tail = (1 - PROB) / 2
    low, high = effect.quantile([tail, 1 - tail], ("chain", "draw"))
    moved = ((low > 0) | (high < 0)).any("figure")
    still = [str(knob) for knob in effect["knob"].to_numpy() if not bool(moved.sel(knob=knob))]
    if still:
        message = (
            f"{', '.join(still)} moved no figure beyond doubt ({PROB:.0%} intervals of all effects hold 0): in which "
            "direction is not known, and neither is what it resembles."
        )
        yield Note("no_effect_seen", "warning", message, {"knobs": ", ".join(still)}, {"knobs": len(still)})


def check_knobs(known: Iterable[str], *names: str) -> None:
    """Refuse names that are no knob that runs differ in, or one knob twice.

    Parameters
    ----------
    known : iterable of str
        Of the posterior, or of a table about to be fitted.
    *names : str

    Raises
    ------
    InputError
        If there is one.
    """
    for name in names:
        if name not in known:
            raise InputError(f"there is no knob {name!r}; runs differ in {', '.join(known)}")
    if len(set(names)) < len(names):
        raise InputError(f"{', '.join(names)} are not {len(names)} different knobs")


def similarity(posterior: xr.DataTree, knob: str = DATA, figures: Iterable[str] | None = None) -> xr.DataArray:
    """How alike a knob and each other one move the figures: the cosine between their effects.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    knob : str
        The one that others are compared with; how many distinct data there are, unless said.
    figures : iterable of str, optional
        Two or more figures to look at; all unless said.

    Returns
    -------
    DataArray
        Over ``chain``, ``draw`` and ``knob``, those that it is compared with: 1 where all figures move in proportion,
        -1 where they do so the other way round.

    Raises
    ------
    InputError
        If the posterior is of something else or has no such knob or figures.
    """
    settings_of(posterior, LAW)
    effect = posterior["posterior"]["effect"]
    known = effect["knob"].to_numpy().tolist(), effect["figure"].to_numpy().tolist()
    check_knobs(known[0], knob)
    wanted = known[1] if figures is None else list(figures)
    if len(set(wanted)) < 2 or not set(wanted) <= set(known[1]):
        raise InputError(f"figures are {', '.join(wanted)}; they are two or more of {', '.join(known[1])}")
    effect = effect.sel(figure=wanted)
    one = effect.sel(knob=knob, drop=True)
    others = effect.sel(knob=[name for name in known[0] if name != knob])
    lengths = np.sqrt((one**2).sum("figure") * (others**2).sum("figure"))
    return ((one * others).sum("figure") / lengths).rename("similarity")


def probability_closer(
    posterior: xr.DataTree, knob: str, nearer: str, farther: str, figures: Iterable[str] | None = None
) -> float:
    """How probable it is that a knob moves figures more like one knob than like another.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    knob, nearer, farther : str
        As ``data``, ``dropout`` and ``weight_decay`` in arXiv:2410.14602.
    figures : iterable of str, optional
        As of `similarity`.

    Raises
    ------
    InputError
        If the posterior is of something else or lacks a knob or figures, or it is one knob twice.
    """
    settings_of(posterior, LAW)
    check_knobs(posterior["posterior"]["knob"].to_numpy().tolist(), knob, nearer, farther)
    found = similarity(posterior, knob, figures)
    return float((found.sel(knob=nearer) > found.sel(knob=farther)).mean())
