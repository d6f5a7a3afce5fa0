"""Fine-tuning curves: the rectified law L(D) = B / (D_l + D^β) + E, over the amount of fine-tuning data.

Little data change next to nothing (the pre-power phase, D^β well below D_l), much of it follows a power law (Lin et
al., arXiv:2402.02314). Here it is written by what can be read off a curve: the loss A that it starts from and the
amount of data H at which half of what can be learnt is, L(D) = (A - E) / (1 + (D / H)^β) + E, with D_l = H^β and
B = (A - E) H^β. Curves, of a model each, have coefficients of their own that resemble each other.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.noise import NOISE_DF
from bayes_scaling.notes import Note
from bayes_scaling.studies.fitting import Study, check_settings, fit_study, settings_of, student_noise, table_of
from bayes_scaling.studies.rectified_table import groups_of, load

__all__ = ["LATEX", "REFERENCE", "check_asked", "fit", "load", "loss", "point_fit", "predict", "probability_best"]

LAW = "rectified"
REFERENCE = "Lin et al. (2024), arXiv:2402.02314"
LATEX = r"L(D) = \frac{B}{D_l + D^\beta} + E"

# Priors. Starts and floors are relative to the curve's own largest and smallest loss.
START_SD = 0.2
"""Of log (A / the largest loss), around a tenth above it."""
HALF_SD, HALF_SPREAD = 3.0, 1.0
"""Of the log of H: of the population's median around the middle of the amounts tried, and of curves around that."""
BETA_MEDIAN, BETA_SD, BETA_SPREAD = 0.4, 0.7, 0.3
FLOOR_MEDIAN, FLOOR_SD, FLOOR_SPREAD = 0.7, 1.0, 0.7
"""Of E, as a share of the smallest loss, on the logit."""
SPREAD_SD = 0.5
"""Of the log of each spread: curves of models differ, and a spread of zero is out of the question."""
SIGMA_MEDIAN, SIGMA_SD = 0.01, 0.7

SAMPLER = {"tune": 1000, "target_accept": 0.9, "thin": 4}
"""Data, exponent and floor of a curve trade off along a bend: shorter steps meet the limit of their number."""


def loss(finetune_data: Any, *, start: Any, floor: Any, half_data: Any, beta: Any) -> Any:
    """Held-out loss after fine-tuning.

    Parameters
    ----------
    finetune_data : array or tensor
        D.
    start, floor : array or tensor
        A and E, in the unit of the answer.
    half_data : array or tensor
        H, in the unit of D.
    beta : array or tensor
        Exponent.
    """
    return (start - floor) / (1 + (finetune_data / half_data) ** beta) + floor


def fit(
    table: Any,
    columns: Mapping[str, str] | None = None,
    *,
    seed: int = 0,
    draws: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    progressbar: bool = True,
) -> xr.DataTree:
    """Fit the hierarchical model of fine-tuning curves.

    Parameters
    ----------
    table : path, DataFrame, Dataset or list of dict
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
        An ArviZ posterior. Over ``group``: ``start`` (A), ``floor`` (E), ``half_data`` (H) and ``beta``, and as printed
        ``B`` and ``D_l``. Where there are several curves, their population's medians ``half_data_population``,
        ``beta_population`` and ``floor_population`` (of E as a share of the curve's smallest loss) and spreads around
        them, ``half_data_spread``, ``beta_spread`` (on the log) and ``floor_spread`` (on the logit). ``sigma`` of log
        loss. Law, settings, diagnostics and notes are JSON in its attributes.

    Raises
    ------
    InputError
        If a setting is out of range or the table is wrong.
    """
    check_settings(seed=seed, draws=draws, chains=chains)
    runs = load(table, columns)
    settings = {"seed": seed, "draws": draws, "chains": chains}
    return fit_study(_study(runs), runs, settings, cores=cores, progressbar=progressbar, notes=_notes)


POPULATIONS = {
    "half_data": (0.0, HALF_SD, HALF_SPREAD),
    "beta": (np.log(BETA_MEDIAN), BETA_SD, BETA_SPREAD),
    "floor": (np.log(FLOOR_MEDIAN / (1 - FLOOR_MEDIAN)), FLOOR_SD, FLOOR_SPREAD),
}
"""Mean and standard deviation of each population's median, and the median of curves' spread, on the link scale."""


