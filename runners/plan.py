"""Plans: axes and their values in a TOML file, or a table of runs, become one configuration a run."""

import itertools
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_scaling.runs import InputError, load_runs
from runners.config import RunConfig
from runners.mixtures import composition, one_at_a_time
from runners.sparsity import structures

__all__ = ["MAX_RUNS", "Plan", "expand", "load_plan", "plan_names"]

MAX_RUNS = 10_000
"""A plan with more combinations than this is taken for a slip, unless its user says otherwise."""

KNOBS = {knob.name: knob for knob in fields(RunConfig)}
WORDS = {"kind", "strategy", "pretrain", "pretrain_data", "one_at_a_time", "where"}
"""What a plan may say beside the knobs of a run."""

TABLES = (".csv", ".parquet", ".jsonl", ".ndjson", ".nc")
OF_LATER_PHASES = (
    *("method", "distribution", "schedule", "learning_rate"),
    *("unique_data", "evaluate_every", "patience", "target_loss"),
)
"""Settings of a pretrained run that its dense start does without."""

OF_THE_SHAPE = {"nonzero_params", "sparsity", "structure", "pretrained"}
"""What the start cannot have otherwise."""

OF_TABLES = (
    *("modality", "structure", "strategy", "sparsity", "nonzero_params", "data_seen", "pretrain_data", "seed"),
    "learning_rate",
)
"""Columns of a table that are read: others, such as ``batch_size``, mean something else there than the knob does."""


@dataclass(frozen=True)
class Plan:
    """Runs to train.

    Attributes
    ----------
    configs : list of RunConfig
        One a run, in the plan's order, each once; a dense run that others start from comes before them.
    repeats : int
        How many more times the plan names runs that it has named before.
    about : str
        What the plan says of itself.
    """

    configs: list[RunConfig] = field(default_factory=list)
    repeats: int = 0
    about: str = ""


def plan_names() -> list[str]:
    """Names of the plans that ship with the package."""
    folder = resources.files("runners.plans")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_plan(path_or_name: str | Path, settings: Mapping[str, Any] | None = None, max_runs: int = MAX_RUNS) -> Plan:
    """Read a plan and expand it.

    Parameters
    ----------
    path_or_name : str or Path
        A TOML or JSON file, the name of a plan that ships with the package, or a table of runs (CSV, Parquet, JSON
        lines, NetCDF) such as ``bayes-scaling next --out`` writes, a row a run: its columns ``modality``,
        ``structure``, ``strategy``, ``sparsity``, ``nonzero_params``, ``data_seen``, ``pretrain_data``, ``seed`` and
        ``learning_rate`` are read.
    settings : mapping, optional
        Knobs that hold for every run, whatever the plan says.
    max_runs : int
        Most combinations that a plan may have, before its filters.

    Raises
    ------
    InputError
        There is no such plan, it cannot be read, sets what no run has, is impossible or empty, or is too large.
    """
    name, path = str(path_or_name), Path(path_or_name)
    if name in plan_names():
        text = resources.files("runners.plans").joinpath(f"{name}.toml").read_text("utf-8")
        return expand(tomllib.loads(text), settings, max_runs)
    if not path.is_file():
        raise InputError(f"plan {name!r} is neither a file nor one of the shipped plans {plan_names()}")
    if path.suffix.lower() in TABLES:
        return _from_table(path, settings or {}, max_runs)
    try:
        text = path.read_text(encoding="utf-8")
        plan = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"plan {name!r} cannot be read: {error}") from None
    return expand(plan, settings, max_runs)


