"""Runs that an experiment tracker recorded → the run table."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from bayes_scaling import imports
from bayes_scaling.errors import InputError
from bayes_scaling.imports.base import Query, TrackedRun
from bayes_scaling.imports.loss_rule import LossRule
from bayes_scaling.imports.rows import LeftOut, Wanted
from bayes_scaling.notes import Note, read_notes, write_notes
from bayes_scaling.progress import Progress
from bayes_scaling.runs import load_runs

__all__ = ["import_runs"]


def import_runs(
    source: Any,
    kind: str,
    columns: Mapping[str, str] | None = None,
    loss: str = "last",
    *,
    metric: str | None = None,
    constants: Mapping[str, Any] | None = None,
    filter: str | Mapping[str, Any] | None = None,  # noqa: A002 - what W&B and MLflow call it
    experiments: Sequence[str] | None = None,
    unfinished: bool = False,
    progressbar: bool = True,
) -> xr.Dataset:
    """Read runs from W&B, MLflow, TensorBoard or a table with a row per step, and check them as `load_runs` does.

    Parameters
    ----------
    source : str or path
        ``wandb``: ``entity/project``, a folder with W&B's run folders, one ``.wandb`` file, or the CSV that the web
        page exports of its table of runs. ``mlflow``: a tracking address (``http://…``, ``sqlite:///…``), a folder
        ``mlruns`` or a SQLite file. ``tensorboard``: a folder with event files, one folder a run. ``table``: whatever
        `load_runs` reads; rows that share a ``run_id`` are the steps of one run.
    kind : {"wandb", "mlflow", "tensorboard", "table"}
    columns : dict of str to str, optional
        The tracker's names to ours: ``columns={"model.n_params": "nonzero_params"}``. A name is a config key, param,
        hparam, summary value, metric or tag; nested ones are dotted, and ``config.loss`` says which of two is meant.
        Values that have one of our names need no mapping; all others are left behind. Of metrics the last value is
        taken.
    loss : str
        Which point of the metric is the loss: ``last``, ``best`` (the lowest), or ``mean:K``, the mean of the last K
        points. A run whose last point is not finite has diverged under each of them.
    metric : str, optional
        The tracker's name of the held-out loss, for ``columns={metric: "loss"}``; a metric in another unit is mapped to
        ``perplexity``, ``bits_per_byte`` or ``bits_per_token`` instead. ``loss`` unless either is said.
    constants : dict, optional
        Columns that are the same for every run: ``constants={"modality": "language"}``.
    filter : str or dict, optional
        Which runs: W&B's filters (a dict or its JSON), or MLflow's filter string.
    experiments : sequence of str, optional
        Names of MLflow's experiments; all unless said.
    unfinished : bool
        Whether runs that crashed, were stopped or are still running are taken as well.
    progressbar : bool
        Whether to show how far reading is, where stderr is a terminal.

    Returns
    -------
    Dataset
        The run table, as `load_runs` returns it. ``run_id`` is the tracker's, ``run_name`` what people call the run
        and ``loss_rule`` says how the loss came about. Runs left out, and why, are in the notes ``runs_left_out``.

    Raises
    ------
    InputError
        If the kind or rule is not known, the source cannot be read or holds no runs, a name is in no run, all runs are
        left out, or a value is not what its column allows.

    Examples
    --------
    >>> steps = [{"run_id": "a", "N": 1e6, "D": 1e9, "sparsity": 0.5, "val": v} for v in (3.5, 3.1, 3.2)]
    >>> names = {"N": "nonzero_params", "D": "data_seen"}
    >>> import_runs(steps, "table", names, "best", metric="val")["loss"].item()
    3.1
    """
    reader = imports.get(kind)
    where = _name(source)
    for option, given in {"filter": filter, "experiments": experiments}.items():
        if given is not None and option not in reader.takes:
            takers = ", ".join(other for other in imports.names() if option in imports.get(other).takes)
            raise InputError(f"{option} is {given!r}, which the kind {kind!r} does not take; it is for {takers}")
    if isinstance(experiments, str):
        experiments = [experiments]
    wanted = Wanted.of(columns or {}, metric, LossRule.of(loss), constants or {}, unfinished)
    rows: list[dict[str, Any]] = []
    left_out: dict[str, list[TrackedRun]] = {}
    with Progress(progressbar) as progress:
        progress.say(f"looking for runs in {where}")
        runs = list(reader.read(source, Query(wanted.columns | wanted.losses, filter, experiments)))
        if not runs:
            raise InputError(f"{where} has no runs{' that the filter lets through' if filter else ''}")
        wanted.check_names([run for run in runs if wanted.takes(run)], where)
        for i, run in enumerate(runs, start=1):
            progress.say(f"reading run {i} of {len(runs)}")
            try:
                rows.append(wanted.row(run))
            except LeftOut as reason:
                left_out.setdefault(str(reason), []).append(run)
    if not rows:
        why = "; ".join(f"{_count(len(left))} {reason}" for reason, left in left_out.items())
        more = "" if unfinished else "; runs that did not finish are taken with unfinished=True (--unfinished)"
        raise InputError(f"{where} has no run that can be used: {why}{more}")
    table = _checked(rows, wanted, where)
    write_notes(table.attrs, [*read_notes(table.attrs), *_notes(left_out, len(runs), where)])
    return table


def _name(source: Any) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return f"the {type(source).__name__}"


def _checked(rows: list[dict[str, Any]], wanted: Wanted, where: str) -> xr.Dataset:
    there = {name for row in rows for name in row}
    named = {theirs: ours for theirs, ours in (wanted.columns | wanted.losses).items() if theirs in there}
    try:
        table = load_runs(rows, named)
    except InputError as error:  # it was handed a list, and the user another thing
        raise InputError(str(error).replace("the list of runs", where, 1)) from None
    table.attrs["source"] = where
    return table


def _notes(left_out: Mapping[str, Sequence[TrackedRun]], count: int, where: str) -> list[Note]:
    notes = []
    for reason, left in left_out.items():
        shown = ", ".join(f"{run.run_id} ({run.name})" if run.name else run.run_id for run in left[:5])
        more = f" and {len(left) - 5} more" if len(left) > 5 else ""
        message = f"{len(left)} of {_count(count)} of {where} left out, {reason}: {shown}{more}."
        about = {"reason": reason, "run_id": ", ".join(run.run_id for run in left)}
        notes.append(Note("runs_left_out", "warning", message, about, {"left_out": len(left), "runs": count}))
    return notes


def _count(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"
