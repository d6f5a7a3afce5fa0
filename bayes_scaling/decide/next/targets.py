"""What the next runs are to tell: optimal sparsity, a loss, a coefficient, or what a wrong choice costs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.decide.actions import ACTIONS, Case
from bayes_scaling.decide.next.misses import law_alone
from bayes_scaling.decide.optimum import optimal_sparsity
from bayes_scaling.decide.question import Question
from bayes_scaling.errors import InputError
from bayes_scaling.groups import coefficients, law_of, names_of
from bayes_scaling.predict import expected_loss, runs_to_predict
from bayes_scaling.structures import check_structure

__all__ = ["Coefficient", "Loss", "OptimalSparsity", "Regret", "Target", "default_target"]

BEYOND = 10.0
"""How much more compute the default question has than the largest run trained."""


@dataclass(frozen=True)
class Target:
    """Base of all targets. A modality or structure that is not named is the posterior's only one."""

    kind: ClassVar[str]
    units: ClassVar[str] = "1"

    def settled(self, posterior: xr.DataTree) -> Self:
        """The same with its names filled in.

        Raises
        ------
        InputError
            If a name is not in the posterior, or is not given where there are several.
        """
        mine = {field.name for field in fields(self)}
        return replace(
            self, **{dim: _only(posterior, dim, getattr(self, dim)) for dim in ("modality", "structure") if dim in mine}
        )

    def draws(self, posterior: xr.DataTree, cost: costs.Cost, flops_per_unit: float | None) -> np.ndarray:
        """Its values, shape (draw,), chains one after the other; by the law alone."""
        raise NotImplementedError

    def run(self, posterior: xr.DataTree) -> xr.Dataset | None:  # noqa: ARG002
        """The run that it is the loss of, where it is one."""
        return None

    def to_dict(self) -> dict[str, Any]:
        """What is asked, as plain JSON."""
        return {"kind": self.kind} | vars(self)


@dataclass(frozen=True)
class OptimalSparsity(Target):
    """The sparsity that is best for a size and a training budget, from scratch; see `bayes_scaling.optimal_sparsity`.

    Parameters
    ----------
    nonzero_params : float
        Non-zero parameters at the end of training.
    train_flops : float
        Training budget in FLOPs.
    modality, structure : str, optional
        The posterior's only ones unless said.
    """

    kind = "optimal-sparsity"

    nonzero_params: float
    train_flops: float
    modality: str | None = None
    structure: str | None = None

    def __str__(self) -> str:
        return f"optimal sparsity of {_question(self)}"

    def draws(self, posterior: xr.DataTree, cost: costs.Cost, flops_per_unit: float | None) -> np.ndarray:
        """Optima of the draws; those without one above 0 are 0."""
        asked = (self.nonzero_params, self.train_flops, self.modality, self.structure)
        return _flat(optimal_sparsity(posterior, *asked, cost=cost, flops_per_unit=flops_per_unit))


@dataclass(frozen=True)
class Loss(Target):
    """The log of a run's expected loss, trained from scratch.

    Beyond the runs it carries what the law may miss there, of which runs further out leave less.

    Parameters
    ----------
    nonzero_params, data_seen, sparsity : float
        The run.
    modality, structure : str, optional
        The posterior's only ones unless said; at sparsity 0 the structure makes no difference.
    """

    kind = "loss"
    units = "nats of log loss"

    nonzero_params: float
    data_seen: float
    sparsity: float = 0.0
    modality: str | None = None
    structure: str | None = None

    def __str__(self) -> str:
        from bayes_scaling.display import count

        where = f"{count(self.nonzero_params)} non-zero parameters, {count(self.data_seen)} data"
        return f"log loss of {self.modality}, {self.structure}, at {where} and sparsity {self.sparsity:g}"

    def settled(self, posterior: xr.DataTree) -> Self:
        """The same with its names filled in, the run checked."""
        structure = _only(posterior, "structure", self.structure) if self.sparsity else "dense"
        found = replace(self, modality=_only(posterior, "modality", self.modality), structure=structure)
        found.run(posterior)
        return found

    def run(self, posterior: xr.DataTree) -> xr.Dataset:
        """The run, as a table of one row."""
        group = json.loads(posterior.attrs["settings"])["group"]
        return runs_to_predict(posterior, [{"run_id": "target"} | vars(self) | {group: self.modality}])

    def draws(self, posterior: xr.DataTree, cost: costs.Cost, flops_per_unit: float | None) -> np.ndarray:  # noqa: ARG002
        """Log losses by the law alone."""
        return np.log(_flat(expected_loss(law_alone(posterior), self.run(posterior)).isel(run=0)))


