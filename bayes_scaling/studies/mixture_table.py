"""The table of runs on mixtures: a loss, and how much data of each domain there was."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.columns import Check
from bayes_scaling.errors import InputError
from bayes_scaling.studies.tables import need, opened, positive

__all__ = ["load", "relative_amounts"]

AMOUNT, WEIGHT = "amount_", "weight_"

SUM_TO_ONE = 1e-6
"""How far weights may be from one together: printed digits, not a mistake."""


def load(source: Any, columns: Mapping[str, str] | None = None) -> xr.Dataset:
    """Read a table of runs on mixtures of domains, and check every row.

    Parameters
    ----------
    source : path, DataFrame, Dataset or list of dict
        With ``loss`` (or a perplexity under that name: what is modelled is relative), and either ``amount_X`` for each
        domain X, alike in unit, or ``weight_X`` and ``total``.
    columns : dict of str to str, optional
        Their names to ours.

    Returns
    -------
    Dataset
        ``loss`` over ``run``, ``amount`` over (``run``, ``domain``), and ``base`` over ``domain``: the median amount,
        relative to which the law is stated. Other columns are not carried along.

    Raises
    ------
    InputError
        If columns are missing, an amount or weight is negative or missing, weights do not sum to one, there are fewer
        than two domains, or a domain's amount never changes.
    """
    if isinstance(source, xr.Dataset) and "amount" in source and "domain" in source.dims:
        return source
    check, run_id = opened(source, columns)
    need(check, ("loss",))
    loss = positive(check, "loss")
    domains, amount = _amounts(check)
    if len(domains) < 2:
        raise InputError(f"{check.table.name} has {len(domains)} domain, where a mixture has two or more")
    base = np.median(amount, axis=0)
    for i, name in enumerate(domains):
        if base[i] <= 0 or np.ptp(amount[:, i]) == 0:
            found = "is 0 in most rows" if base[i] <= 0 else f"is {base[i]:g} in every row"
            raise InputError(
                f"{check.table.name}, domain {name!r}: the amount {found}, so nothing tells what it is worth"
            )
    return xr.Dataset(
        {"loss": ("run", loss), "amount": (("run", "domain"), amount), "base": ("domain", base)},
        {"run_id": ("run", run_id), "domain": domains},
    )


def _amounts(check: Check) -> tuple[list[str], np.ndarray]:
    """Domains and their amounts, shape (run, domain)."""
    found = check.table.columns
    for prefix in (AMOUNT, WEIGHT):
        names = [name for name in found if name.startswith(prefix) and name != prefix]
        if names:
            domains = [name.removeprefix(prefix) for name in names]
            values = np.stack([positive(check, name, may_be_zero=True) for name in names], axis=-1)
            if prefix == AMOUNT:
                return domains, values
            need(check, ("total",))
            _one_together(check, names[0], values.sum(axis=-1))
            return domains, values * positive(check, "total")[:, None]
    raise InputError(
        f"{check.table.name} has no column 'amount_X' or 'weight_X' for any domain X (found: {', '.join(found)})"
    )


def _one_together(check: Check, first: str, sums: np.ndarray) -> None:
    def why(i: int) -> str:
        return f"the weights of the row sum to {sums[i]:.6g}, where they sum to 1"

    check.refuse(first, np.abs(sums - 1) > SUM_TO_ONE, why)


def relative_amounts(runs: xr.Dataset) -> xr.DataArray:
    """Amounts relative to the base composition, over ``run`` and ``domain``."""
    return runs["amount"] / runs["base"]
