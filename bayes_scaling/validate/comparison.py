"""What comparing laws shows: scores, paired differences, leave-one-out and weights."""

from dataclasses import dataclass, field
from typing import Any

import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.notes import Note
from bayes_scaling.validate.paired import Difference, paired
from bayes_scaling.validate.result import Holdout, finite
from bayes_scaling.viewed import Viewed

__all__ = ["DEFAULT", "FOLDS", "LOO", "SCALE", "Comparison", "Loo"]

SCALE, FOLDS, LOO, DEFAULT = "held_out_scale", "random_folds", "loo", "default"


@dataclass(frozen=True)
class Loo:
    """PSIS-LOO of a law, as ArviZ has it: sums over runs, which count as independent.

    Attributes
    ----------
    elpd : float
        Expected log predictive density of log loss, in nats.
    se : float
        Its standard error.
    difference : float
        Its elpd less that of the best law at the scale held out.
    difference_se : float
        Standard error of the difference.
    high_k : float
        Share of runs whose Pareto k is above 0.7, for which the estimate fails.
    """

    elpd: float
    se: float
    difference: float
    difference_se: float
    high_k: float


@dataclass(frozen=True, repr=False)
class Comparison(Viewed):
    """Laws side by side; prints as a table.

    Attributes
    ----------
    laws : list of str
        Their names.
    best : str
        The law with the best mean log score at the scale held out, to which others are compared.
    prob : float
        Probability of all intervals.
    weights : dict
        By law, under ``held_out_scale`` and ``loo`` by stacking, and under ``default`` the shares that a fit without a
        named law has. A law that mixes others of those compared has no weight of its own.
    held_out : dict
        Under ``held_out_scale`` and ``random_folds``, by law: a `Holdout` with scores, predictions and refits.
    loo : dict of Loo
        By law.
    notes : list of Note
        What the runs that were left could not tell, what refits should not be trusted for, and whether the weights
        disagree.
    pointwise : dict of Dataset
        Under ``held_out_scale``, ``random_folds`` and ``loo``: ``log_score`` over ``law`` and ``run``, and ``crps``
        where runs were predicted by refits.
    replicates : DataArray
        Mean log scores at the scale held out over ``truth``, ``law`` and ``replicate``, had one of the laws made the
        runs.
    levels : Dataset
        The level of each axis that each run is at.
    """

    laws: list[str]
    best: str
    prob: float
    weights: dict[str, dict[str, float]]
    held_out: dict[str, dict[str, Holdout]]
    loo: dict[str, Loo]
    notes: list[Note]
    pointwise: dict[str, xr.Dataset] = field(repr=False)
    replicates: xr.DataArray = field(repr=False)
    levels: xr.Dataset = field(repr=False)

    def difference(self, law: str, other: str, where: str = SCALE, score: str = "log_score") -> Difference:
        """How much better or worse a law predicted than another: its score less the other's, run by run.

        At a scale held out, runs that share a size, an amount of data or a sparsity count as one piece of evidence. The
        standard error says what other runs at that scale could change, not what another scale could; see `chance`.

        Parameters
        ----------
        law, other : str
        where : {"held_out_scale", "random_folds", "loo"}
        score : {"log_score", "crps"}
            The log score is better when larger, the CRPS when smaller.

        Returns
        -------
        Difference

        Raises
        ------
        InputError
            If a law was not compared, or there is no such score.
        """
        if where not in self.pointwise:
            raise InputError(f"where is {where!r}; it is one of {', '.join(self.pointwise)}")
        if score not in self.pointwise[where]:
            raise InputError(f"score is {score!r}; of {where} there is {', '.join(map(str, self.pointwise[where]))}")
        if lacking := [name for name in (law, other) if name not in self.laws]:
            raise InputError(f"law {lacking[0]!r} was not compared; {', '.join(self.laws)} were")
        scores = self.pointwise[where][score]
        differences = scores.sel(law=law) - scores.sel(law=other)
        levels = self.levels.sel(run=differences["run"].to_numpy()) if where == SCALE else xr.Dataset()
        return paired(differences.to_numpy(), {str(axis): v.to_numpy() for axis, v in levels.items()}, self.prob)

    def chance(self, law: str, other: str) -> float:
        """How often a law would lead another by as much as it does at the scale held out, if the other were right.

        A predictive p-value of runs that had no part in the fit: if ``other`` is right, it is uniform between 0 and 1,
        and below 0.05 in one of twenty sweeps. Runs are drawn from its predictions jointly, so that what they share
        (slopes, discrepancy) counts once.

        Parameters
        ----------
        law, other : str

        Returns
        -------
        float
            Between 0 and 1, in steps of one in 501.

        Raises
        ------
        InputError
            If a law was not compared.
        """
        lead = self.difference(law, other).mean
        scores = self.replicates.sel(truth=other)
        drawn = (scores.sel(law=law) - scores.sel(law=other)).to_numpy()
        return float((1 + (drawn >= lead).sum()) / (1 + len(drawn)))

    def to_dict(self) -> dict[str, Any]:
        """Everything but the predictions as plain JSON, the laws in the order of their scores at the scale held out."""
        first = {where: found[self.best] for where, found in self.held_out.items()}
        return finite(
            {
                "held_out": {where: found.held_out for where, found in first.items()},
                "runs": {where: found.predictions.sizes["run"] for where, found in first.items()},
                "prob": self.prob,
                "best": self.best,
                "laws": [self._row(law) for law in self.ranked],
                "notes": [note.to_dict() for note in self.notes],
            }
        )

    @property
    def ranked(self) -> list[str]:
        """The laws, the best at the scale held out first."""
        means = self.pointwise[SCALE]["log_score"].mean("run")
        return sorted(self.laws, key=lambda law: -float(means.sel(law=law)))

    def _row(self, law: str) -> dict[str, Any]:
        row: dict[str, Any] = {"law": law, "weights": {where: each.get(law) for where, each in self.weights.items()}}
        for where, found in self.held_out.items():
            row[where] = {"scores": [vars(score) for score in found[law].scores], "fits": found[law].fits}
            if law != self.best:
                row[where]["difference"] = vars(self.difference(law, self.best, where))
        if law != self.best:
            row[SCALE]["chance_of_lead"] = self.chance(self.best, law)
        return row | {LOO: vars(self.loo[law])}

    def _view(self) -> Any:
        from bayes_scaling.validate.view import comparison_view

        return comparison_view(self)
