"""What a pretrained start is worth: effective data transferred, D_T = k D_F^α N^β.

A model that is fine-tuned on D_F units of data does as well as one from scratch on D_E = D_F + D_T of them (Hernandez
et al., arXiv:2102.01293). The law of the runs from scratch is fitted in the same model, with D_E in place of the data
of fine-tuned runs, so that what is not known of it is not known of D_T either.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.intervals import PROB
from bayes_scaling.laws.base import Law
from bayes_scaling.noise import NOISE_DF
from bayes_scaling.notes import Note
from bayes_scaling.studies.fitting import Study, check_settings, fit_study, settings_of, student_noise, table_of
from bayes_scaling.studies.scratch_law import law_of, quantities_of, variables_of
from bayes_scaling.studies.transfer_points import PUBLISHED, data_for, regression, transferred
from bayes_scaling.studies.transfer_table import fine_tuned, groups_of, kinds_of, load

__all__ = [
    "LATEX",
    "PUBLISHED",
    "REFERENCE",
    "check_asked",
    "effective_data",
    "fit",
    "load",
    "multiplier",
    "point_fit",
    "predict",
    "transferred",
]

LAW = "transfer"
REFERENCE = "Hernandez et al. (2021), arXiv:2102.01293"
LATEX = r"D_E = D_F + D_T, \quad D_T = k D_F^\alpha N^\beta"

# Priors. What is transferred is known to nobody within a factor of ten; exponents are pure numbers.
WORTH_SD = 2.0
"""Of log (D_T / D_F) at the reference point, around 0."""
ALPHA_MEAN, ALPHA_SD = 0.2, 0.3
BETA_MEAN, BETA_SD = 0.4, 0.4
WORTH_SPREAD, ALPHA_SPREAD = 1.0, 0.1
"""How far groups lie from what they have in common, in log D_T and in α: the published pair differ by 1.3 and 0.08.
Two or three groups, as there are, cannot tell how far groups lie apart."""
SIZE_SD = 0.5
"""Of the log of how many dense parameters a parameter of a sparse model is worth."""
SIGMA_MEDIAN, SIGMA_SD = 0.01, 0.7


def fit(
    table: Any,
    columns: Mapping[str, str] | None = None,
    *,
    law: str = "dense_coupled",
    seed: int = 0,
    draws: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    progressbar: bool = True,
) -> xr.DataTree:
    """Fit the law from scratch and what pretrained starts transfer, in one model.

    Parameters
    ----------
    table : path, DataFrame, Dataset or list of dict
        As `load` reads it.
    columns : dict of str to str, optional
        Their names to ours.
    law : {"dense_coupled", "kaplan", "dense"}
        Of the runs from scratch, over non-zero parameters and D_F. arXiv:2102.01293 has ``kaplan``, which fixes what
        ``dense_coupled`` leaves open; exponents may hang on it.
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
        An ArviZ posterior. ``k`` and ``alpha`` over ``group``, ``beta``; ``transferred_reference`` over ``group``, D_T
        at the runs' geometric mean of N and D_F, which runs determine far better than k; the coefficients of the law
        from scratch, as ``scratch_A``; where models differ in sparsity, ``size_multiplier`` over ``kind``, relative to
        the least sparse; ``sigma`` of log loss. Law, settings, diagnostics and notes are JSON in its attributes.

    Raises
    ------
    InputError
        If a setting is out of range or the table is wrong.
    """
    check_settings(seed=seed, draws=draws, chains=chains)
    of_scratch, runs = law_of(law), load(table, columns)
    settings = {"seed": seed, "draws": draws, "chains": chains, "scratch_law": law}
    study = _study(runs, of_scratch)
    return fit_study(study, runs, settings, cores=cores, progressbar=progressbar, notes=_notes)


def _study(runs: xr.Dataset, law: Law) -> Study:
    groups, kinds, tuned = groups_of(runs), kinds_of(runs), fine_tuned(runs)
    n, d = (np.log(runs[name].to_numpy()) for name in ("nonzero_params", "finetune_data"))
    n_mean, d_mean = float(n.mean()), float(d.mean())
    of_group = np.array([groups.index(g) if g else 0 for g in runs["group"].to_numpy().tolist()])
    of_kind = np.array([kinds.index(kind) for kind in runs["kind"].to_numpy().tolist()])
    observed = np.log(runs["loss"].to_numpy())
    rough = float(np.median(observed))

    def model() -> Any:
        import pymc as pm
        import pytensor.tensor as pt

        coords = {"group": groups, "other_kind": kinds[1:], "run": np.arange(len(observed))}
        with pm.Model(coords=coords) as built:
            size, data = pm.Data("log_size", n - n_mean, dims="run"), pm.Data("log_data", d - d_mean, dims="run")
            from_start = pm.Data("fine_tuned", tuned.astype(float), dims="run")
            group_of_run = pm.Data("group_of_run", of_group, dims="run")
            coefficients = law.from_shares(**variables_of(law, pm.Data("rough", np.array([rough]))[0]))
            worth, alpha = pm.Normal("worth", 0.0, WORTH_SD), pm.Normal("alpha_mean", ALPHA_MEAN, ALPHA_SD)
            if len(groups) > 1:
                worth = (worth + pm.Normal("worth_scatter", 0.0, WORTH_SPREAD, dims="group"))[group_of_run]
                alpha = (alpha + pm.Normal("alpha_scatter", 0.0, ALPHA_SPREAD, dims="group"))[group_of_run]
            beta = pm.Normal("beta", BETA_MEAN, BETA_SD)
            effective = pt.exp(data) + from_start * pt.exp(worth + alpha * data + beta * size)
            if len(kinds) > 1:  # a sparse model is worth some number of dense ones, whatever its data
                gain = pt.concatenate([pt.zeros(1), pm.Normal("log_gain", 0.0, SIZE_SD, dims="other_kind")])
                size = size + gain[pm.Data("kind_of_run", of_kind, dims="run")]
            sigma = pm.LogNormal("sigma", np.log(SIGMA_MEDIAN), SIGMA_SD)
            mean = pt.log(law.loss(0.0, pt.exp(size), effective, **coefficients))
            seen = pm.Data("log_loss", observed, dims="run")
            pm.StudentT("observed", nu=NOISE_DF, mu=mean, sigma=sigma, observed=seen, dims="run")
        return built

    def coefficients(drawn: Mapping[str, np.ndarray]) -> xr.Dataset:
        over = ("chain", "draw")
        physical = law.from_shares(nonzero_params=np.exp(n_mean), data_seen=np.exp(d_mean), **quantities_of(law, drawn))
        found: dict[str, Any] = {f"scratch_{name}": (over, values) for name, values in physical.items()}
        found |= {"beta": (over, drawn["beta"]), "sigma": (over, drawn["sigma"])}
        worth, alpha = drawn["worth"][..., None], drawn["alpha_mean"][..., None]
        if len(groups) > 1:
            worth = worth + drawn["worth_scatter"]
            alpha = alpha + drawn["alpha_scatter"]
        log_k = worth + (1 - alpha) * d_mean - drawn["beta"][..., None] * n_mean
        found |= {
            "k": ((*over, "group"), np.exp(log_k)),
            "alpha": ((*over, "group"), alpha),
            "transferred_reference": ((*over, "group"), np.exp(worth + d_mean)),
        }
        if len(kinds) > 1:
            found["size_multiplier"] = ((*over, "kind"), np.exp(drawn["log_gain"]))
        return xr.Dataset(found, {"group": groups, **({"kind": kinds[1:]} if len(kinds) > 1 else {})})

    def log_mean(posterior: xr.Dataset) -> xr.DataArray:
        data, size = (xr.DataArray(np.exp(each), dims="run") for each in (d, n))
        mine = posterior[["k", "alpha"]].isel(group=xr.DataArray(of_group, dims="run")).drop_vars("group")
        worth = transferred(data, size, k=mine["k"], alpha=mine["alpha"], beta=posterior["beta"])
        loss = law.loss(
            0.0,
            size * _gain(posterior, runs),
            data + xr.DataArray(tuned, dims="run") * worth,
            **_scratch(posterior),
        )
        mean: Any = np.log(loss)
        return mean

    return Study(LAW, model, coefficients, student_noise(log_mean, observed), "log_loss", ("sigma",))


def _scratch(draws: xr.Dataset) -> dict[str, xr.DataArray]:
    """Coefficients of the law from scratch, under their own names."""
    return {str(n).removeprefix("scratch_"): values for n, values in draws.items() if str(n).startswith("scratch_")}


def _gain(draws: xr.Dataset, runs: xr.Dataset) -> Any:
    """What each run's parameters are worth in dense ones."""
    if "size_multiplier" not in draws:
        return 1.0
    of_run = xr.DataArray(runs["kind"].to_numpy(), dims="run")
    return _size_multiplier(draws, kinds_of(runs)).sel(kind=of_run).drop_vars("kind")


