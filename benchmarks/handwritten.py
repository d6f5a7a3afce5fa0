"""Scaling laws as users of PyMC write them by hand: two models, and what their draws say of new runs.

- ``careful``: what somebody who knows PyMC writes after an afternoon: axes centred, log-normal exponents with a
  non-centred hierarchy over groups, irreducible loss as a Beta share of the lowest loss.
- ``textbook``: the paper's coefficients with half-normal priors.

A sweep of dense runs has no sparsity to learn from, so both models then have one amplitude ``A`` for ``a_S``, ``b_S``
and ``c_S``; with one group they have no hierarchy. Noise is Student-t with 4 degrees of freedom on log loss.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

NOISE_DF = 4


@dataclass(frozen=True)
class Runs:
    """Runs as arrays.

    Attributes
    ----------
    names : tuple of str
        Groups of comparable losses.
    group : ndarray of int, shape (run,)
        Index into ``names``.
    sparsity, loss : ndarray, shape (run,)
    size, data : ndarray, shape (run,)
        Log of non-zero parameters and of training data, relative to ``centre``.
    centre : ndarray, shape (2, group)
        Log of the units of ``size`` and ``data``.
    """

    names: tuple[str, ...]
    group: np.ndarray
    sparsity: np.ndarray
    size: np.ndarray
    data: np.ndarray
    loss: np.ndarray
    centre: np.ndarray

    @property
    def dense(self) -> bool:
        """Whether no run is sparse."""
        return not self.sparsity.any()

    @property
    def lowest(self) -> np.ndarray:
        """The lowest loss, shape (group,)."""
        return np.array([self.loss[self.group == g].min() for g in range(len(self.names))])


def centred(table: Any, like: Runs | None = None) -> Runs:
    """The runs of a table, with axes relative to each group's geometric mean, or in the units of other runs."""
    modality = np.asarray(table["modality"]).astype(str)
    names = like.names if like else tuple(np.unique(modality).tolist())
    group = np.array([names.index(name) for name in modality])
    logs = [np.log(np.asarray(table[name], dtype=float)) for name in ("nonzero_params", "data_seen")]
    centre = like.centre if like else np.array([[v[group == g].mean() for g in range(len(names))] for v in logs])
    sparsity, loss = (np.asarray(table[name], dtype=float) for name in ("sparsity", "loss"))
    return Runs(names, group, sparsity, logs[0] - centre[0][group], logs[1] - centre[1][group], loss, centre)


def expected(runs: Runs, b_N: Any, b_D: Any, c: Any, data: Any, a_S: Any, b_S: Any = 1.0, c_S: Any = 0.0) -> Any:
    """The law at each run, by operators only: for PyTensor's variables, for draws, and for an optimiser.

    ``data`` is the data term in the units of the runs, (a_D / unit)^b_D; the other coefficients go by their names in
    arXiv:2309.08520. Without sparsity, ``a_S`` is the whole size term. All broadcast against shape (run,).
    """
    size = (a_S * (1 - runs.sparsity) ** b_S + c_S) * np.exp(-b_N * runs.size)
    return size + data * np.exp(-b_D * runs.data) + c


def careful(runs: Runs) -> Any:
    """What somebody who knows PyMC writes after an afternoon."""
    import pymc as pm

    with pm.Model() as model:
        groups = len(runs.names)

        def pooled(name: str, median: float) -> Any:
            if groups == 1:
                return pm.LogNormal(name, np.log(median), 0.6, shape=1)
            centre = pm.Normal(f"{name}_centre", np.log(median), 0.6)
            spread = pm.HalfNormal(f"{name}_spread", 0.4)
            return pm.Deterministic(name, pm.math.exp(centre + spread * pm.Normal(f"{name}_z", shape=groups)))

        def amplitude(name: str) -> Any:
            return pm.LogNormal(name, np.log(runs.lowest / 4), 1.0, shape=groups)

        each = {"b_N": pooled("b_N", 0.3), "b_D": pooled("b_D", 0.3)}
        if runs.dense:
            each["a_S"] = amplitude("A")
        else:
            each |= {"b_S": pooled("b_S", 0.9), "a_S": amplitude("a_S"), "c_S": amplitude("c_S")}
        each["c"] = pm.Deterministic("c", pm.Beta("share", 2, 2, shape=groups) * runs.lowest)
        each["data"] = amplitude("data")
        pm.Deterministic("a_D", each["data"] ** (1 / each["b_D"]))
        _observe(runs, each, pm.LogNormal("sigma", np.log(0.01), 1.0, shape=groups))
    return model