def _study(runs: xr.Dataset) -> Study:
    groups = groups_of(runs)
    of_run = np.array([groups.index(name) for name in runs["group"].to_numpy().tolist()])
    data, observed = np.log(runs["finetune_data"].to_numpy()), np.log(runs["loss"].to_numpy())
    middle = float((data.min() + data.max()) / 2)
    ends = np.array([[pick(observed[of_run == g]) for g in range(len(groups))] for pick in (np.max, np.min)])

    def model() -> Any:
        import pymc as pm
        import pytensor.tensor as pt

        with pm.Model(coords={"group": groups, "run": np.arange(len(data)), "end": ["largest", "smallest"]}) as built:
            latent = {}
            for name, (mean, sd, spread) in POPULATIONS.items():
                if len(groups) == 1:  # nothing to pool
                    latent[name] = pm.Normal(f"{name}_link", mean, float(np.hypot(sd, spread)), dims="group")
                    continue
                centre = pm.Normal(f"{name}_centre", mean, sd)
                around = pm.LogNormal(f"{name}_spread", np.log(spread), SPREAD_SD)
                if name == "floor":  # in spreads: most curves end far above it and hardly know it
                    latent[name] = centre + around * pm.Normal(f"{name}_link", 0.0, 1.0, dims="group")
                else:
                    latent[name] = pm.Normal(f"{name}_link", centre, around, dims="group")
            known = pm.Data("ends", ends, dims=("end", "group"))
            start = pt.exp(known[0] + pm.Normal("start_link", np.log(1.1), START_SD, dims="group"))
            of_curve = {
                "start": start,
                "floor": pt.exp(known[1]) * pm.math.sigmoid(latent["floor"]),
                "half_data": pt.exp(latent["half_data"]),
                "beta": pt.exp(latent["beta"]),
            }
            sigma = pm.LogNormal("sigma", np.log(SIGMA_MEDIAN), SIGMA_SD)
            group_of_run = pm.Data("group_of_run", of_run, dims="run")
            relative = pm.Data("relative_data", np.exp(data - middle), dims="run")
            mean = pt.log(loss(relative, **{name: each[group_of_run] for name, each in of_curve.items()}))
            seen = pm.Data("log_loss", observed, dims="run")
            pm.StudentT("observed", nu=NOISE_DF, mu=mean, sigma=sigma, observed=seen, dims="run")
        return built

    def coefficients(drawn: Mapping[str, np.ndarray]) -> xr.Dataset:
        over = ("chain", "draw")
        beta, half = np.exp(drawn["beta_link"]), np.exp(drawn["half_data_link"] + middle)
        share = drawn["floor_link"]
        if len(groups) > 1:
            share = drawn["floor_centre"][..., None] + drawn["floor_spread"][..., None] * share
        start, floor = np.exp(ends[0] + drawn["start_link"]), np.exp(ends[1]) / (1 + np.exp(-share))
        of_curve = {"start": start, "floor": floor, "half_data": half, "beta": beta, "D_l": half**beta}
        of_curve["B"] = (start - floor) * half**beta
        found: dict[str, Any] = {name: ((*over, "group"), values) for name, values in of_curve.items()}
        found["sigma"] = (over, drawn["sigma"])
        if len(groups) > 1:
            found |= {f"{name}_spread": (over, drawn[f"{name}_spread"]) for name in POPULATIONS}
            centre = {name: drawn[f"{name}_centre"] for name in POPULATIONS}
            found |= {
                "half_data_population": (over, np.exp(centre["half_data"] + middle)),
                "beta_population": (over, np.exp(centre["beta"])),
                "floor_population": (over, 1 / (1 + np.exp(-centre["floor"]))),
            }
        return xr.Dataset(found, {"group": groups})

    def log_mean(posterior: xr.Dataset) -> xr.DataArray:
        mine = posterior[["start", "floor", "half_data", "beta"]].isel(group=xr.DataArray(of_run, dims="run"))
        curve: Any = {str(name): values.drop_vars("group") for name, values in mine.items()}
        return np.log(loss(xr.DataArray(np.exp(data), dims="run"), **curve))

    spreads = tuple(f"{name}_spread" for name in POPULATIONS) if len(groups) > 1 else ()
    scales = ("sigma", *spreads)
    return Study(LAW, model, coefficients, student_noise(log_mean, observed), "log_loss", scales, SAMPLER)


def _notes(posterior: xr.DataTree) -> Iterable[Note]:
    """Curves that have not left the phase in which data hardly help."""
    runs, half = table_of(posterior), posterior["posterior"]["half_data"].median(("chain", "draw"))
    largest = runs.to_dataframe().groupby("group")["finetune_data"].max()
    early = [g for g in half["group"].to_numpy().tolist() if float(half.sel(group=g)) > largest[g]]
    if early:
        message = (
            f"{len(early)} of {half.sizes['group']} curves (first {early[0]}) have learnt less than half of what they "
            "can with all their data: how low they go is prior and the other curves' word."
        )
        yield Note("floor_unseen", "warning", message, {"group": early[0]}, {"curves": len(early)})


def check_asked(finetune_data: Any) -> np.ndarray:
    """Amounts of data asked for, in an array; refuse those that none can have."""
    given = np.atleast_1d(np.asarray(finetune_data, dtype=float))
    if not (fine := (given > 0) & np.isfinite(given)).all():
        raise InputError(f"finetune_data is {given[~fine][0]:g}; it is a finite number above 0")
    return given


