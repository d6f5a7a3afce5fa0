"""W&B: a project by its API, run folders on disk, or the table that the web page exports."""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from bayes_scaling.errors import InputError
from bayes_scaling.imports.base import FINISHED, Query, Source, TrackedRun, first_line, flat, library
from bayes_scaling.imports.table import columns_of
from bayes_scaling.imports.wandb_files import read_logs

__all__ = ["WandB", "from_api"]


class WandB(Source):
    """``entity/project``, a folder with run folders, a ``.wandb`` file, or an exported CSV."""

    name: ClassVar[str] = "wandb"
    takes: ClassVar[frozenset[str]] = frozenset({"filter"})

    def read(self, source: Any, query: Query) -> list[TrackedRun]:
        """The runs of a project, of files or of an export."""
        if not isinstance(source, str | os.PathLike):
            raise InputError(f"source is a {type(source).__name__}, where W&B's are a project or a path")
        path = Path(source)
        if not path.exists():
            return _project(os.fspath(source), query)
        if query.filter is not None:
            raise InputError("filter is for W&B's API alone; of run folders and exports all runs are read")
        if path.is_file() and path.suffix != ".wandb":
            return _exported(path)
        logs = [path] if path.is_file() else [log for log in path.rglob("run-*.wandb") if log.is_file()]
        if not logs:
            raise InputError(f"the folder {path} holds no runs of W&B (run-*.wandb)")
        return read_logs(logs)


def _project(source: str, query: Query) -> list[TrackedRun]:
    project = re.sub(r"^https://wandb\.ai/([^/]+/[^/?]+).*$", r"\1", source)
    if not re.fullmatch(r"[^/\s]+/[^/\s]+", project):
        raise InputError(f"{source} is neither a file or folder nor a project of W&B, written entity/project")
    filters = query.filter
    if isinstance(filters, str):
        try:
            filters = json.loads(filters)
        except ValueError:
            filters = None
        if not isinstance(filters, dict):
            raise InputError(f'filter is {query.filter!r}, where W&B takes JSON such as \'{{"group": "sweep-3"}}\'')
    wandb = library("wandb", "wandb")
    with _errors_told(source):
        return [from_api(run) for run in wandb.Api().runs(project, filters=filters)]


def from_api(run: Any) -> TrackedRun:
    """A run of W&B's public API: its ``config``, ``summary_metrics`` and ``scan_history``."""

    def history(metric: str) -> list[Any]:
        with _errors_told(f"the run {run.id}"):
            return [row[metric] for row in run.scan_history(keys=[metric]) if row.get(metric) is not None]

    summary = flat({name: value for name, value in run.summary_metrics.items() if name != "_wandb"})
    return TrackedRun(
        run.id,
        {"config": flat(run.config), "summary": summary, "run": {"group": run.group}},
        list(summary),
        history,
        run.name or "",
        run.state,
    )


@contextlib.contextmanager
def _errors_told(source: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # some of the library's errors have no class in common but this
        raise InputError(f"{source} cannot be read from W&B ({first_line(error)})") from error


def _exported(path: Path) -> list[TrackedRun]:
    cells = columns_of(path)
    if "Name" not in cells:
        raise InputError(
            f"{path} has no column 'Name', as W&B's export of a table of runs has (found: {', '.join(cells)}); "
            "a table from elsewhere is of the kind 'table'"
        )
    rows = [dict(zip(cells, values, strict=True)) for values in zip(*cells.values(), strict=True)]
    ids = [str(row.get("ID") or row["Name"]) for row in rows]
    if len(set(ids)) < len(ids):  # names may be repeated, ids are exported only where they were shown
        ids = [f"run-{i:04d}" for i in range(1, len(ids) + 1)]
    return [
        TrackedRun(
            run_id, {"columns": row}, name=str(row["Name"] or ""), state=str(row.get("State") or FINISHED).lower()
        )
        for run_id, row in zip(ids, rows, strict=True)
    ]