def textbook(runs: Runs) -> Any:
    """The paper's formula with half-normal priors."""
    import pymc as pm

    with pm.Model() as model:
        groups = len(runs.names)

        def pooled(name: str) -> Any:
            if groups == 1:
                return pm.HalfNormal(name, 1.0, shape=1)
            centre, spread = pm.HalfNormal(f"{name}_centre", 1.0), pm.HalfNormal(f"{name}_spread", 0.5)
            return pm.TruncatedNormal(name, centre, spread, lower=0, shape=groups)

        def amplitude(name: str) -> Any:
            return pm.HalfNormal(name, 5.0, shape=groups)

        each = {"b_N": pooled("b_N"), "b_D": pooled("b_D")}
        if runs.dense:
            each["a_S"] = amplitude("A")
        else:
            each |= {"b_S": pooled("b_S"), "a_S": amplitude("a_S"), "c_S": amplitude("c_S")}
        each["data"] = amplitude("a_D") ** each["b_D"]
        each["c"] = amplitude("c")
        _observe(runs, each, pm.HalfNormal("sigma", 0.1, shape=groups))
    return model


def _observe(runs: Runs, each: dict[str, Any], sigma: Any) -> None:
    import pymc as pm

    mean = np.log(expected(runs, **{name: values[runs.group] for name, values in each.items()}))
    pm.StudentT("log_loss", nu=NOISE_DF, mu=mean, sigma=sigma[runs.group], observed=np.log(runs.loss))


MODELS: dict[str, Callable[[Runs], Any]] = {"careful": careful, "textbook": textbook}


def predicted(posterior: Any, new: Runs, rng: np.random.Generator) -> np.ndarray:
    """Log losses of new runs with run noise, shape (draw, run).

    Parameters
    ----------
    posterior : Dataset
        Draws of either model, over chain and draw.
    new : Runs
        In the units of the runs that were fitted.
    rng : Generator
    """
    names = ["b_N", "b_D", "c", "a_D", "sigma", *(["A"] if "A" in posterior else ["a_S", "b_S", "c_S"])]
    at = {k: posterior[k].to_numpy().reshape(-1, len(new.names))[:, new.group] for k in names}
    sigma = at.pop("sigma")
    at["data"] = at.pop("a_D") ** at["b_D"]
    if "A" in at:
        at["a_S"] = at.pop("A")
    return np.log(expected(new, **at)) + sigma * rng.standard_t(NOISE_DF, sigma.shape)


def physical(posterior: Any, runs: Runs) -> Any:
    """The draws of a model's coefficients in physical units, amplitudes as logs; a Dataset.

    R-hat and effective sample sizes go by ranks, which logs leave as they are.
    """
    import xarray as xr

    size_unit, data_unit = runs.centre
    draws = {name: posterior[name].to_numpy() for name in ("b_N", "b_D", "c", "b_S") if name in posterior}
    draws["log a_D"] = np.log(posterior["a_D"].to_numpy()) + data_unit
    for name in ("A", "a_S", "c_S"):
        if name in posterior:
            draws[f"log {name}"] = np.log(posterior[name].to_numpy()) + draws["b_N"] * size_unit
    return xr.Dataset({name: (("chain", "draw", "group"), values) for name, values in draws.items()})
