"""One refit without some runs, and what it and its rivals say of them."""

import json
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from bayes_scaling.checks import design_notes
from bayes_scaling.design import design_of, log_loss_se
from bayes_scaling.errors import InputError
from bayes_scaling.extrapolation import AXES, beyond
from bayes_scaling.laws.base import Law
from bayes_scaling.notes import Note, read_notes
from bayes_scaling.pointwise import log_likelihood
from bayes_scaling.predict import predict
from bayes_scaling.validate.scores import crps, log_score, pit

__all__ = ["DRAWS", "POSTERIOR", "Against", "predictions_of", "refit_notes"]

Against = Literal["bootstrap"]

POSTERIOR = "posterior"

DRAWS = 2000
"""Of the posterior's predictions."""

REFITS, NOISES = 200, 10
"""Bootstrap refits, and how many residuals each is given in turn: noise is cheap, and smooths the percentiles."""

COLUMNS = ("nonzero_params", "data_seen", "sparsity")

PARTS = 4
"""Into which a refit's draws are cut, in their order, to see whether they agree: its chains, where it took NUTS."""

MAX_RHAT = 1.05
"""Between these parts. Short ones cannot show the 1.01 of a fit, and predictive intervals need less."""


def predictions_of(
    kept: xr.Dataset,
    held: xr.Dataset,
    law: Law,
    *,
    prob: float,
    seed: int,
    against: Sequence[Against] = (),
    prior: Mapping[str, Any] | None = None,
    discrepancy: bool = True,
    known: MutableMapping[str, xr.DataTree] | None = None,
) -> tuple[xr.Dataset, dict[str, Any], list[Note]]:
    """Fit the runs kept, and predict log losses of those held out.

    Parameters
    ----------
    kept, held : Dataset
        Finished runs, as `load_runs` returns them.
    law : Law
    prob : float
        Probability of the intervals.
    seed : int
    against : sequence of {"bootstrap"}
    prior : dict of pymc_extras.prior.Prior, optional
    discrepancy : bool
        Whether predictions carry what the law may miss beyond the runs kept.
    known : dict of DataTree, optional
        Refits to the runs kept, as `refit` takes and fills it.

    Returns
    -------
    predictions : Dataset
        As `Holdout` describes it, but for ``fold``.
    fit : dict
        The refit's ``method``, ``khat`` and ``ess``.
    notes : list of Note
        What the runs kept cannot tell, and how far the refit is to be trusted.

    Raises
    ------
    InputError
        If the runs kept are fewer than a fit can bear.
    """
    from bayes_scaling.refit import refit

    posterior = refit(kept, law, seed=seed, draws=DRAWS, prior=prior, discrepancy=discrepancy, known=known)
    loss = predict(posterior, held, "new-run", seed=seed)
    measured = log_loss_se(held, held["loss"].to_numpy())
    draws = {POSTERIOR: np.log(_by_sample(loss))}
    scores = {POSTERIOR: log_score(_by_sample(log_likelihood(posterior, held, measured)))}
    notes = [*design_notes(design_of(kept), kept, law), *refit_notes(posterior), *read_notes(loss.attrs)]
    for method in against:
        draws[method], more = _bootstrap(kept, held, law, seed)
        notes += more
    fit = json.loads(posterior.attrs["diagnostics"])
    return _dataset(held, draws, prob, _beyond(posterior, held), scores), fit, notes


def _by_sample(values: xr.DataArray) -> np.ndarray:
    """Draws of all chains, shape (draw, run)."""
    return values.stack(sample=("chain", "draw")).transpose("sample", "run").to_numpy()


