"""The runs as the arrays that a model is built from: groups, cells, reference points."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.hierarchy import Population, pool
from bayes_scaling.laws.base import Grouped, Law, Pooled

__all__ = ["FEWEST_RUNS", "Design", "columns_of", "design_of", "grouped", "log_loss_se"]

FEWEST_RUNS = 8
"""One more than the coefficients of one modality and structure."""

MOST_GROUPS = 300
"""Covariances between groups grow with the square of their number, and so does the time of a fit."""

STRATEGIES = ("scratch", "pretrained")


@dataclass(frozen=True)
class Design:
    """What a model needs to know of the runs.

    A *cell* is a combination of modality, structure and strategy with sparse runs, or the first one of a modality
    that has dense runs only. Dense runs belong to any cell of their modality: there the structure makes no difference.

    Attributes
    ----------
    modality, structure, strategy : tuple of str
        The levels present; ``dense`` is no structure.
    cells : ndarray of int, shape (cell, 3)
        Modality, structure and strategy of each cell.
    cell_of_run : ndarray of int, shape (run,)
    nonzero_params, data_seen : ndarray, shape (modality,)
        The reference point of each modality: geometric means over its runs.
    rough_log_loss : ndarray, shape (modality,)
        Median log loss of each modality.
    runs : dict of ndarray, shape (run,)
        ``sparsity``, and relative to the reference point ``nonzero_params``, ``data_seen`` and ``pretrain_data``; what
        a law reads besides; ``log_loss`` and ``log_loss_se``.
    """

    modality: tuple[str, ...]
    structure: tuple[str, ...]
    strategy: tuple[str, ...]
    cells: np.ndarray
    cell_of_run: np.ndarray
    nonzero_params: np.ndarray
    data_seen: np.ndarray
    rough_log_loss: np.ndarray
    runs: Mapping[str, np.ndarray]

    @property
    def pretrained(self) -> bool:
        """Whether any run started from a trained model."""
        return "pretrained" in self.strategy

    @property
    def cell_dims(self) -> tuple[str, ...]:
        """Dimensions of a posterior's sparsity parameters."""
        return ("modality", "structure", "strategy")[: 3 if len(self.strategy) > 1 else 2]

    @cached_property
    def every_cell(self) -> np.ndarray:
        """All combinations, shape (cell, 3), each modality with one structure more, which stands for unseen ones."""
        shape = (len(self.modality), len(self.structure) + 1, len(self.strategy))
        return np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=1)

    @cached_property
    def sampled_cells(self) -> np.ndarray:
        """Where `cells` stand in `every_cell`."""
        shape = (len(self.modality), len(self.structure) + 1, len(self.strategy))
        return np.ravel_multi_index(tuple(self.cells.T), shape)

    @cached_property
    def wider_in_data(self) -> np.ndarray:
        """Whether each modality's runs span a wider range in data than in size: they determine that term better."""
        modality = self.cells[self.cell_of_run, 0]
        span = {
            name: np.array([np.ptp(np.log(self.runs[name][modality == i])) for i in range(len(self.modality))])
            for name in ("nonzero_params", "data_seen")
        }
        return span["data_seen"] > span["nonzero_params"]

    def active(self, law: Law) -> dict[str, Grouped]:
        """The law's quantities of groups that these runs bear on."""
        return {
            name: prior
            for name, prior in law.priors.items()
            if isinstance(prior, Grouped) and (prior.strategy is None or prior.strategy in self.strategy)
        }

    def population(self, prior: Pooled) -> tuple[Population, np.ndarray]:
        """The population of a pooled quantity, and which of its groups the sampler sees."""
        groups = self.groups(prior)
        if prior.over == ("modality",):
            return pool(prior, [groups]), groups
        return pool(prior, self.every_cell.T[: len(self.cell_dims)]), groups

    def groups(self, prior: Grouped) -> np.ndarray:
        """Which of a quantity's groups the sampler sees: all modalities, or the cells that have runs."""
        return np.arange(len(self.modality)) if prior.over == ("modality",) else self.sampled_cells


def log_loss_se(runs: xr.Dataset, loss: np.ndarray) -> np.ndarray:
    """Standard errors of log losses that runs state; 0 where they do not.

    Parameters
    ----------
    runs : Dataset
    loss : ndarray, shape (run,)
        The runs' losses, or predictions of them, which a ``loss_se`` is relative to.
    """
    stated = runs["loss_se"].fillna(0.0).to_numpy() if "loss_se" in runs else 0.0
    return np.broadcast_to(stated / loss, loss.shape).astype(float)


