"""Tables of studies: read as run tables are, with messages of the same kind, but columns of their own."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bayes_scaling.columns import Check, listed
from bayes_scaling.errors import InputError
from bayes_scaling.runs import renamed
from bayes_scaling.tables import read_table

__all__ = ["need", "opened", "positive"]


def opened(source: Any, columns: Mapping[str, str] | None) -> tuple[Check, np.ndarray]:
    """A table with our column names, ready to be checked, and the ids of its rows.

    Parameters
    ----------
    source : path, DataFrame, Dataset or list of dict
    columns : dict of str to str, optional
        Their names to ours.

    Returns
    -------
    check : Check
        Its ``table`` has the columns.
    run_id : ndarray of str
        Made where the table has none.

    Raises
    ------
    InputError
        If it cannot be read or has no rows.
    """
    table = renamed(read_table(source), columns or {})
    count = len(next(iter(table.columns.values()), ()))
    if not count:
        raise InputError(f"{table.name} has no rows")
    check = Check(table, count)
    return check, check.run_id()


def need(check: Check, names: Iterable[str]) -> None:
    """Refuse a table that lacks columns."""
    found = check.table.columns
    if missing := [name for name in names if name not in found]:
        raise InputError(
            f"{check.table.name} has no column {listed(missing)} (found: {', '.join(found)}); "
            f"if it is there under another name, say columns={{'its name': {missing[0]!r}}}, "
            f"or --column 'its name'={missing[0]}"
        )


def positive(check: Check, name: str, *, may_lack: bool = False, may_be_zero: bool = False) -> np.ndarray:
    """A column of finite numbers above 0, or of at least 0; NaN where cells may be empty."""
    values = check.numbers(name)
    allowed = (
        f"a finite number {'of at least' if may_be_zero else 'above'} 0{' or an empty cell' * may_lack} is allowed"
    )
    fine = np.isfinite(values) & ((values >= 0) if may_be_zero else (values > 0))
    bad = ~(fine | (np.isnan(values) & may_lack))
    check.refuse(name, bad, lambda i: f"found {check.shown(name, i)} where {allowed}")
    return values