def _dataset(
    held: xr.Dataset,
    draws: dict[str, np.ndarray],
    prob: float,
    beyond: xr.DataArray,
    log_scores: Mapping[str, np.ndarray] | None = None,
) -> xr.Dataset:
    """Draws of log loss, each of shape (draw, run), in the numbers that scores are made of.

    A bootstrap gives draws and no density, so it is not among the log scores.
    """
    observed = np.log(held["loss"].to_numpy())
    unknown = np.full(observed.size, np.nan)
    tail = (1 - prob) / 2
    quantiles = [np.quantile(each, [0.5, tail, 1 - tail], axis=0) for each in draws.values()]
    over = ("predicted_by", "run")
    found = xr.Dataset(
        {
            "observed": ("run", observed),
            **{
                name: (over, np.stack([q[i] for q in quantiles])) for i, name in enumerate(("median", "lower", "upper"))
            },
            "pit": (over, np.stack([_where_known(pit(observed, each), each) for each in draws.values()])),
            "crps": (over, np.stack([crps(observed, each) for each in draws.values()])),
            "log_score": (over, np.stack([(log_scores or {}).get(name, unknown) for name in draws])),
            **{name: ("run", held[name].to_numpy()) for name in ("modality", "structure", "sparsity")},
            "beyond": beyond,
        },
        {"run": held["run_id"].to_numpy(), "predicted_by": list(draws)},
    )
    for name in ("observed", "median", "lower", "upper", "crps"):
        found[name].attrs["units"] = "log of the loss"
    found["log_score"].attrs["units"] = "nats"
    found["beyond"].attrs["units"] = "nats beyond the runs kept"
    return found


def _where_known(values: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """NaN for runs without an answer, which no comparison would give."""
    return np.where(np.isfinite(draws[0]), values, np.nan)


def _beyond(posterior: xr.DataTree, held: xr.Dataset) -> xr.DataArray:
    """Nats beyond the runs kept, over (``run``, ``axis``)."""
    modality, structure = (held[name].to_numpy() for name in ("modality", "structure"))
    nats = np.zeros((held.sizes["run"], len(AXES)))
    for pair in dict.fromkeys(zip(modality.tolist(), structure.tolist(), strict=True)):
        rows = np.flatnonzero((modality == pair[0]) & (structure == pair[1]))
        here = held.isel(run=rows)
        size, data, sparsity = (xr.DataArray(here[n].to_numpy(), dims="at") for n in COLUMNS)
        found = beyond(posterior, *pair, nonzero_params=size, data_seen=data, sparsity=sparsity)
        nats[rows] = found.max("side").transpose("at", "axis").to_numpy()
    return xr.DataArray(nats, {"axis": list(AXES)}, ("run", "axis"))


def _bootstrap(kept: xr.Dataset, held: xr.Dataset, law: Law, seed: int) -> tuple[np.ndarray, list[Note]]:
    """Log losses by the bootstrap of the point fit, shape (draw, run); NaN where it has no answer.

    A mixture of laws has no point fit: the first of them stands for it.
    """
    from bayes_scaling.point_fit import point_fit

    nothing = np.full((2, held.sizes["run"]), np.nan)
    known = design_of(kept).structure
    structure, sparsity = held["structure"].to_numpy(), held["sparsity"].to_numpy()
    answerable = np.flatnonzero((sparsity == 0) | np.isin(structure, known))
    if not answerable.size:
        return nothing, [_no_bootstrap("no run kept had the structure of those held out")]
    try:
        point = point_fit(kept, next(iter(law.parts), law.name), seed=seed)
        refits = point.bootstrap(REFITS, seed=seed)
        asked = held.isel(run=answerable)
        drawn = [point.predict(asked, refits, "new-run", seed=seed + k).to_numpy() for k in range(NOISES)]
    except InputError as error:
        return nothing, [_no_bootstrap(str(error))]
    found = np.full((REFITS * NOISES, held.sizes["run"]), np.nan)
    found[:, answerable] = np.log(np.concatenate(drawn))
    return found, []


def _no_bootstrap(why: str) -> Note:
    return Note("no_bootstrap", "info", f"The bootstrap of the point fit has no answer: {why}.")


def refit_notes(posterior: xr.DataTree) -> list[Note]:
    """Whether the parts of the refit's draws agree, which are chains where importance sampling failed."""
    from arviz_stats.base import array_stats

    draws = posterior["posterior"].to_dataset()
    # Variables that only one law of several has are NaN in the others' draws.
    known = [v.to_numpy() for v in draws.values() if not v.isnull().any()]
    parts = [v.reshape(PARTS, -1, *v.shape[2:]) for v in known]
    worst = max(float(np.max(array_stats.rhat(v, chain_axis=0, draw_axis=1))) for v in parts)
    if worst <= MAX_RHAT:
        return []
    return [
        Note(
            "refit_not_converged",
            "warning",
            f"The refit's chains disagree: R-hat is {worst:.2f}, above {MAX_RHAT}. Do not rely on its predictions.",
            numbers={"rhat": worst},
        )
    ]
