"""What the columns of a run table mean, and the checks that every row passes."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bayes_scaling.errors import InputError
from bayes_scaling.structures import n_of_m
from bayes_scaling.tables import Table
from bayes_scaling.values import Values, as_array, as_number, as_text, is_missing

__all__ = ["BY_NAME", "COLUMNS", "CONVERSIONS", "Check", "Column", "Conversion", "listed"]


@dataclass(frozen=True)
class Column:
    """One column of the run table.

    Attributes
    ----------
    name : str
        The variable's name.
    kind : {"text", "fraction", "count", "number", "integer"}
        ``fraction`` lies in [0, 1); ``count`` and ``number`` are floats that are not negative, ``integer`` is an int64.
    units : str
        Empty where there is none.
    needed : bool
        Whether a table without it is refused (``loss`` is needed to fit, not to predict).
    default : str
        What stands in for a missing column or cell; empty where nothing does or it depends on the row.
    long_name : str
        What a plot's axis says.
    positive : bool
        Zero is refused as well.
    """

    name: str
    kind: Literal["text", "fraction", "count", "number", "integer"]
    units: str
    needed: bool
    default: str
    long_name: str
    positive: bool = False


COLUMNS = (
    Column("run_id", "text", "", False, "", "run"),
    Column("modality", "text", "", False, "all", "modality, the group of comparable losses"),
    Column("structure", "text", "", False, "", "structure of the sparsity"),
    Column("strategy", "text", "", False, "scratch", "training strategy"),
    Column("sparsity", "fraction", "1", True, "", "sparsity, zeros among the prunable weights at the end"),
    Column("nonzero_params", "count", "parameters", True, "", "non-zero parameters", positive=True),
    Column("param_kind", "text", "", False, "non_embedding", "what nonzero_params counts"),
    Column("data_seen", "count", "tokens or examples", True, "", "training data, repeats counted", positive=True),
    Column("data_unit", "text", "", False, "tokens", "unit of data_seen"),
    Column("loss", "number", "nats", True, "", "held-out loss", positive=True),
    Column("loss_se", "number", "nats", False, "", "standard error of the held-out loss"),
    Column("dataset", "text", "", False, "", "data set"),
    Column("setting", "text", "", False, "", "setting"),
    Column("status", "text", "", False, "", "how the run ended"),
    Column("seed", "integer", "", False, "", "random seed"),
    Column("total_params", "count", "parameters", False, "", "parameters, zeros included", positive=True),
    Column("train_flops", "count", "FLOP", False, "", "training compute"),
    Column("pretrain_data", "count", "tokens or examples", False, "", "data of the dense phase before data_seen"),
    Column("pretrain_flops", "count", "FLOP", False, "", "compute of the dense phase"),
    Column("unique_data", "count", "tokens or examples", False, "", "training data, repeats not counted"),
    Column("batch_size", "count", "tokens or examples", False, "", "batch size", positive=True),
    Column("wall_seconds", "number", "s", False, "", "wall-clock training time"),
)
"""Every column that the table gives a meaning to, in the table's order."""

BY_NAME = {column.name: column for column in COLUMNS}
_ALLOWED = {"strategy": ("scratch", "pretrained"), "data_unit": ("tokens", "examples")}


@dataclass(frozen=True)
class Conversion:
    """How a column in another unit becomes the loss in nats."""

    convert: Callable[[np.ndarray], np.ndarray]
    formula: str
    above: float
    units: str


CONVERSIONS = {
    "bits_per_byte": Conversion(lambda bits: bits * math.log(2), "bits_per_byte × ln 2", 0, "nats per byte"),
    "bits_per_token": Conversion(lambda bits: bits * math.log(2), "bits_per_token × ln 2", 0, "nats per token"),
    "perplexity": Conversion(np.log, "ln perplexity", 1, "nats"),
}
"""Columns that stand in for ``loss`` where a table has none."""