def _size_multiplier(draws: xr.Dataset, kinds: list[str]) -> xr.DataArray:
    """Of every kind; what others are relative to, which no draw says anything of, has 1."""
    others = draws["size_multiplier"]
    every = list(dict.fromkeys([*kinds, *others["kind"].to_numpy().tolist()]))
    return others.reindex(kind=every, fill_value=1.0)


def effective_data(posterior: xr.DataTree) -> xr.DataArray:
    """D_E of each fine-tuned run: the data from scratch at which the law has the loss that it came to.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.

    Returns
    -------
    DataArray
        Over ``chain``, ``draw`` and ``run``, with the coordinates ``group``, ``nonzero_params`` and ``finetune_data``.
        Infinite where endless data from scratch would not reach that loss. The run's noise is part of it.

    Raises
    ------
    InputError
        If the posterior is of something else.
    """
    law = law_of(settings_of(posterior, LAW)["scratch_law"])
    runs, draws = table_of(posterior), posterior["posterior"].to_dataset()
    runs = runs.isel(run=np.flatnonzero(fine_tuned(runs)))
    size, loss = (xr.DataArray(runs[name].to_numpy(), dims="run") for name in ("nonzero_params", "loss"))
    reference = float(np.exp(np.log(runs["finetune_data"]).mean()))
    found = data_for(law, _scratch(draws), size * _gain(draws, runs), loss, reference).transpose("chain", "draw", "run")
    coords: dict[str, Any] = {
        name: ("run", runs[name].to_numpy()) for name in ("group", "nonzero_params", "finetune_data")
    }
    return found.assign_coords(run_id=runs["run_id"], **coords).rename("effective_data")


