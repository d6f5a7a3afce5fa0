"""Posteriors by the hundred: importance sampling around the mode, and NUTS where that will not do.

Validation refits a law again and again, to most of the runs or to simulated ones. In the coordinates that the model is
sampled in, its posterior is close enough to a multivariate t that importance sampling is exact, quick, and knows when
it fails (`importance`).
"""

import json
from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling import laws
from bayes_scaling.assemble import posterior_of
from bayes_scaling.compiled import compiled_model
from bayes_scaling.design import Design, design_of
from bayes_scaling.discrepancy import SCALE, add_discrepancy
from bayes_scaling.importance import importance
from bayes_scaling.laws.base import Law
from bayes_scaling.mixing import mix
from bayes_scaling.priors import given, stated
from bayes_scaling.sampling import nuts, whitened
from bayes_scaling.threads import one_blas_thread

__all__ = ["MAX_KHAT", "refit", "sampled"]

MAX_KHAT = 0.5
"""Up to here the weights have a finite variance (arXiv:1507.02646). Means bear more, up to 0.7, but the tails of T5's
irreducible loss then came out short."""

LEAST_ESS = 200

MOST_DIMENSIONS = 40
"""Beyond so many coordinates importance sampling is not tried: its weights never held there."""

FALLBACK: dict[str, Any] = {"tune": 250, "target_accept": 0.9, "chains": 4}


def refit(
    runs: xr.Dataset,
    law: Law,
    *,
    prior: Mapping[str, Any] | None = None,
    seed: int = 0,
    draws: int = 2000,
    discrepancy: bool = True,
    known: MutableMapping[str, xr.DataTree] | None = None,
) -> xr.DataTree:
    """The posterior of a law for a validated run table, with what answering questions needs and no more.

    Parameters
    ----------
    runs : Dataset
        Finished runs, as `load_runs` returns them, grouped by ``modality``.
    law : Law
    prior : dict of pymc_extras.prior.Prior, optional
        As `bayes_scaling.fit` takes it.
    seed : int
    draws : int
        Draws returned, in one chain.
    discrepancy : bool
        Whether losses beyond the runs carry what the law may miss there.
    known : dict of DataTree, optional
        What earlier calls with the same runs, seed and draws have found, by name of the law; more is added.

    Returns
    -------
    DataTree
        As `posterior_of` makes it. The attribute ``diagnostics`` is JSON with ``method`` ("importance" or "nuts"),
        ``khat`` and ``ess``, both of importance sampling.
    """
    design = design_of(runs, law)
    own = stated(prior, law)
    known = {} if known is None else known
    for part in [laws.get(name) for name in law.parts] or [law]:
        if part.name not in known:
            known[part.name] = _refit(runs, given(part, own), design, seed, draws)
    if law.parts:
        fitted = {name: known[name] for name in law.parts}
        tree = mix(fitted, law, np.random.default_rng([seed, 8]))
        found = {name: json.loads(part.attrs["diagnostics"]) for name, part in fitted.items()}
        weakest = max(found.values(), key=lambda f: f["khat"])
        tree.attrs["diagnostics"] = json.dumps(weakest | {"laws": found})
    else:
        tree = known[law.name].copy()
    add_discrepancy(tree, SCALE if discrepancy else 0.0, np.random.default_rng([seed, 7]))
    return tree


def _refit(runs: xr.Dataset, law: Law, design: Design, seed: int, draws: int) -> xr.DataTree:
    chains, found = sampled(law, design, seed=seed, draws=draws)
    drawn = {name: values.reshape(1, -1, *values.shape[2:])[:, :draws] for name, values in chains.items()}
    tree = posterior_of(drawn, law, design, runs, {"seed": seed, "group": "modality"})
    tree.attrs["diagnostics"] = json.dumps(found)
    return tree


def sampled(
    law: Law, design: Design, *, seed: int, draws: int, thin: int = 1
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Draws from the posterior of a design: importance sampling, or NUTS where its weights will not do.

    Parameters
    ----------
    law : Law
        Without parts.
    design : Design
    seed : int
    draws : int
    thin : int
        Every how many draws NUTS keeps one.

    Returns
    -------
    drawn : dict of ndarray, shape (chain, draw, …)
        The model's free variables; as many draws as asked for, or a few more.
    found : dict
        ``method``, ``khat`` and ``ess``.
    """

    def build() -> Any:
        from bayes_scaling.model import build_model

        return build_model(law, design)

    with one_blas_thread():
        density = whitened(compiled_model(law, design, build), law, design)
        found = {"khat": np.inf, "ess": 0.0}
        if density.code.dim <= MOST_DIMENSIONS:
            points, found = importance(density, draws, np.random.default_rng([seed, 6]))
            if found["khat"] <= MAX_KHAT and found["ess"] >= LEAST_ESS:
                drawn = {name: values[None] for name, values in density.variables(points).items()}
                return drawn, found | {"method": "importance"}
        drawn, _ = nuts(density, seed=seed, draws=-(-draws // FALLBACK["chains"]), thin=thin, **FALLBACK)
    return drawn, found | {"method": "nuts"}