def predict(posterior: xr.DataTree, finetune_data: Any) -> xr.DataArray:
    """Losses of the table's models after fine-tuning, by the law without noise.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    finetune_data : float or sequence of float
        D, in the unit of the table.

    Returns
    -------
    DataArray
        Over ``chain``, ``draw``, ``group`` and ``finetune_data``, in the unit of the table's loss, with the coordinate
        ``extrapolation``, over ``group`` and ``finetune_data``, in nats beyond the amounts that a curve has.

    Raises
    ------
    InputError
        If the posterior is of something else or an amount is not above 0.
    """
    settings_of(posterior, LAW)
    given = check_asked(finetune_data)
    draws = posterior["posterior"].to_dataset()
    x = xr.DataArray(given, {"finetune_data": given}, ("finetune_data",))
    found = loss(x, **{name: draws[name] for name in ("start", "floor", "half_data", "beta")})
    tried = table_of(posterior).to_dataframe().groupby("group")["finetune_data"].agg(["min", "max"])
    tried = tried.loc[draws["group"].to_numpy().tolist()]
    beyond = np.maximum(
        np.log(given / tried["max"].to_numpy()[:, None]), np.log(tried["min"].to_numpy()[:, None] / given)
    )
    found = found.assign_coords(extrapolation=(("group", "finetune_data"), np.maximum(beyond, 0.0)))
    return found.transpose("chain", "draw", "group", "finetune_data").rename("loss")


def probability_best(posterior: xr.DataTree, finetune_data: float) -> xr.DataArray:
    """How probable it is that each model has the lowest loss of all, given as much fine-tuning data.

    Parameters
    ----------
    posterior : DataTree
        From `fit`. Losses must be comparable: of one tokenizer, or per byte.
    finetune_data : float
        D, in the unit of the table.

    Returns
    -------
    DataArray
        Over ``group``; sums to one.

    Raises
    ------
    InputError
        As `predict`.
    """
    losses = predict(posterior, finetune_data).isel(finetune_data=0, drop=True)
    best = losses.argmin("group")
    share = [float((best == i).mean()) for i in range(losses.sizes["group"])]
    return xr.DataArray(share, {"group": losses["group"]}, ("group",), name="probability_best")


STARTS = [(quantile, beta) for quantile in (0.1, 0.4, 0.7, 0.95) for beta in (0.25, 0.5, 1.0)]
"""Where searches of the point fit begin: H as a quantile of log data, and β."""


def point_fit(table: Any, columns: Mapping[str, str] | None = None) -> xr.Dataset:
    """Least squares on log loss, curve by curve: the usual point estimate.

    Parameters
    ----------
    table : path, DataFrame, Dataset or list of dict
        As `load` reads it.
    columns : dict of str to str, optional
        Their names to ours.

    Returns
    -------
    Dataset
        ``start``, ``floor``, ``half_data``, ``beta`` and ``rmsd`` (root mean square of log loss) over ``group``.

    Raises
    ------
    InputError
        If the table is wrong or a curve has fewer than five amounts of data.
    """
    from scipy.optimize import least_squares

    runs = load(table, columns)
    groups, found = groups_of(runs), []
    for group in groups:
        mine = runs.isel(run=np.flatnonzero(runs["group"].to_numpy() == group))
        data, seen = mine["finetune_data"].to_numpy(), np.log(mine["loss"].to_numpy())
        if len(np.unique(data)) < 5:
            raise InputError(
                f"curve {group!r} has {len(np.unique(data))} amounts of data, where a point fit needs five"
            )

        def curve(z: np.ndarray) -> dict[str, Any]:
            floor, above, half, beta = np.exp(z)
            return {"start": floor + above, "floor": floor, "half_data": half, "beta": beta}

        def misfit(z: np.ndarray, data: np.ndarray = data, seen: np.ndarray = seen) -> np.ndarray:
            return np.log(loss(data, **curve(z))) - seen

        low, high = np.exp(seen.min()), np.exp(seen.max())
        starts = [
            np.log([low / 2, high - low / 2, np.exp(np.quantile(np.log(data), quantile)), beta])
            for quantile, beta in STARTS
        ]
        # Amounts and exponents far from any data mean that a curve lacks a phase; they stay finite.
        around = np.log([[1e-9, 1e-9, data.min() / 1e9, 1e-3], [high, 1e3 * high, data.max() * 1e9, 20.0]])
        tries = [least_squares(misfit, s, bounds=around, x_scale="jac", xtol=1e-12, ftol=1e-12) for s in starts]
        best = min(tries, key=lambda found: found.cost)
        found.append(curve(best.x) | {"rmsd": float(np.sqrt(np.mean(best.fun**2)))})
    return xr.Dataset({name: ("group", [each[name] for each in found]) for name in found[0]}, {"group": groups})
