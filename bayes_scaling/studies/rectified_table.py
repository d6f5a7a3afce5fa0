"""The table of fine-tuning curves: losses over the amount of fine-tuning data, a curve a model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.columns import Check
from bayes_scaling.errors import InputError
from bayes_scaling.notes import Note, write_notes
from bayes_scaling.studies.tables import need, opened, positive
from bayes_scaling.values import as_text

__all__ = ["groups_of", "load"]

AMOUNT = ("finetune_data", "unique_data", "data_seen")
"""Columns that say how much fine-tuning data there was, by preference."""

LEAST_SIZES = 5
"""Amounts of data, of at least one curve: four coefficients and a little to see the noise by."""


def load(source: Any, columns: Mapping[str, str] | None = None) -> xr.Dataset:
    """Read a table of fine-tuned models, and check every row.

    Parameters
    ----------
    source : path, DataFrame, Dataset or list of dict
        With ``loss`` and the amount of fine-tuning data, ``finetune_data`` (or ``unique_data`` or ``data_seen``), alike
        in unit. Further columns: ``group``, or else ``model``, which curve a run is on; ``setting``, one for all.
    columns : dict of str to str, optional
        Their names to ours.

    Returns
    -------
    Dataset
        ``loss``, ``finetune_data`` and ``group`` over ``run``; other columns are not carried along. Runs on no data
        are left out, which a note counts: where a model starts from is no point of its curve.

    Raises
    ------
    InputError
        If columns are missing, a value is not what it may be, there are several settings, or no curve has five amounts.
    """
    check, run_id = opened(source, columns)
    given = check.table.columns
    amount = next((name for name in AMOUNT if name in given), AMOUNT[0])
    need(check, ("loss", amount))
    loss, data = positive(check, "loss"), positive(check, amount, may_be_zero=True)
    group = _groups(check)
    if "setting" in given and len(settings := list(dict.fromkeys(map(as_text, given["setting"])))) > 1:
        raise InputError(
            f"{check.table.name} has {len(settings)} settings ({', '.join(settings)}), whose curves have not much in "
            "common; fit one at a time"
        )
    some = data > 0
    found = {"loss": loss, "finetune_data": data, "group": group}
    table = xr.Dataset(
        {name: ("run", values[some]) for name, values in found.items()}, {"run_id": ("run", run_id[some])}
    )
    sizes = table.to_dataframe().groupby("group")["finetune_data"].nunique()
    if not (sizes >= LEAST_SIZES).any():
        raise InputError(
            f"{check.table.name} has no curve with {LEAST_SIZES} amounts of data above 0, where one at least is needed"
        )
    notes = []
    if not some.all():
        message = f"{int((~some).sum())} runs on no data are left out."
        notes.append(Note("no_data_left_out", "info", message, numbers={"runs": int((~some).sum())}))
    if len(short := sizes.index[sizes < LEAST_SIZES].tolist()):
        message = (
            f"{len(short)} of {len(sizes)} curves have fewer than {LEAST_SIZES} amounts of data (first {short[0]})."
        )
        message += " What they lack comes from the other curves."
        notes.append(Note("short_curves", "info", message, numbers={"curves": len(short)}))
    write_notes(table.attrs, notes)
    return table


def _groups(check: Check) -> np.ndarray:
    """The curve of each row: as named, else by model."""
    given = check.table.columns
    name = next((name for name in ("group", "model") if name in given), None)
    if name is None:
        return np.array(["all"] * check.count)
    groups = np.array([as_text(value).strip() for value in given[name]])
    check.refuse(name, groups == "", "found an empty cell where every row is of a curve")
    return groups


def groups_of(runs: xr.Dataset) -> list[str]:
    """The curves in the order of the table."""
    return list(dict.fromkeys(runs["group"].to_numpy().tolist()))
