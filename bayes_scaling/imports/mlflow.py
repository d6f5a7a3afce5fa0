"""MLflow: runs of a tracking server, a database or a folder."""

import contextlib
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from bayes_scaling.errors import InputError
from bayes_scaling.imports.base import Query, Source, TrackedRun, first_line, library

__all__ = ["MLflow"]

_ANSWER_WITHIN = 10.0
"""Seconds; MLflow itself asks a server that is not there again and again, for minutes."""


class MLflow(Source):
    """A tracking address, a folder ``mlruns`` or a SQLite file; params, metrics and tags by their names."""

    name: ClassVar[str] = "mlflow"
    takes: ClassVar[frozenset[str]] = frozenset({"filter", "experiments"})

    def read(self, source: Any, query: Query) -> list[TrackedRun]:
        """All runs of the experiments that the filter lets through, deleted ones apart."""
        if not isinstance(query.filter, str | None):
            raise InputError(f"filter is {query.filter!r}, where MLflow takes a text such as \"params.depth = '4'\"")
        address = _address(source)
        mlflow = library("mlflow", "mlflow")
        with _errors_told(source), _file_store_allowed():
            client = mlflow.MlflowClient(tracking_uri=address)
            there = {e.name: e.experiment_id for e in _all(lambda page: client.search_experiments(page_token=page))}
            if missing := [name for name in query.experiments or () if name not in there]:
                raise InputError(f"{source} has no experiment {missing[0]!r} (there are: {', '.join(there) or 'none'})")
            wanted = [there[name] for name in query.experiments or there]
            oldest_first = ["attributes.start_time ASC"]
            found = _all(
                lambda page: client.search_runs(wanted, query.filter or "", order_by=oldest_first, page_token=page)
            )
        experiments = {number: name for name, number in there.items()}
        return [_run(run, client, source, experiments[run.info.experiment_id]) for run in found]


def _run(run: Any, client: Any, source: Any, experiment: str) -> TrackedRun:
    run_id = run.info.run_id

    def history(metric: str) -> list[float]:
        with _errors_told(source):
            points = client.get_metric_history(run_id, metric)
        points = sorted(points, key=lambda point: (point.step, point.timestamp))
        # a database keeps an infinite value as the largest number
        return [math.inf if point.value >= sys.float_info.max else point.value for point in points]

    return TrackedRun(
        run_id,
        {
            "params": {name: _typed(text) for name, text in run.data.params.items()},
            "metrics": run.data.metrics,
            "tags": {name: text for name, text in run.data.tags.items() if not name.startswith("mlflow.")},
            "run": {"experiment": experiment},
        },
        list(run.data.metrics),
        history,
        run.info.run_name or "",
        run.info.status.lower(),
    )


def _typed(text: str) -> Any:
    """A param, which MLflow keeps as text, as the number or truth value that it was."""
    try:
        value = json.loads(text.lower() if text in {"True", "False"} else text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) else text


def _all(search: Callable[[str | None], Any]) -> list[Any]:
    """The entries of all pages."""
    page = search(None)
    found = list(page)
    while page.token:
        page = search(page.token)
        found += page
    return found


def _address(source: Any) -> str:
    """What MLflow calls the source, once there is something: MLflow creates stores that do not exist."""
    if not isinstance(source, str | os.PathLike):
        raise InputError(f"source is a {type(source).__name__}, where MLflow's are an address or a path")
    text = os.fspath(source)
    if re.match(r"https?://", text):
        _answers(text)
        return text
    if text.startswith("sqlite:///"):
        path = Path(text.removeprefix("sqlite:///").partition("?")[0])
    elif text.startswith("file:"):
        path = Path(url2pathname(urlsplit(text).path))
    elif re.match(r"[a-z][a-z0-9+.-]+://", text) or text.startswith("databricks"):
        return text
    else:
        path = Path(text)
    if path.is_dir():
        if not any(path.glob("*/meta.yaml")):
            raise InputError(f"the folder {text} holds no MLflow experiments (*/meta.yaml), as a folder mlruns does")
        return path.resolve().as_uri()
    if not path.is_file():
        raise InputError(f"{text} does not exist; MLflow's runs are at an address, in a folder mlruns or a SQLite file")
    with path.open("rb") as file:
        if file.read(16) != b"SQLite format 3\0":
            raise InputError(f"{text} is no SQLite file, where a file of MLflow's runs is one")
    return f"sqlite:///{path.resolve()}"


def _answers(address: str) -> None:
    requests = library("requests", "mlflow")
    try:
        requests.get(address, timeout=_ANSWER_WITHIN)
    except requests.RequestException as error:
        raise InputError(f"{address} does not answer ({type(error).__name__})") from error


@contextlib.contextmanager
def _file_store_allowed() -> Iterator[None]:
    """MLflow 3 opens a folder only for those who insist; reading one does it no harm."""
    name = "MLFLOW_ALLOW_FILE_STORE"
    before = os.environ.get(name)
    os.environ[name] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextlib.contextmanager
def _errors_told(source: Any) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:  # MLflow's small package leaves out what only databases need
        package = str(error.name).partition(".")[0]
        raise InputError(f"reading {source} needs the package {package}: pip install {package}") from error
    except library("mlflow.exceptions", "mlflow").MlflowException as error:
        raise InputError(f"{source} cannot be read by MLflow ({first_line(error)})") from error
