"""The table of transfer: runs from scratch and fine-tuned ones on finite data of one kind, and their groups."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.notes import Note, read_notes, write_notes
from bayes_scaling.runs import diverged, load_runs

__all__ = ["fine_tuned", "groups_of", "kinds_of", "load"]

FINITE = ("available_data", "unique_data", "data_seen")
"""Columns that say how much data of the kind there was, by preference: the first that a run has is its D_F."""

LEAST = {"scratch": 4, "pretrained": 3}
"""Runs of each strategy: the law from scratch has four coefficients or more, what is transferred has three."""


def load(source: Any, columns: Mapping[str, str] | None = None) -> xr.Dataset:
    """Read a table of runs from scratch and from pretrained models, and check every row.

    Parameters
    ----------
    source : path, DataFrame, Dataset or list of dict
        As `bayes_scaling.load_runs` reads it, with both values of ``strategy``. How much data of the kind there was,
        D_F, is ``available_data``, where a run lacks it ``unique_data``, and where it lacks that ``data_seen``. Further
        columns: ``pretrained``, the id of the run that a fine-tuned one started from; ``pretrain_corpus``, what that
        was trained on; ``group``, which says what fine-tuned runs transfer alike.
    columns : dict of str to str, optional
        Their names to ours.

    Returns
    -------
    Dataset
        Over ``run``: ``loss``, ``strategy``, ``nonzero_params``, ``sparsity``, ``finetune_data`` (D_F), ``kind`` (how a
        model is sparse) and ``group``, empty where a run is from scratch. Runs that others started from and diverged
        ones are left out, which a note counts.

    Raises
    ------
    InputError
        If the table is wrong, its runs are on several corpora, or a strategy has too few runs.
    """
    if isinstance(source, xr.Dataset) and "finetune_data" in source:
        return source
    runs = load_runs(source, columns)
    ids = runs["run_id"].to_numpy()
    starts = np.isin(ids, runs["pretrained"].to_numpy()) if "pretrained" in runs else np.zeros(len(ids), bool)
    lost = diverged(runs).to_numpy()
    notes = read_notes(runs.attrs)
    name = runs.attrs["source"]
    if starts.any() or lost.any():
        counts = {"starts": int((starts & ~lost).sum()), "diverged": int(lost.sum())}
        message = f"Left out: {counts['starts']} runs that others started from, and {counts['diverged']} diverged."
        notes.append(Note("starts_left_out", "info", message, numbers=counts))
    runs = runs.isel(run=np.flatnonzero(~starts & ~lost))
    if "corpus" in runs and len(corpora := np.unique(runs["corpus"].to_numpy())) > 1:
        raise InputError(
            f"{name}: runs are on {len(corpora)} corpora ({', '.join(corpora.tolist())}), where all that are compared "
            "are on one"
        )
    finite = np.full(runs.sizes["run"], np.nan)
    for column in reversed(FINITE):
        if column in runs:
            given = runs[column].to_numpy().astype(float)
            finite = np.where(np.isfinite(given) & (given > 0), given, finite)
    strategy = runs["strategy"].to_numpy()
    for wanted, least in LEAST.items():
        if (found := int((strategy == wanted).sum())) < least:
            raise InputError(f"{name} has {found} runs with strategy {wanted!r}, where {least} are needed")
    kind = np.array(
        [
            "dense" if s == 0 else f"{how}, sparsity {s:.3g}"
            for how, s in zip(runs["structure"].to_numpy().tolist(), runs["sparsity"].to_numpy().tolist(), strict=True)
        ]
    )
    group = np.where(strategy == "pretrained", _groups(runs, kind), "")
    values = {name: runs[name].to_numpy() for name in ("loss", "strategy", "nonzero_params", "sparsity")}
    values |= {"finetune_data": finite, "kind": kind, "group": group.astype(str)}
    table = xr.Dataset({name: ("run", each) for name, each in values.items()}, {"run_id": runs["run_id"]})
    write_notes(table.attrs, notes)
    return table


def _groups(runs: xr.Dataset, kind: np.ndarray) -> np.ndarray:
    """What each run transfers like: as named, else by what it was pretrained on and how it is sparse."""
    if "group" in runs:
        return np.array([str(name) or "all" for name in runs["group"].to_numpy().tolist()])
    tuned = runs["strategy"].to_numpy() == "pretrained"
    parts = [kind]
    if "pretrain_corpus" in runs:
        parts.insert(0, runs["pretrain_corpus"].to_numpy().astype(str))
    differ = [names for names in parts if len(set(names[tuned].tolist())) > 1]
    return np.array([", ".join(names) for names in zip(*differ, strict=True)] if differ else ["all"] * len(kind))


def fine_tuned(runs: xr.Dataset) -> np.ndarray:
    """Which runs started from a pretrained model."""
    tuned: np.ndarray = runs["strategy"].to_numpy() == "pretrained"
    return tuned


def groups_of(runs: xr.Dataset) -> list[str]:
    """The groups of fine-tuned runs, in the order of the table."""
    return list(dict.fromkeys(runs["group"].to_numpy()[fine_tuned(runs)].tolist()))


def kinds_of(runs: xr.Dataset) -> list[str]:
    """How models are sparse, the least sparse first: what the others' sizes are relative to."""
    sparsity = dict(zip(runs["kind"].to_numpy().tolist(), runs["sparsity"].to_numpy().tolist(), strict=True))
    return sorted(sparsity, key=lambda kind: (sparsity[kind], kind))