def expand(plan: dict[str, Any], settings: Mapping[str, Any] | None = None, max_runs: int = MAX_RUNS) -> Plan:
    """All combinations of a plan's grids.

    Parameters
    ----------
    plan : dict
        ``defaults``, settings of every run; ``grid``, a list of tables of settings; ``where``, a filter for all grids;
        ``about``, a text. In a grid a list means all of its values, crossed with those of the other settings. Beside
        the knobs of `RunConfig` a grid may have

        - ``kind``, a list of [structure, sparsity] pairs, for both together;
        - ``one_at_a_time``, a table of `runners.mixtures.one_at_a_time`'s ``corpora`` and, if wanted, ``reduced`` and
          ``increased``: AutoScale's 2 m + 1 mixtures, where ``data_seen`` is that of the uniform one;
        - ``strategy``: ``pretrained`` runs start from a dense model of the same shape that is trained on
          ``pretrain_data`` tokens or examples before, as a run of its own; ``pretrain`` is a table of knobs in which
          that differs, such as ``corpus``;
        - ``where``, a filter or a list of them: expressions of `pandas.DataFrame.query` in the knobs, ``strategy`` and
          ``block_weights`` (N / (1 - S)), of which all must hold.
    settings : mapping, optional
        Knobs that hold for every run, whatever the plan says.
    max_runs : int
        Most combinations, before filters.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        As in `load_plan`.
    """
    if not isinstance(plan, dict) or not isinstance(plan.get("grid"), list) or not plan["grid"]:
        raise InputError("a plan needs at least one [[grid]]")
    if unknown := set(plan) - {"defaults", "grid", "about", "where"}:
        raise InputError(f"a plan has 'about', 'defaults', 'where' and 'grid', found also {sorted(unknown)}")
    grids = [{**plan.get("defaults", {}), **grid, **(settings or {})} for grid in plan["grid"]]
    for grid in grids:
        if unknown := set(grid) - set(KNOBS) - WORDS:
            raise InputError(f"a plan sets {sorted(unknown)}; allowed are {sorted(WORDS)} and {sorted(KNOBS)}")
    axes = [_axes(grid) for grid in grids]
    combinations = [math.prod(map(len, each)) for each in axes]
    if sum(combinations) > max_runs:
        raise InputError(
            f"the plan has {sum(combinations):,} combinations, more than the {max_runs:,} allowed; allow more "
            "(--max-runs) if that is meant"
        )
    built = _Builder()
    for number, (grid, each) in enumerate(zip(grids, axes, strict=True), start=1):
        points = [_point(dict(pairs)) for pairs in itertools.product(*each)]
        for point in _kept(points, [*_filters(plan.get("where")), *_filters(grid.get("where"))]):
            built.add(point, f"grid {number} of the plan")
    if not built.configs:
        raise InputError(f"the plan has no runs: its filters leave none of {sum(combinations)} combinations")
    return Plan(list(built.configs.values()), built.repeats, str(plan.get("about", "")))


def _axes(grid: dict[str, Any]) -> list[list[tuple[str, Any]]]:
    values_of = {name: values if isinstance(values, list) else [values] for name, values in grid.items()}
    values_of.pop("where", None)
    if "one_at_a_time" in values_of:
        values_of["one_at_a_time"] = [each for table in values_of["one_at_a_time"] for each in _amounts(table)]
    return [[(name, value) for value in values] for name, values in values_of.items()]


def _amounts(table: Any) -> list[dict[str, float]]:
    """The mixtures of a design, as relative amounts."""
    known = isinstance(table, dict) and not set(table) - {"corpora", "reduced", "increased"}
    if not known or not isinstance(table.get("corpora"), list):
        raise InputError(
            f"one_at_a_time is {table!r}; a table with a list 'corpora' and, if wanted, 'reduced' and 'increased' is "
            "needed"
        )
    return one_at_a_time(**table)


def _point(settings: dict[str, Any]) -> dict[str, Any]:
    """One combination, with both halves of its kind, and whole numbers as such."""
    if (kind := settings.pop("kind", None)) is not None:
        if not isinstance(kind, list) or len(kind) != 2:
            raise InputError(f"kind is {kind!r}; a list of [structure, sparsity] pairs is needed")
        settings["structure"], settings["sparsity"] = kind
    if (amounts := settings.pop("one_at_a_time", None)) is not None:
        data_seen = settings.get("data_seen", KNOBS["data_seen"].default)
        if not isinstance(data_seen, int | float):
            raise InputError(f"data_seen is {data_seen!r}; with one_at_a_time a number is needed")
        settings["mixture"], settings["data_seen"] = composition(amounts, data_seen)
    if "sparsity" not in settings and settings.get("structure", "dense") not in ("dense", "unstructured"):
        settings["sparsity"] = structures.parse(settings["structure"]).fixed_sparsity
    return _whole(settings)


def _whole(settings: dict[str, Any]) -> dict[str, Any]:
    """Whole numbers as such: 1e6 is a float in TOML."""
    counts = {"pretrain_data", *(name for name, knob in KNOBS.items() if "int" in str(knob.type))}
    return {
        name: int(value) if name in counts and isinstance(value, float) and value.is_integer() else value
        for name, value in settings.items()
    }


def _filters(where: Any) -> list[str]:
    filters = [] if where is None else [where] if isinstance(where, str) else where
    if not isinstance(filters, list) or not all(isinstance(each, str) for each in filters):
        raise InputError(f"where is {where!r}; an expression, or a list of expressions, is needed")
    return filters