def _notes(posterior: xr.DataTree) -> Iterable[Note]:
    """Cells whose fine-tuned runs end worse than the law says of runs from scratch on the same data."""
    runs, draws = table_of(posterior), posterior["posterior"].to_dataset()
    law = law_of(settings_of(posterior, LAW)["scratch_law"])
    runs = runs.isel(run=np.flatnonzero(fine_tuned(runs)))
    cells = runs.to_dataframe().groupby(["group", "kind", "nonzero_params", "finetune_data"])["loss"]
    found = []
    for cell, losses in cells:
        group, kind, size, data = cast(tuple[str, str, float, float], cell)
        gain = _size_multiplier(draws, [kind]).sel(kind=kind) if "size_multiplier" in draws else 1.0
        scratch = np.log(law.loss(0.0, size * gain, data, **_scratch(draws))).to_numpy()
        excess = float(np.log(losses).mean()) - scratch
        worse = _probability_above(excess, draws["sigma"].to_numpy() / np.sqrt(len(losses)))
        if worse > 1 - (1 - PROB) / 2 / len(cells):  # as many chances to be wrong as there are cells
            found.append((float(np.median(excess)), group, size, data, worse))
    if found:
        excess, group, size, data, worse = max(found)
        message = (
            f"Ossified: in {len(found)} of {len(cells)} cells fine-tuned models end worse than from scratch on the "
            f"same data, most at N of {size:,.0f} and D_F of {data:,.0f} (loss {np.expm1(excess):.1%} higher, "
            f"probability {worse:.3f}); k D_F^α N^β, which is never negative, does not hold there."
        )
        numbers = {"cells": len(found), "nonzero_params": size, "finetune_data": data, "log_loss_excess": excess}
        yield Note("ossification", "warning", message, {"group": group}, numbers | {"probability": worse})


def _probability_above(excess: np.ndarray, scale: np.ndarray) -> float:
    """Of a mean of log losses that carries noise of a scale being above what it exceeds."""
    from scipy import stats

    return float(stats.t.cdf(excess / scale, NOISE_DF).mean())


def check_asked(nonzero_params: Any, finetune_data: Any) -> None:
    """Refuse sizes and data that none can have."""
    for name, values in (("nonzero_params", nonzero_params), ("finetune_data", finetune_data)):
        given = np.atleast_1d(np.asarray(values, dtype=float))
        if not (fine := (given > 0) & np.isfinite(given)).all():
            raise InputError(f"{name} is {given[~fine][0]:g}; it is a finite number above 0")


