"""Single values and whole columns, brought to the four dtypes of a run table: bool, int64, float64 and str."""

import json
import math
import re
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["Values", "as_array", "as_number", "as_text", "is_missing"]

Values = Sequence[Any] | np.ndarray

_INTEGER = re.compile(r"[+-]?(0|[1-9]\d*)", re.ASCII)
_DECIMAL = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)
_MISSING = frozenset({"", "nan", "-nan", "na", "n/a", "#n/a", "null", "none"})


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, or pandas' NA or NaT."""
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)


def as_number(value: Any) -> float | None:
    """A value as a float, NaN where it is missing, None where it is no number."""
    if is_missing(value):
        return math.nan
    if isinstance(value, str):
        text = value.strip()
        if text.casefold() in _MISSING:
            return math.nan
        return float(text) if _NUMBER.fullmatch(text) else None
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real | Decimal | np.number):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)
    except (TypeError, ValueError):
        return None


def as_text(value: Any) -> str:
    """A value as text, the empty string where it is missing; 17.0 is ``17``, nested values are JSON."""
    if is_missing(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=str)
    return str(value)


def as_array(values: Values, *, untyped: bool = False) -> np.ndarray:
    """A column as bool, int64, float64 or str.

    Missing values turn integers and booleans into floats, as NumPy has no integer that is missing; in text they are the
    empty string. Times become text.

    Parameters
    ----------
    values : sequence
        The column as it was read.
    untyped : bool
        The values are the text of cells, to be recognised: digits with leading zeros, ``2:4`` and the like stay text.
    """
    if untyped:
        return _recognise([str(value) for value in values])
    array = values if isinstance(values, np.ndarray) else np.empty(0, dtype=object)
    match array.dtype.kind:
        case "b" | "U":
            return array
        case "f":
            return array.astype(np.float64)
        case "i" | "u":
            return array.astype(np.int64 if array.max(initial=0) < 2**63 else np.float64)
        case "M" | "m":
            text = array.astype(str)
            return np.where(text == "NaT", "", text)
    objects = values.tolist() if isinstance(values, np.ndarray) else list(values)
    present = [value for value in objects if not is_missing(value)]
    complete = len(present) == len(objects)
    if not present:
        return np.full(len(objects), np.nan)
    if not all(isinstance(value, Real | Decimal | np.number | np.bool_) for value in present):
        return np.array([as_text(value) for value in objects], dtype=str)
    if complete and all(isinstance(value, bool | np.bool_) for value in present):
        return np.array(objects, dtype=bool)
    if complete and all(isinstance(value, int | np.integer) and abs(int(value)) < 2**63 for value in present):
        return np.array(objects, dtype=np.int64)
    floats = (float(value) if isinstance(value, bool | np.bool_) else as_number(value) for value in objects)
    return np.array([np.nan if value is None else value for value in floats])


def _recognise(cells: Sequence[str]) -> np.ndarray:
    present = [cell for cell in cells if cell.casefold() not in _MISSING]
    complete = len(present) == len(cells)
    if not present:
        nothing = all(cell.casefold() in {"", "nan"} for cell in cells)
        return np.full(len(cells), np.nan) if nothing else np.array(cells, dtype=str)
    if all(cell.casefold() in {"true", "false"} for cell in present):
        truth = {"true": 1.0, "false": 0.0}
        values = np.array([truth.get(cell.casefold(), np.nan) for cell in cells])
        return values.astype(bool) if complete else values
    if complete and all(_INTEGER.fullmatch(cell) and abs(int(cell)) < 2**63 for cell in cells):
        return np.array([int(cell) for cell in cells], dtype=np.int64)
    if all(_DECIMAL.fullmatch(cell) for cell in present):
        return np.array([math.nan if cell.casefold() in _MISSING else float(cell) for cell in cells])
    return np.array(cells, dtype=str)
