"""One simulation of simulation-based calibration: a truth, runs simulated from it, and its rank in their posterior."""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import xarray as xr

from bayes_scaling.assemble import UNSEEN, posterior_of, prior_draws
from bayes_scaling.decide.optimum import optimal_sparsity
from bayes_scaling.decide.question import FLOPS_PER_UNIT
from bayes_scaling.design import Design
from bayes_scaling.laws.base import Law
from bayes_scaling.noise import draw_noise
from bayes_scaling.predict import expected_loss, noise_scale
from bayes_scaling.refit import sampled

__all__ = ["DRAWS", "Kind", "Of", "Problem", "Result", "simulated"]

Kind = Literal["prior", "posterior"]
Of = Literal["coefficients", "decision", "populations"]

DRAWS = 99
"""Posterior draws that a truth is ranked among. Resampling some thousand weighted points to so few leaves hardly any
twice, and steps of a hundredth are fine enough for any number of simulations that anybody will wait for."""

THIN = 10
"""Every how many draws one is kept where chains stand in for importance sampling, so that draws are as good as
independent, which ranks must be to be uniform (Talts et al., arXiv:1804.06788, section 5.1)."""


@dataclass(frozen=True)
class Problem:
    """What all simulations share.

    Attributes
    ----------
    law : Law
    design : Design
        Of the runs. The rough size of their losses, which the prior of the reference loss is centred on, stays what it
        is in every simulation: a prior that followed the simulated losses would not be the one the truths came from.
    runs : Dataset
        Finished runs, whose grid is simulated on.
    kind : {"prior", "posterior"}
        Where truths come from. From the posterior of the runs, the simulated runs are fitted together with them.
    posterior : DataTree or None
        The posterior of the runs, for that kind.
    of : tuple of str
        What is ranked: ``coefficients``, ``decision``, ``populations``.
    budgets : tuple of float
        Training budgets that optimal sparsity is asked for, in multiples of 6 N D at each modality's reference point.
    seed : int
    """

    law: Law
    design: Design
    runs: xr.Dataset
    kind: Kind
    posterior: xr.DataTree | None
    of: tuple[Of, ...]
    budgets: tuple[float, ...]
    seed: int

    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for simulations to belong together, as plain JSON."""
        names = [*self.design.modality, *map(str, self.design.structure)]
        digest = hashlib.sha256(repr((dict(self.law.priors), names)).encode())
        arrays = [getattr(self.design, name) for name in ("cells", "cell_of_run", "nonzero_params", "data_seen")]
        arrays += [self.design.rough_log_loss, *self.design.runs.values()]
        if self.posterior is not None:
            arrays += [values.to_numpy() for values in self.posterior["posterior"].to_dataset().values()]
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        settings = {"law": self.law.name, "kind": self.kind, "seed": self.seed, "draws": DRAWS}
        return settings | {"of": list(self.of), "budgets": list(self.budgets), "runs": digest.hexdigest()[:16]}


@dataclass(frozen=True)
class Result:
    """What one simulation leaves.

    Attributes
    ----------
    ranks : Dataset
        By quantity and group: the truth's rank among the draws, in (0, 1), and uniform there if all is well.
    fit : dict
        The refit's ``method``, ``khat`` and ``ess``.
    """

    ranks: xr.Dataset
    fit: dict[str, Any]

    def to_json(self) -> str:
        """As text, which `from_json` reads."""
        return json.dumps({"fit": self.fit, "ranks": self.ranks.to_dict()})

    @classmethod
    def from_json(cls, text: str) -> "Result":
        """From what `to_json` wrote."""
        found = json.loads(text)
        return cls(xr.Dataset.from_dict(found["ranks"]), found["fit"])


def simulated(problem: Problem, number: int) -> Result:
    """Draw a truth, simulate the runs, refit, and rank the truth in the posterior.

    Parameters
    ----------
    problem : Problem
    number : int
        Which simulation; its random numbers depend on this and the problem's seed only.
    """
    rng = np.random.default_rng([problem.seed, 41, number])
    truth = _truth(problem, number, rng)
    scale = noise_scale(truth, problem.runs, problem.design.runs["log_loss_se"]).to_numpy().ravel()
    log_loss = np.log(expected_loss(truth, problem.runs).to_numpy().ravel()) + scale * draw_noise(scale.shape, rng)
    design, runs = _observed(problem, log_loss)
    seed = int(rng.integers(2**31))
    drawn, fit = sampled(problem.law, design, seed=seed, draws=DRAWS, thin=THIN)
    posterior = posterior_of(drawn, problem.law, design, runs, {"seed": seed, "group": "modality"})
    of_truth, of_draws = quantities(truth, problem), quantities(posterior, problem)
    ranks = {name: _rank(of_truth[name], of_draws[name], rng) for name in of_truth}
    return Result(xr.Dataset(ranks), fit)


def quantities(posterior: xr.DataTree, problem: Problem) -> dict[str, xr.DataArray]:
    """What is ranked, over ``chain``, ``draw`` and groups.

    Parameters
    ----------
    posterior : DataTree
    problem : Problem
    """
    draws = posterior["posterior"].to_dataset()
    found: dict[str, xr.DataArray] = {}
    if "coefficients" in problem.of:
        found |= {name: draws[name] for name in (*problem.law.coefficients, "sigma") if name in draws}
    if "populations" in problem.of:
        ends = ("_population", "_spread")
        found |= {str(name): values for name, values in draws.items() if str(name).endswith(ends)}
    if "decision" in problem.of:
        level = {"modality": list(problem.design.modality)}
        size, data = (
            xr.DataArray(values, level, ("modality",))
            for values in (problem.design.nonzero_params, problem.design.data_seen)
        )
        times = xr.DataArray(list(problem.budgets), {"budget": list(problem.budgets)}, ("budget",))
        cost = problem.law.costs[0] if problem.law.costs else "gradual"
        flops = times * FLOPS_PER_UNIT * size * data
        found["optimal_sparsity"] = optimal_sparsity(posterior, size, flops, cost=cost)
    return found


def _truth(problem: Problem, number: int, rng: np.random.Generator) -> xr.DataTree:
    """One draw from the prior, or from the posterior of the runs, as a posterior of one draw."""
    if problem.posterior is None:
        settings = {"seed": int(rng.integers(2**31)), "group": "modality"}
        drawn = prior_draws(problem.law, problem.design, 1, rng)
        return posterior_of(drawn, problem.law, problem.design, problem.runs, settings)
    whole = problem.posterior["posterior"]
    chains, draws = whole.sizes["chain"], whole.sizes["draw"]
    order = np.random.default_rng([problem.seed, 40]).permutation(chains * draws)
    chain, draw = np.unravel_index(order[number % order.size], (chains, draws))
    one = {
        name: problem.posterior[name].to_dataset().isel(chain=[chain], draw=[draw]) for name in ("posterior", UNSEEN)
    }
    rest = {name: problem.posterior[name].to_dataset() for name in ("constant_data", "runs")}
    tree = xr.DataTree.from_dict(one | rest)
    tree.attrs = problem.posterior.attrs
    return tree


def _observed(problem: Problem, log_loss: np.ndarray) -> tuple[Design, xr.Dataset]:
    """What is refitted: the simulated runs, and beside them the observed ones if truths come from their posterior."""
    design, runs = problem.design, problem.runs
    if problem.posterior is None:
        return replace(design, runs={**design.runs, "log_loss": log_loss}), runs
    columns = {name: np.tile(values, 2) for name, values in design.runs.items()}
    columns["log_loss"] = np.concatenate([design.runs["log_loss"], log_loss])
    both = replace(design, cell_of_run=np.tile(design.cell_of_run, 2), runs=columns)
    return both, runs.isel(run=np.tile(np.arange(log_loss.size), 2))


def _rank(truth: xr.DataArray, draws: xr.DataArray, rng: np.random.Generator) -> xr.DataArray:
    """The truth's rank, made continuous: anywhere in its step, and among equal draws, as those at sparsity 0, too."""
    value = truth.isel(chain=0, draw=0, drop=True)
    sample = ("chain", "draw")
    below, equal = (draws < value).sum(sample), (draws == value).sum(sample)
    count = draws.sizes["chain"] * draws.sizes["draw"]
    return (below + (equal + 1) * xr.DataArray(rng.random(below.shape), dims=below.dims)) / (count + 1)