def _asked(posterior: xr.DataTree, nonzero_params: Any, finetune_data: Any) -> tuple[xr.DataArray, xr.DataArray]:
    """Sizes and data asked for, those of fine-tuned runs unless said, with how far they are from them."""
    runs = table_of(posterior)
    runs = runs.isel(run=np.flatnonzero(fine_tuned(runs)))
    found = []
    for name, values in (("nonzero_params", nonzero_params), ("finetune_data", finetune_data)):
        seen = runs[name].to_numpy()
        given = np.unique(seen) if values is None else np.atleast_1d(np.asarray(values, dtype=float))
        check_asked(**{"nonzero_params": 1.0, "finetune_data": 1.0, name: given})
        beyond = np.maximum(np.log(given / seen.max()), np.log(seen.min() / given))
        coords: dict[str, Any] = {name: given, f"extrapolation_{name}": (name, np.maximum(beyond, 0.0))}
        found.append(xr.DataArray(given, coords, (name,)))
    return found[0], found[1]


def multiplier(posterior: xr.DataTree, *, nonzero_params: Any = None, finetune_data: Any = None) -> xr.DataArray:
    """What a pretrained start multiplies data by: (D_F + D_T) / D_F.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    nonzero_params, finetune_data : float or sequence of float, optional
        N and D_F; those of the fine-tuned runs unless said.

    Returns
    -------
    DataArray
        Over ``chain``, ``draw``, ``group``, ``nonzero_params`` and ``finetune_data``, with coordinates
        ``extrapolation_…`` in nats beyond the fine-tuned runs.

    Raises
    ------
    InputError
        If the posterior is of something else or a value is out of range.
    """
    settings_of(posterior, LAW)
    size, data = _asked(posterior, nonzero_params, finetune_data)
    draws = posterior["posterior"].to_dataset()
    worth = transferred(data, size, k=draws["k"], alpha=draws["alpha"], beta=draws["beta"])
    found = (1 + worth / data).transpose("chain", "draw", "group", "nonzero_params", "finetune_data")
    return found.rename("multiplier")


def predict(posterior: xr.DataTree, *, nonzero_params: Any = None, finetune_data: Any = None) -> xr.Dataset:
    """Losses of dense models from scratch and of fine-tuned ones, by the law without noise.

    Parameters
    ----------
    posterior, nonzero_params, finetune_data
        As of `multiplier`.

    Returns
    -------
    Dataset
        ``scratch`` over ``chain``, ``draw``, ``nonzero_params`` and ``finetune_data``, and ``pretrained``, which is
        over ``group`` too, in the unit of the runs' loss.

    Raises
    ------
    InputError
        If the posterior is of something else or a value is out of range.
    """
    law = law_of(settings_of(posterior, LAW)["scratch_law"])
    size, data = _asked(posterior, nonzero_params, finetune_data)
    coefficients = _scratch(posterior["posterior"].to_dataset())
    more = multiplier(posterior, nonzero_params=nonzero_params, finetune_data=finetune_data)
    found = {"scratch": data, "pretrained": data * more}
    return xr.Dataset({name: law.loss(0.0, size, each, **coefficients) for name, each in found.items()})


def point_fit(posterior: xr.DataTree) -> dict[str, dict[str, float]]:
    """The published procedure, for comparison: D_E run by run, then least squares on the logit of D_T / D_E.

    Parameters
    ----------
    posterior : DataTree
        From `fit`; the law from scratch is taken at its posterior median of each D_E.

    Returns
    -------
    dict
        By group ``k``, ``alpha``, ``beta``, and ``runs``: those that did better than from scratch, which alone it uses.

    Raises
    ------
    InputError
        If the posterior is of something else, or a group's runs do not determine three coefficients.
    """
    found = effective_data(posterior)
    middle, names = found.median(("chain", "draw")), found["group"].to_numpy()
    each = {}
    for group in dict.fromkeys(names.tolist()):
        mine = middle.isel(run=np.flatnonzero(names == group))
        data, size = mine["finetune_data"].to_numpy(), mine["nonzero_params"].to_numpy()
        each[str(group)] = regression(data, size, mine.to_numpy())
    return each
