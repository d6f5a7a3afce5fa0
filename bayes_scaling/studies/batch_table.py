"""The table of steps to a target loss: batch sizes, steps, and the groups that they belong to."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.columns import BY_NAME, Check
from bayes_scaling.display import count
from bayes_scaling.errors import InputError
from bayes_scaling.notes import Note, read_notes, write_notes
from bayes_scaling.studies.tables import need, opened, positive
from bayes_scaling.values import as_text

__all__ = ["TRENDS", "groups_of", "load", "trend_values"]

TRENDS = ("nonzero_params", "sparsity")
"""Columns that groups may differ in; the second counts as density, 1 - S."""

SHOWN = 3
"""Cases that a note names."""

LEAST_REACHED = 3
"""Two coefficients and a little to see the noise by."""


def load(source: Any, columns: Mapping[str, str] | None = None) -> xr.Dataset:
    """Read a table of runs that were trained until a target loss, and check every row.

    Parameters
    ----------
    source : path, DataFrame, Dataset or list of dict
        With ``batch_size`` (examples, sequences or tokens a step, alike in all rows) and ``steps_to_target``, empty
        where a run never got there; such a run has ``steps_trained``, the steps after which it had not. Further
        columns: ``group``; ``nonzero_params`` and ``sparsity``, one value a group, which also make the groups where
        ``group`` is absent.
    columns : dict of str to str, optional
        Their names to ours.

    Returns
    -------
    Dataset
        Over ``run``; other columns are not carried along, nor are runs at learning rates that others beat. Where the
        best is the smallest or the largest rate tried, a note in the attributes says so.

    Raises
    ------
    InputError
        If the table lacks a column, a value is not what it may be, or a group has two sizes or sparsities.
    """
    check, run_id = opened(source, columns)
    need(check, ("batch_size", "steps_to_target"))
    values = {"batch_size": positive(check, "batch_size")}
    values["steps_to_target"] = reached = positive(check, "steps_to_target", may_lack=True)
    given = check.table.columns
    trained = (
        positive(check, "steps_trained", may_lack=True) if "steps_trained" in given else np.full(len(run_id), np.nan)
    )
    unknown = np.isnan(reached) & np.isnan(trained)
    check.refuse(
        "steps_to_target", unknown, "found nothing, where a run that never got there needs its steps in 'steps_trained'"
    )
    early = reached > trained
    check.refuse("steps_trained", early, lambda i: f"found {trained[i]:g}, fewer than the {reached[i]:g} to the target")
    values["steps_trained"] = np.where(np.isnan(trained), reached, trained)
    values |= {name: check.column(BY_NAME[name]) for name in TRENDS if name in given}
    values["group"] = _groups(check, values)
    table = xr.Dataset({name: ("run", each) for name, each in values.items()}, {"run_id": ("run", run_id)})
    if (found := int(np.isfinite(reached).sum())) < LEAST_REACHED:
        raise InputError(
            f"{check.table.name} has {found} runs that reached the target, where {LEAST_REACHED} are needed"
        )
    write_notes(table.attrs, read_notes(source.attrs) if isinstance(source, xr.Dataset) else [])
    return _tuned(table, positive(check, "learning_rate", may_lack=True)) if "learning_rate" in given else table


def _tuned(runs: xr.Dataset, rates: np.ndarray) -> xr.Dataset:
    """The runs at the best learning rate of each group and batch size, where several were tried."""
    kept, cells, edges = [], 0, []
    keys = list(zip(runs["group"].to_numpy().tolist(), runs["batch_size"].to_numpy().tolist(), strict=True))
    for key in dict.fromkeys(keys):
        mine = np.flatnonzero([each == key for each in keys])
        tried = np.unique(rates[mine][np.isfinite(rates[mine])])
        if len(tried) < 2:
            kept.extend(mine.tolist())
            continue
        cells += 1
        reached = runs["steps_to_target"].to_numpy()
        mean_steps = [np.where(np.isnan(reached), np.inf, reached)[mine[rates[mine] == rate]].mean() for rate in tried]
        best = int(np.argmin(mean_steps))
        if np.isinf(mean_steps[best]):  # the best rate needs more steps than the shortest of these runs had
            kept.append(int(mine[runs["steps_trained"].to_numpy()[mine].argmin()]))
            continue
        kept.extend(mine[rates[mine] == tried[best]].tolist())
        if best in (0, len(tried) - 1):
            edges.append(f"{key[0]} at {key[1]:g}")
    tuned = runs.assign(learning_rate=("run", rates)).isel(run=sorted(kept))
    if edges:
        message = (
            f"In {len(edges)} of {cells} cases the best learning rate is the smallest or the largest that was tried "
            f"({'; '.join(edges[:SHOWN])}{' and more' * (len(edges) > SHOWN)}), so fewer steps may do."
        )
        note = Note("best_rate_at_edge", "warning", message, numbers={"cases": len(edges)})
        write_notes(tuned.attrs, [*read_notes(tuned.attrs), note])
    return tuned


def _groups(check: Check, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """The group of each row: as named, else by size and sparsity."""
    if "group" not in check.table.columns:
        sizes = _distinct(values["nonzero_params"]) if "nonzero_params" in values else None
        zeros = [f"sparsity {s:g}" for s in values["sparsity"].tolist()] if "sparsity" in values else None
        parts = [names for names in (sizes, zeros) if names and (names is sizes or len(set(names)) > 1)]
        rows = len(values["batch_size"])
        return np.array([", ".join(names) for names in zip(*parts, strict=True)] if parts else ["all"] * rows)
    groups = np.array([as_text(value).strip() for value in check.table.columns["group"]])
    check.refuse("group", groups == "", "found an empty cell where every row has a group")
    for name in TRENDS:
        if name in values:
            _one_a_group(check, name, values[name], groups)
    return groups


def _distinct(sizes: np.ndarray) -> list[str]:
    """Sizes as people write them, with all their digits where three do not tell them apart."""
    short = [count(n) for n in sizes.tolist()]
    return short if len(set(short)) == len(np.unique(sizes)) else [f"{n:.15g}" for n in sizes.tolist()]


def _one_a_group(check: Check, name: str, values: np.ndarray, groups: np.ndarray) -> None:
    first = {group: values[i] for i, group in reversed(list(enumerate(groups.tolist())))}

    def why(i: int) -> str:
        group = groups[i]
        return f"found {values[i]:g} where its group {str(group)!r} has {first[group]:g}, and a group has one"

    check.refuse(name, np.array([first[group] for group in groups]) != values, why)


def groups_of(runs: xr.Dataset) -> xr.DataArray:
    """The groups in the order of the table, with their sizes and sparsities as coordinates."""
    named = runs["group"].to_numpy().tolist()
    groups = list(dict.fromkeys(named))
    first = [named.index(group) for group in groups]
    coords = {name: ("group", runs[name].to_numpy()[first]) for name in TRENDS if name in runs}
    return xr.DataArray(groups, {"group": groups, **coords}, ("group",))


def trend_values(runs: xr.Dataset) -> dict[str, xr.DataArray]:
    """Over ``group``, the log of non-zero parameters and of density, where groups differ in them."""
    groups, found = groups_of(runs), {}
    for name in TRENDS:
        if name in groups.coords:
            values = groups[name]
            logs: Any = np.log(1 - values) if name == "sparsity" else np.log(values)
            if float(logs.max() - logs.min()) > 0:
                found[name] = logs
    return found