def _kept(points: Sequence[dict[str, Any]], filters: Sequence[str]) -> list[dict[str, Any]]:
    """The points for which all filters hold."""
    if not filters:
        return list(points)
    defaults = {name: knob.default for name, knob in KNOBS.items() if knob.default is not MISSING}
    frame = pd.DataFrame(
        [defaults | {"strategy": "scratch", "pretrain": None, "pretrain_data": None} | point for point in points]
    )
    frame["block_weights"] = frame["nonzero_params"] / (1 - frame["sparsity"])
    for expression in filters:
        try:
            frame = frame.query(expression, engine="python")
        except Exception as error:  # whatever pandas makes of what a user wrote
            raise InputError(
                f"the filter {expression!r} cannot be evaluated ({error}); it may name {', '.join(frame.columns)}"
            ) from error
    return [points[i] for i in frame.index]


class _Builder:
    """Configurations in order, each once."""

    def __init__(self) -> None:
        self.configs: dict[str, RunConfig] = {}
        self.repeats = 0
        self._asked: set[str] = set()

    def add(self, settings: dict[str, Any], place: str) -> None:
        """The run of one combination, and the one that it starts from."""
        knobs = dict(settings)
        strategy, before = knobs.pop("strategy", "scratch"), knobs.pop("pretrain", None)
        pretrain_data = knobs.pop("pretrain_data", None)
        try:
            if strategy not in ("scratch", "pretrained"):
                raise InputError(f"strategy is {strategy!r}; 'scratch' or 'pretrained' is needed")
            if strategy == "pretrained" and knobs.get("pretrained") is None:
                start = _start(knobs, pretrain_data, before)
                knobs["pretrained"] = f"run:{start.run_id}"
                self.configs.setdefault(start.run_id, start)
            config = RunConfig(**knobs)
        except (InputError, TypeError) as error:
            said = ", ".join(f"{name} = {value!r}" for name, value in settings.items())
            raise InputError(f"{place}, with {said}: {error}") from error
        self.repeats += config.run_id in self._asked
        self._asked.add(config.run_id)
        self.configs.setdefault(config.run_id, config)


def _start(knobs: dict[str, Any], pretrain_data: Any, before: Any) -> RunConfig:
    """The dense run that a pretrained one starts from: the same shape, and all else but what `before` says."""
    if before is not None and not (isinstance(before, dict) and set(before) <= set(KNOBS) - OF_THE_SHAPE):
        raise InputError(f"pretrain is {before!r}; a table of knobs is needed, without {sorted(OF_THE_SHAPE)}")
    own = _whole({"data_seen": pretrain_data} | (before or {}))
    if own["data_seen"] is None:
        raise InputError("strategy 'pretrained' needs pretrain_data, the tokens or examples of the dense phase")
    dense = {name: value for name, value in knobs.items() if name not in OF_LATER_PHASES}
    sparse = RunConfig(**dense)  # of its shape; its method may insist on the start that is being made here
    texts = {"corpus", "mixture"}
    if sparse.sparsity == 0 and not texts & set(own):
        raise InputError(
            "strategy 'pretrained' is a start for sparse runs, or on another corpus; sparsity above 0 is needed, or "
            "pretrain with a corpus"
        )
    if texts & set(own):  # either of them takes the place of both
        dense = {name: value for name, value in dense.items() if name not in texts}
    dense |= {"sparsity": 0.0, "structure": "dense", **own}
    start = RunConfig(**dense | {"nonzero_params": sparse.shape.block_weights})
    if start.shape != sparse.shape:
        raise InputError(
            f"no dense model has the shape of the sparse one ({sparse.shape}; {start.shape} has as many weights); "
            "set multiple_of so that all widths are multiples of one number"
        )
    return start


def _from_table(path: Path, settings: Mapping[str, Any], max_runs: int) -> Plan:
    """A run a row."""
    runs = load_runs(path, need_loss=False)
    if runs.sizes["run"] > max_runs:
        raise InputError(
            f"{path} has {runs.sizes['run']:,} runs, more than the {max_runs:,} allowed; allow more (--max-runs)"
        )
    named = [name for name in OF_TABLES if name in runs]
    built = _Builder()
    for i in range(runs.sizes["run"]):
        row = {name: runs[name].values[i].item() for name in named}
        present = {name: value for name, value in row.items() if value != "" and value == value}
        built.add(_point(present | dict(settings)), f"{path}, run {runs['run_id'].values[i]}")
    return Plan(list(built.configs.values()), built.repeats, f"the runs of {path}")