def design_of(runs: xr.Dataset, law: Law | None = None) -> Design:
    """The design of finished runs.

    Parameters
    ----------
    runs : xarray.Dataset
        A validated run table with dimension ``run``, without diverged runs.
    law : Law, optional
        Whose further columns the design shall have.

    Raises
    ------
    InputError
        If there are fewer than `FEWEST_RUNS` runs or more than `MOST_GROUPS` modalities, a pretrained run does not
        say its pretraining data, or the law is not about these runs or misses a column.
    """
    if law is not None:
        law.check(runs)
    if runs.sizes["run"] < FEWEST_RUNS:
        raise InputError(
            f"{runs.attrs.get('source', 'the run table')} has {runs.sizes['run']} finished runs, "
            f"and a fit needs at least {FEWEST_RUNS}"
        )
    column = {name: runs[name].to_numpy() for name in ("modality", "structure", "strategy")}
    modality = tuple(dict.fromkeys(column["modality"].tolist()))
    if len(modality) > MOST_GROUPS:
        raise InputError(
            f"{runs.attrs.get('source', 'the run table')} has {len(modality)} groups of comparable losses "
            f"({modality[0]}, {modality[1]}, …), and a fit pools at most {MOST_GROUPS}; see whether the right column "
            "holds the groups"
        )
    sparse = runs["sparsity"].to_numpy() > 0
    structure = tuple(sorted(set(column["structure"][sparse]), key=lambda s: (s != "unstructured", s)))
    structure = structure or ("unstructured",)
    strategy = tuple(s for s in STRATEGIES if s in column["strategy"])

    m = np.array([modality.index(v) for v in column["modality"]])
    s = np.array([structure.index(v) if v in structure else 0 for v in column["structure"]])
    t = np.array([strategy.index(v) for v in column["strategy"]])
    cells = {tuple(cell): None for cell in np.stack([m, s, t], axis=1)[sparse].tolist()}
    for lone in set(range(len(modality))) - {cell[0] for cell in cells}:
        cells[(lone, 0, 0)] = None
    ordered = sorted(cells)
    first_of = {cell[0]: i for i, cell in reversed(list(enumerate(ordered)))}
    cell_of_run = np.array(
        [
            ordered.index((mi, si, ti)) if is_sparse else first_of[mi]
            for mi, si, ti, is_sparse in zip(m.tolist(), s.tolist(), t.tolist(), sparse.tolist(), strict=True)
        ]
    )

    nonzero_params, data_seen = runs["nonzero_params"].to_numpy(), runs["data_seen"].to_numpy()
    log_loss = np.log(runs["loss"].to_numpy())
    members = [m == i for i in range(len(modality))]
    reference = {
        "nonzero_params": np.array([np.exp(np.log(nonzero_params[k]).mean()) for k in members]),
        "data_seen": np.array([np.exp(np.log(data_seen[k]).mean()) for k in members]),
    }
    return Design(
        modality=modality,
        structure=structure,
        strategy=strategy,
        cells=np.array(ordered),
        cell_of_run=cell_of_run,
        rough_log_loss=np.array([np.median(log_loss[k]) for k in members]),
        runs={
            "sparsity": runs["sparsity"].to_numpy().astype(float),
            "nonzero_params": nonzero_params / reference["nonzero_params"][m],
            "data_seen": data_seen / reference["data_seen"][m],
            "pretrain_data": pretrain_data(runs) / reference["data_seen"][m],
            **_further(runs, law, reference, m),
            "log_loss": log_loss,
            "log_loss_se": log_loss_se(runs, runs["loss"].to_numpy()),
        },
        **reference,
    )


def columns_of(runs: xr.Dataset, law: Law) -> dict[str, np.ndarray]:
    """What a law's formula takes at each run, in physical units, by name.

    Raises
    ------
    InputError
        If runs lack a column that the law reads, or a pretrained run does not say its pretraining data.
    """
    plain = {name: runs[name].to_numpy().astype(float) for name in ("sparsity", "nonzero_params", "data_seen")}
    found = plain | {"pretrain_data": pretrain_data(runs)}
    for name, read in law.reads.items():
        if name not in runs and read.absent is None:
            continue
        stand_in = found[read.absent] if read.absent else None
        if name not in runs and stand_in is None:
            raise InputError(
                f"law {law.name!r} reads the columns {', '.join(map(repr, law.reads))}, and "
                f"{runs.attrs.get('source', 'the run table')} has no {name!r}"
            )
        values = runs[name].to_numpy().astype(float) if name in runs else np.full(runs.sizes["run"], np.nan)
        missing = ~np.isfinite(values)
        if missing.any() and stand_in is None:
            run_id = runs["run_id"].to_numpy()[missing][0]
            raise InputError(
                f"{runs.attrs.get('source', 'the run table')}: run {run_id!r} has no {name!r}, which law "
                f"{law.name!r} reads"
            )
        found[name] = values if stand_in is None else np.where(missing, stand_in, values)
    return found


def _further(
    runs: xr.Dataset, law: Law | None, reference: Mapping[str, np.ndarray], modality: np.ndarray
) -> dict[str, np.ndarray]:
    """What a law reads beside the usual columns, relative to the reference point."""
    if law is None or not law.reads:
        return {}
    found = columns_of(runs, law)
    return {
        name: found[name] if read.per == "one" else found[name] / reference[read.per][modality]
        for name, read in law.reads.items()
        if name in found
    }


def grouped(runs: xr.Dataset, group: str) -> xr.Dataset:
    """The runs with the values of another column as their modality.

    Raises
    ------
    InputError
        If there is no such column.
    """
    if group == "modality":
        return runs
    if group not in runs:
        raise InputError(
            f"group {group!r} is no column of {runs.attrs.get('source', 'the runs')}; {', '.join(map(str, runs))} are"
        )
    return runs.assign(modality=runs[group].astype(str))


def pretrain_data(runs: xr.Dataset) -> np.ndarray:
    """Data that each run's dense start had been trained on; 0 from scratch.

    Raises
    ------
    InputError
        If a pretrained run does not say.
    """
    pretrained = runs["strategy"].to_numpy() == "pretrained"
    given = runs["pretrain_data"].to_numpy() if "pretrain_data" in runs else np.full(runs.sizes["run"], np.nan)
    missing = pretrained & ~(given > 0)
    if missing.any():
        first = runs["run_id"].to_numpy()[missing][0]
        raise InputError(
            f"{runs.attrs.get('source', 'the run table')}: run {first!r}"
            + (f" and {missing.sum() - 1} more have" if missing.sum() > 1 else " has")
            + " strategy 'pretrained' but no pretrain_data; it takes the tokens or examples of the dense phase, above 0"
        )
    return np.where(pretrained, given, 0.0)