class Check:
    """The checks of one table; each raises an `InputError` for the first row that fails and counts the rest."""

    def __init__(self, table: Table, count: int) -> None:
        self.table = table
        self.count = count
        self.place: Callable[[int], str] = table.place or (lambda i: f"row index {i}")

    def refuse(self, name: str, bad: np.ndarray, why: str | Callable[[int], str]) -> None:
        """Raise for the first bad row, if there is one."""
        rows = np.flatnonzero(bad)
        if not rows.size:
            return
        first = int(rows[0])
        theirs = self.table.theirs.get(name, name)
        column = repr(name) if theirs == name else f"{theirs!r} (our {name!r})"
        more = f" (and {rows.size - 1} more row{'s' * (rows.size > 2)})" if rows.size > 1 else ""
        reason = why if isinstance(why, str) else why(first)
        raise InputError(f"{self.table.name}, {self.place(first)}, column {column}: {reason}{more}")

    def shown(self, name: str, i: int) -> str:
        """What stands in a cell, fit for a message."""
        value = self.table.columns[name][i]
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, str) and not value.strip():
            return "an empty cell"
        if is_missing(value):
            return "nothing" if value is None else str(value)
        is_number = isinstance(value, str) and as_number(value) is not None
        text = str(value).strip() if is_number else repr(value)
        return text if len(text) <= 40 else f"{text[:37]}…{text[-1]}"

    def run_id(self) -> np.ndarray:
        """The ids, made where the table has none; from here on they say where a row stands if nothing better does."""
        ids = [as_text(value) for value in self.table.columns.get("run_id", ())]
        if not any(ids):
            return np.array([f"run-{i:04d}" for i in range(1, self.count + 1)])
        self.refuse("run_id", np.array(ids) == "", "found an empty cell where other rows have an id")
        first: dict[str, int] = {}
        again = np.array([first.setdefault(run, i) != i for i, run in enumerate(ids)])
        self.refuse("run_id", again, lambda i: f"found {ids[i]!r}, which {self.place(first[ids[i]])} has already")
        if self.table.place is None:
            self.place = lambda i: f"run_id {ids[i]!r}"
        return np.array(ids)

    def column(self, column: Column, allow_zero: bool = False) -> np.ndarray:
        """The values of a column that the table gives a meaning to."""
        match column.kind:
            case "text":
                return self._text(column)
            case "integer":
                return self._integer(column)
        name, values = column.name, self.numbers(column.name)
        if column.needed and name != "loss":
            self.refuse(name, np.isnan(values), lambda i: f"found {self.shown(name, i)} where a number is needed")
        if column.kind == "fraction":
            self.refuse(
                name,
                (values > 1) & (values < 100),
                lambda i: f"found {self.shown(name, i)}, which looks like a percent; write {values[i] / 100:g}",
            )
            bad, allowed = ~((values >= 0) & (values < 1)), "a fraction of at least 0 and below 1"
        elif column.positive and not allow_zero:
            bad, allowed = np.isinf(values) | (values <= 0), "a finite number above 0"
        else:
            bad, allowed = np.isinf(values) | (values < 0), "a finite number of at least 0"
        if name == "loss":  # what is not finite has diverged, and is no mistake
            bad &= np.isfinite(values)
        self.refuse(name, bad, lambda i: f"found {self.shown(name, i)} where {allowed} is allowed")
        return values

    def numbers(self, name: str) -> np.ndarray:
        """A column as floats, NaN where a value is missing."""
        raw: Values = self.table.columns[name]
        if isinstance(raw, np.ndarray) and raw.dtype.kind in "iuf":
            return raw.astype(np.float64) + 0.0
        parsed = [as_number(value) for value in raw]
        bad = np.array([value is None for value in parsed])
        self.refuse(name, bad, lambda i: f"found {self.shown(name, i)} where a number belongs{_percent(raw[i])}")
        return np.array(parsed, dtype=np.float64) + 0.0  # turns -0.0 into 0.0

    def _integer(self, column: Column) -> np.ndarray:
        values = self.numbers(column.name)
        broken = ~np.isnan(values) & (values != np.floor(values))
        self.refuse(column.name, broken, lambda i: f"found {self.shown(column.name, i)} where a whole number belongs")
        exact = as_array(self.table.columns[column.name], untyped=self.table.untyped)
        if exact.dtype.kind == "i":
            return exact
        return values.astype(np.int64) if (np.abs(values) < 2**63).all() else values

    def _text(self, column: Column) -> np.ndarray:
        name = column.name
        values = np.array([as_text(value).strip() for value in self.table.columns[name]])
        if name == "modality" and (values != "").any():
            self.refuse(name, values == "", "found an empty cell where other rows have a modality")
        if column.default:
            values = np.where(values == "", column.default, values)
        if allowed := _ALLOWED.get(name):
            values = np.char.lower(values)
            bad = ~np.isin(values, allowed)
            self.refuse(name, bad, lambda i: f"found {self.shown(name, i)} where {' or '.join(allowed)} is allowed")
        return values

    def convert(self, name: str) -> np.ndarray:
        """The loss in nats from a column in another unit."""
        conversion, values = CONVERSIONS[name], self.numbers(name)
        values[values == -np.inf] = np.nan
        allowed = f"a number above {conversion.above:g}"
        self.refuse(
            name, values <= conversion.above, lambda i: f"found {self.shown(name, i)} where {allowed} is allowed"
        )
        return conversion.convert(values)

    def structure(self, values: Mapping[str, np.ndarray]) -> tuple[np.ndarray, list[int]]:
        """Structures that agree with the sparsities, and the rows that became ``dense``."""
        sparsity = values["sparsity"]
        names = [_structure_name(str(name)) for name in values.get("structure", np.full(self.count, ""))]
        given = np.array(names, dtype=object)
        dense = sparsity == 0
        self.refuse(
            "structure",
            (given == "dense") & ~dense,
            lambda i: f"found 'dense' beside the sparsity {sparsity[i]:g}, where dense means sparsity 0",
        )
        patterns = [n_of_m(name) for name in names]
        bad = np.array([pattern is not None and not 0 < pattern[0] < pattern[1] for pattern in patterns])
        self.refuse("structure", bad, lambda i: f"found {names[i]!r} where n:m with 0 < n < m is allowed")
        meant = np.array([1 - pattern[0] / pattern[1] if pattern else np.nan for pattern in patterns])
        self.refuse(
            "sparsity",
            ~dense & (np.abs(sparsity - meant) > 0.01 + 1e-9),
            lambda i: f"found {sparsity[i]:g} beside the structure {names[i]!r}, which means {meant[i]:g} within 0.01",
        )
        relabelled = np.flatnonzero(dense & (given != "") & (given != "dense")).tolist()
        given[given == ""] = "unstructured"
        given[dense] = "dense"
        return given.astype(str), relabelled

    def one_data_unit(self, values: Mapping[str, np.ndarray]) -> None:
        """Data are counted in one unit within a modality."""
        modality, unit = values["modality"].tolist(), values["data_unit"].tolist()
        first: dict[str, int] = {}
        other = np.array([unit[first.setdefault(group, i)] != unit[i] for i, group in enumerate(modality)])

        def why(i: int) -> str:
            j = first[modality[i]]
            rule = (
                f"the modality {modality[i]!r} counts {unit[j]} ({self.place(j)}), and a modality has one unit of data"
            )
            return f"found {unit[i]!r} where {rule}"

        self.refuse("data_unit", other, why)


def _structure_name(name: str) -> str:
    """One spelling per structure: ``Dense`` and ``02:04`` (what spreadsheets make of 2:4) are no names of their own."""
    if pattern := n_of_m(name):
        return f"{pattern[0]}:{pattern[1]}"
    return name.lower() if name.lower() in {"dense", "unstructured"} else name


def _percent(value: Any) -> str:
    match = re.fullmatch(r"\s*(\d+\.?\d*)\s*%\s*", value) if isinstance(value, str) else None
    return f"; write the fraction {float(match[1]) / 100:g}" if match else ""


def listed(names: Iterable[str]) -> str:
    """Names as a message shows them."""
    return ", ".join(repr(str(name)) for name in names)
