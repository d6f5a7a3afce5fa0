"""What a law may miss at candidates and at the target, now and after more runs.

A loss beyond the runs carries a discrepancy (`bayes_scaling.discrepancy`). In a candidate that lies there it hides what
the law has to say, as noise does. In a target that lies there it is part of what is not known, and of that a refit
with a run further out leaves less: the range ends later.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.discrepancy import DISCREPANCY, at_runs
from bayes_scaling.extrapolation import beyond

__all__ = ["Misses", "law_alone"]

COLUMNS = ("modality", "structure", "nonzero_params", "data_seen", "sparsity")


def law_alone(posterior: xr.DataTree) -> xr.DataTree:
    """The posterior without what its law may miss beyond the runs."""
    tree = xr.DataTree.from_dict({n: node.to_dataset() for n, node in posterior.children.items() if n != DISCREPANCY})
    tree.attrs = posterior.attrs
    return tree


@dataclass(frozen=True)
class Misses:
    """Variances of log loss that no coefficient accounts for, given the runs trained and picked so far.

    Attributes
    ----------
    posterior : DataTree
        Draws, slopes of the discrepancy and the design of the runs.
    table : dict of ndarray, shape (run,)
        Design of the candidates.
    goal : dict of ndarray, shape (1,), or None
        Design of the run whose loss is the target.
    """

    posterior: xr.DataTree
    table: Mapping[str, np.ndarray]
    goal: Mapping[str, np.ndarray] | None

    @classmethod
    def of(cls, posterior: xr.DataTree, table: xr.Dataset, goal: xr.Dataset | None) -> "Misses":
        """From run tables; of the posterior only what is needed is kept."""
        runs = posterior["constant_data"].to_dataset()
        known = {name: ("run", runs[name].to_numpy()) for name in COLUMNS}
        parts = {"posterior": posterior["posterior"].to_dataset()[["sigma"]], "constant_data": xr.Dataset(known)}
        if DISCREPANCY in posterior.children:
            parts[DISCREPANCY] = posterior[DISCREPANCY].to_dataset()
        return cls(xr.DataTree.from_dict(parts), _columns(table), None if goal is None else _columns(goal))

    @cached_property
    def at(self) -> np.ndarray:
        """Variance at each candidate, shape (run,)."""
        return self._variance(self.table)

    @cached_property
    def at_goal(self) -> float:
        """Variance at the target."""
        return 0.0 if self.goal is None else float(self._variance(self.goal)[0])

    def after(self) -> np.ndarray:
        """Variance at the target if a candidate were trained, for each of them, shape (run,)."""
        left = np.full(self.at.size, self.at_goal)
        if self.goal is None or not self.at_goal:
            return left
        # Candidates that reach as far extend the range alike.
        alike: dict[tuple[object, ...], list[int]] = {}
        for i, reach in self._reaches().items():
            alike.setdefault(reach, []).append(i)
        for rows in alike.values():
            left[rows] = self.with_run(rows[0]).at_goal
        return left

    def with_run(self, i: int) -> "Misses":
        """The same after a candidate was trained; one inside the range of the runs changes nothing."""
        if not self.at[i]:
            return self
        runs = self.posterior["constant_data"].to_dataset()
        more = {n: ("run", np.append(runs[n].to_numpy(), self.table[n][i])) for n in COLUMNS}
        parts = {name: node.to_dataset() for name, node in self.posterior.children.items()}
        return replace(self, posterior=xr.DataTree.from_dict(parts | {"constant_data": xr.Dataset(more)}))

    def _variance(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        added = at_runs(self.posterior, columns)
        if not isinstance(added, xr.DataArray):
            return np.zeros(columns["sparsity"].size)
        return added.var(("chain", "draw")).to_numpy()

    def _reaches(self) -> dict[int, tuple[object, ...]]:
        """How far each candidate lies beyond the runs, for those of the target's modality that do."""
        assert self.goal is not None
        found: dict[int, tuple[object, ...]] = {}
        mine = (self.table["modality"] == self.goal["modality"][0]) & (self.at > 0)
        for structure in np.unique(self.table["structure"][mine]):
            rows = np.flatnonzero(mine & (self.table["structure"] == structure))
            where: dict[str, Any] = {n: xr.DataArray(self.table[n][rows], dims="run") for n in COLUMNS[2:]}
            nats = beyond(self.posterior, self.goal["modality"][0], structure, **where)
            reach = nats.transpose("run", ...).to_numpy().reshape(rows.size, -1).round(9)
            found |= {int(i): (str(structure), *r.tolist()) for i, r in zip(rows, reach, strict=True)}
        return found


def _columns(table: xr.Dataset) -> dict[str, np.ndarray]:
    return {name: table[name].to_numpy() for name in COLUMNS}
