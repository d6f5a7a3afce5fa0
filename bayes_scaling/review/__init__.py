"""What a fitted posterior says about itself: whether the law fits, the noise is noise, and the runs were heard.

The diagnostics gate asks whether the draws can be trusted; this asks whether the model can. One file per question:
`misfit`, `noise` (both on `residuals`), `prior`, and leave-one-out here; `parts` where draws come from several laws.
"""

import json
import warnings

import numpy as np
import xarray as xr

from bayes_scaling.checks import coverage_notes
from bayes_scaling.design import design_of
from bayes_scaling.groups import law_of
from bayes_scaling.notes import Note
from bayes_scaling.review.misfit import misfit_notes, outlier_notes
from bayes_scaling.review.noise import noise_notes
from bayes_scaling.review.parts import by_law, said_of_all
from bayes_scaling.review.prior import prior_notes
from bayes_scaling.review.residuals import residuals_of
from bayes_scaling.runs import diverged

__all__ = ["review"]

FEWEST_DRAWS = 200
"""Draws below which a posterior is not reviewed: its covariances are noise."""

HIGH_K = 0.7
"""Pareto k above which importance sampling of a left-out run fails (Vehtari et al., arXiv:1507.02646)."""

NAMED = 3


def review(posterior: xr.DataTree) -> list[Note]:
    """Diagnose a fitted posterior; what may be wrong comes back as coded notes.

    Parameters
    ----------
    posterior : DataTree
        From `bayes_scaling.fit`, or saved and loaded. Nothing in it is changed.

    Returns
    -------
    list of Note
        ``mostly_prior``: quantities that the runs leave to the prior. ``residual_trend`` and ``outlying_run``: where
        the law misses. ``noise_varies``, ``no_replicates`` and ``misfit_beyond_noise``: what the noise scale stands
        for. ``loo_unreliable``: runs that leave-one-out cannot leave out. ``docs/trust.md`` tells what to do about
        each. Where draws come from several laws, each is reviewed by itself. A law with fewer than 200 draws gets none.
    """
    return said_of_all({law: _review(part) for law, part in by_law(posterior).items()})


def _review(posterior: xr.DataTree) -> list[Note]:
    draws = posterior["posterior"]
    if draws.sizes["chain"] * draws.sizes["draw"] < FEWEST_DRAWS:
        return []
    table = posterior["runs"].to_dataset()
    runs = table.isel(run=np.flatnonzero(~diverged(table).to_numpy()))
    design = design_of(runs)
    seed = int(json.loads(posterior.attrs["settings"])["seed"])
    notes = prior_notes(posterior, law_of(posterior), design, coverage_notes(design, runs, law_of(posterior)))
    for residuals in residuals_of(posterior, runs, seed):
        notes += misfit_notes(residuals)
        notes += outlier_notes(residuals)
        notes += noise_notes(residuals)
    return notes + _loo_notes(posterior)


def _loo_notes(posterior: xr.DataTree) -> list[Note]:
    import arviz as az

    tree = xr.DataTree.from_dict({name: posterior[name].to_dataset() for name in ("posterior", "log_likelihood")})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of what the note says
        found = az.loo(tree, pointwise=True)
    k = found.pareto_k
    high = np.flatnonzero(k.to_numpy() > HIGH_K)
    if not high.size:
        return []
    worst = high[np.argsort(-k.to_numpy()[high])]
    ids = [str(run) for run in k["run"].to_numpy()[worst]]
    shown = ", ".join(ids[:NAMED]) + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")
    return [
        Note(
            "loo_unreliable",
            "info",
            f"Leave-one-out scores cannot be trusted for {len(ids)} run{'s' * (len(ids) > 1)} ({shown}), whose Pareto "
            f"k is above {HIGH_K:g}: the posterior would move far without them.",
            {"run_id": ids[0]},
            {"runs": len(ids), "largest_k": float(k.max())},
        )
    ]
