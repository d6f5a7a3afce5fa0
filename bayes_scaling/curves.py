"""Learning curves of a store's runs."""

import os

import numpy as np
import xarray as xr

from bayes_scaling.errors import InputError
from bayes_scaling.record_files import read_records

__all__ = ["load_curves"]

UNITS = {"data_seen": "tokens or examples", "train_loss": "nats", "heldout_loss": "nats", "sparsity": "1"}


def load_curves(store: "str | os.PathLike[str]") -> xr.Dataset:
    """Read how the loss fell along the training of each run.

    Parameters
    ----------
    store : path or address
        A folder of run records, or an address that fsspec knows.

    Returns
    -------
    Dataset
        ``train_loss`` (mean since the point before, nats), ``heldout_loss`` (where it was taken), ``sparsity`` in force
        and ``data_seen`` over (``run``, ``step``), with the coordinates ``run_id`` along ``run`` and ``step``, the
        union of all runs' steps. A run has NaN at steps at which it has no point.

    Raises
    ------
    InputError
        There is no such store, or no record in it has a curve.

    Examples
    --------
    >>> curves = load_curves("runs/first")  # doctest: +SKIP
    >>> curves["train_loss"].isel(run=0).dropna("step").plot()  # doctest: +SKIP
    """
    curves = {}
    for _, record in read_records(os.fspath(store)):
        if isinstance(record, dict) and record.get("curve"):
            curves[str(record["run"]["run_id"])] = {int(point["step"]): point for point in record["curve"]}
    if not curves:
        raise InputError(f"{os.fspath(store)} holds no run records with a learning curve")
    steps = sorted({step for points in curves.values() for step in points})
    place = {step: i for i, step in enumerate(steps)}
    values = {name: np.full((len(curves), len(steps)), np.nan) for name in UNITS}
    for i, points in enumerate(curves.values()):
        for step, point in points.items():
            for name in UNITS:
                if isinstance(point.get(name), int | float):
                    values[name][i, place[step]] = point[name]
    data = {name: (("run", "step"), value, {"units": UNITS[name]}) for name, value in values.items()}
    return xr.Dataset(data, coords={"run_id": ("run", list(curves)), "step": steps})