@dataclass(frozen=True)
class Coefficient(Target):
    """A coefficient of the law, as of training from scratch.

    Exponents and irreducible loss are taken as they are; those with a unit of their own (``a_S``, ``c_S``, ``a_D``)
    by their logarithm, since their draws spread over decades.

    Parameters
    ----------
    name : str
    modality, structure : str, optional
        The posterior's only ones unless said; many coefficients have no structure.
    """

    kind = "coefficient"

    name: str
    modality: str | None = None
    structure: str | None = None

    def __str__(self) -> str:
        return f"{self.name} of {self.modality}" + (f", {self.structure}" if self.structure else "")

    def settled(self, posterior: xr.DataTree) -> Self:
        """The same with its names filled in; the name checked."""
        law = law_of(posterior)
        there = [name for name in law.coefficients if name in posterior["posterior"]]
        if self.name not in there:
            raise InputError(f"name is {self.name!r}; the coefficients of this posterior are {', '.join(there)}")
        if "structure" in law.coefficients[self.name].over:
            return super().settled(posterior)
        return replace(self, modality=_only(posterior, "modality", self.modality), structure=None)

    def draws(self, posterior: xr.DataTree, cost: costs.Cost, flops_per_unit: float | None) -> np.ndarray:  # noqa: ARG002
        """Its values, or their logarithms."""
        values = _flat(coefficients(posterior, self.modality, self.structure or "dense", "scratch")[self.name])
        scaled = law_of(posterior).coefficients[self.name].units not in ("1", "loss")
        return np.log(values) if scaled else values


@dataclass(frozen=True)
class Regret(Target):
    """Expected regret of the best action for a size and a training budget: its loss minus that of the true optimum.

    The action has the least expected loss by the law among the sparsities up to the largest one trained, or is dense
    or the pattern for n:m. A run lowers the regret where its loss would change the action.

    Parameters
    ----------
    nonzero_params, train_flops, modality, structure
        As of `OptimalSparsity`.
    """

    kind = "regret"
    units = "loss"

    nonzero_params: float
    train_flops: float
    modality: str | None = None
    structure: str | None = None

    def __str__(self) -> str:
        return f"expected regret of the sparsity chosen for {_question(self)}"

    def draws(self, posterior: xr.DataTree, cost: costs.Cost, flops_per_unit: float | None) -> np.ndarray:
        """Optimal sparsities, which tell the runs that may matter from those that cannot."""
        return OptimalSparsity(**vars(self)).draws(posterior, cost, flops_per_unit)

    def losses(
        self, posterior: xr.DataTree, cost: costs.Cost, flops_per_unit: float | None, optimum: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Losses of the actions, shape (draw, action), and of the draws' own optima, shape (draw,)."""
        assert self.modality is not None
        assert self.structure is not None
        cost = cost.for_structure(self.structure)
        question = Question.of(self.nonzero_params, self.train_flops, cost, flops_per_unit)
        case = Case(posterior, question, self.modality, self.structure)
        grid = -np.expm1(-np.linspace(0.0, -np.log1p(-case.largest), ACTIONS))
        actions = xr.DataArray(grid if case.levels is None else case.levels, dims="action")
        losses = case.law_loss(actions).transpose("chain", "draw", "action").to_numpy()
        best = xr.DataArray(optimum.reshape(losses.shape[:2]), dims=("chain", "draw"))
        return losses.reshape(optimum.size, -1), _flat(case.law_loss(best))


def default_target(
    posterior: xr.DataTree, candidates: xr.Dataset, cost: costs.Cost, flops_per_unit: float | None
) -> OptimalSparsity:
    """Optimal sparsity at the largest size trained and ten times the compute of the largest run, as the cost counts.

    Raises
    ------
    InputError
        If the candidates leave open of which modality or structure.
    """
    names = {dim: _one(dim, candidates[dim].to_numpy().tolist(), posterior) for dim in ("modality", "structure")}
    runs = posterior["constant_data"].to_dataset()
    mine = runs["modality"].to_numpy() == names["modality"]
    size, data, sparsity = (runs[n].to_numpy()[mine] for n in ("nonzero_params", "data_seen", "sparsity"))
    per_unit = Question.of(1.0, 1.0, cost, flops_per_unit).flops_per_unit
    flops = per_unit * size * data * cost.for_structure(names["structure"]).multiplier(sparsity)
    return OptimalSparsity(float(size.max()), BEYOND * float(flops.max()), **names)


def _one(dim: str, values: Sequence[str], posterior: xr.DataTree) -> str:
    """The one modality or structure that candidates have, or else the posterior's."""
    asked = sorted(set(values) - {"dense"}) or names_of(posterior, dim, None)
    if len(asked) > 1:
        raise InputError(
            f"the candidates have several of {dim} ({', '.join(asked)}); say what they are to tell with target=, as "
            f"OptimalSparsity(nonzero_params, train_flops, {dim}={asked[0]!r}), or --target optimal-sparsity "
            f"--nonzero-params … --train-flops … --{dim} {asked[0]}"
        )
    return asked[0]


def _only(posterior: xr.DataTree, dim: str, asked: str | None) -> str:
    """The name asked for, or the only one there is."""
    known = names_of(posterior, dim, None)
    if asked is None:
        if len(known) > 1:
            raise InputError(f"the target does not say its {dim}, and the posterior has {', '.join(known)}")
        return known[0]
    if dim == "structure":
        return check_structure(asked)
    if asked not in known:
        raise InputError(f"{dim} {asked!r} is not in the posterior, which has {', '.join(known)}")
    return asked


def _flat(values: xr.DataArray) -> np.ndarray:
    return values.transpose("chain", "draw").to_numpy().ravel()


def _question(target: "OptimalSparsity | Regret") -> str:
    from bayes_scaling.display import count

    return (
        f"{target.modality}, {target.structure}, at {count(target.nonzero_params)} non-zero parameters and "
        f"{target.train_flops:.3g} training FLOPs"
    )
