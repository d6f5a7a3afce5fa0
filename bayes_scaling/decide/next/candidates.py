"""The table of candidates: what could be trained next, what each run costs, and what was trained already."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decide import costs
from bayes_scaling.decide.question import Question
from bayes_scaling.design import grouped, pretrain_data
from bayes_scaling.errors import InputError
from bayes_scaling.predict import noise_scale, runs_to_predict

__all__ = ["Candidates", "candidates_of"]

MOST = 2000
"""Every candidate is held against every other, so memory and time grow with the square of their number."""

SAME = 0.01
"""Sizes, data and densities closer than one per cent are one: counted zeros differ between runs in the fourth digit."""


@dataclass(frozen=True)
class Candidates:
    """Runs that could be trained.

    Attributes
    ----------
    table : Dataset
        A validated run table without losses.
    flops : ndarray, shape (run,)
        What each of them costs.
    counted : ndarray of bool, shape (run,)
        Whether that was counted by the cost model, for want of a ``train_flops``.
    room : ndarray of int, shape (run,)
        How many more runs of each design are wanted; 0 where it was trained, and at a design's second row.
    """

    table: xr.Dataset
    flops: np.ndarray
    counted: np.ndarray
    room: np.ndarray

    def noise_variance(self, posterior: xr.DataTree, log_loss: np.ndarray) -> np.ndarray:
        """Variance of each run's noise on log loss: of a Student-t with 4 degrees of freedom, twice the scale's square.

        Parameters
        ----------
        posterior : DataTree
        log_loss : ndarray, shape (draw, run)
            By the law, from which a ``loss_se`` becomes one of log loss.

        Returns
        -------
        ndarray, shape (draw, run)
        """
        known = self.table["loss_se"].to_numpy() if "loss_se" in self.table else np.zeros(self.flops.size)
        on_log = np.nan_to_num(known) / np.exp(np.median(log_loss, axis=0))
        scale = noise_scale(posterior, self.table, on_log).transpose("chain", "draw", "run").to_numpy()
        return 2 * scale.reshape(-1, self.flops.size) ** 2


def candidates_of(
    posterior: xr.DataTree, candidates: Any, cost: costs.Cost, flops_per_unit: float | None, replicates: int
) -> Candidates:
    """Candidates in checked arrays.

    Parameters
    ----------
    posterior : DataTree
    candidates : Dataset, DataFrame, path, list of dict or dict of sequences
        As `next_runs` takes them.
    cost : Cost
    flops_per_unit : float, optional
    replicates : int
        How many runs of one design are wanted in all.

    Raises
    ------
    InputError
        If there are none, more than can be compared, or one is wrong.
    """
    runs = runs_to_predict(posterior, _spelled_out(candidates)).drop_vars("loss", errors="ignore")
    if (count := runs.sizes["run"]) > MOST:
        raise InputError(f"{_source(runs)} has {count:,} candidates, and at most {MOST:,} can be compared")
    flops, counted = _flops(runs, cost, flops_per_unit)
    mine, trained = _design(runs), _design(_trained(posterior))
    again = _same(mine, mine)
    room = replicates - _same(mine, trained).sum(axis=1)
    room[np.tril(again, -1).any(axis=1)] = 0  # the first row stands for the design
    return Candidates(runs, flops, counted, np.maximum(room, 0))


def _spelled_out(candidates: Any) -> Any:
    """All combinations of a grid's levels; anything else as it is."""
    if isinstance(candidates, xr.Dataset):
        if len(candidates.dims) < 2:
            return candidates
        levels: dict[str, Any] = {str(d): candidates[d].to_numpy() for d in candidates.dims if d != "replicate"}
    elif isinstance(candidates, Mapping):
        levels = {str(name): values for name, values in candidates.items()}
    else:
        return candidates
    several = [np.atleast_1d(np.asarray(values)).tolist() for values in levels.values()]
    if (count := int(np.prod([len(each) for each in several]))) > MOST:
        raise InputError(f"the grid of candidates has {count:,} cells, and at most {MOST:,} can be compared")
    return [dict(zip(levels, cell, strict=True)) for cell in itertools.product(*several)]


def _flops(runs: xr.Dataset, cost: costs.Cost, flops_per_unit: float | None) -> tuple[np.ndarray, np.ndarray]:
    """FLOPs of each run, and whether the cost model had to count them."""
    size, data, sparsity = (runs[name].to_numpy() for name in ("nonzero_params", "data_seen", "sparsity"))
    question = Question.of(1.0, 1.0, cost, flops_per_unit)
    per_unit, before = question.flops_per_unit, pretrain_data(runs)
    flops = np.empty(size.size)
    for name in np.unique(runs["structure"].to_numpy()):
        rows = runs["structure"].to_numpy() == name
        here = cost.for_structure(str(name))
        upfront = here.upfront(size[rows], sparsity[rows], before[rows], per_unit)
        flops[rows] = per_unit * size[rows] * data[rows] * here.multiplier(sparsity[rows]) + upfront
    if "train_flops" not in runs:
        return flops, np.ones(size.size, dtype=bool)
    given = runs["train_flops"].to_numpy()
    if (given == 0).any():
        run = runs["run_id"].to_numpy()[given == 0][0]
        raise InputError(f"{_source(runs)}, run {run!r}, column 'train_flops': found 0 where a candidate costs more")
    counted = np.isnan(given)
    return np.where(counted, flops, given), counted


def _trained(posterior: xr.DataTree) -> xr.Dataset:
    """All runs that were trained, those that diverged too."""
    return grouped(posterior["runs"].to_dataset(), json.loads(posterior.attrs["settings"])["group"])


def _design(runs: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """What makes two runs replicates of each other: labels, and logs of numbers."""
    labels = np.array([runs[name].to_numpy().astype(str) for name in ("modality", "structure", "strategy")])
    size, data, sparsity = (runs[name].to_numpy() for name in ("nonzero_params", "data_seen", "sparsity"))
    return labels, np.log([size, data, 1 - sparsity, 1 + pretrain_data(runs)])


def _same(mine: tuple[np.ndarray, np.ndarray], others: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Which designs are the same, shape (mine, others)."""
    alike = np.ones((mine[0].shape[1], others[0].shape[1]), dtype=bool)
    for ours, theirs in zip(mine[0], others[0], strict=True):
        alike &= ours[:, None] == theirs
    for ours, theirs in zip(mine[1], others[1], strict=True):
        alike &= np.abs(ours[:, None] - theirs) < SAME
    return alike


def _source(runs: xr.Dataset) -> str:
    return str(runs.attrs.get("source", "the table of candidates"))
