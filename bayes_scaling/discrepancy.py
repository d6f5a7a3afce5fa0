"""What a law may miss beyond the runs: nothing inside their range, more the further out.

A law that fits the runs is one of many that would. Beyond their range, log loss may fall faster or slower than the law
says: on each axis (log N, log D, log(1 - S), log C) and to each side, the slope differs from the law's by a draw from a
normal distribution, the same for all questions to a modality. So a question ln 10 beyond the runs in D carries an error
of ln 10 times that slope, and differences between two questions at the same place carry none.

The distance in log C counts where it exceeds those in log N and log D, as in the corner of a design without its
largest runs on both axes.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.extrapolation import AXES, SIDES, beyond

__all__ = ["DISCREPANCY", "SCALE", "add_discrepancy", "at_runs", "log_discrepancy"]

DISCREPANCY = "discrepancy"
"""The group that holds the draws of slopes."""

SCALE = 0.008
"""Standard deviation of a slope, in nats of log loss per nat beyond the runs. Chosen on held-out scales of public
sweeps; docs/calibration.md tells how, and what it would be without each of them."""


def add_discrepancy(posterior: xr.DataTree, scale: float, rng: np.random.Generator) -> None:
    """Give a posterior its draws of slopes, in place.

    Parameters
    ----------
    posterior : DataTree
    scale : float
        Standard deviation of a slope; with 0 the law alone answers.
    rng : numpy.random.Generator
    """
    draws = posterior["posterior"].to_dataset()
    coords = {name: draws[name].to_numpy() for name in ("chain", "draw", "modality")}
    shape = (*(len(values) for values in coords.values()), len(AXES), len(SIDES))
    slope = xr.DataArray(
        scale * rng.standard_normal(shape),
        coords | {"axis": list(AXES), "side": list(SIDES)},
        attrs={"units": "nats of log loss per nat", "long_name": "slope of log loss beyond the runs, minus the law's"},
    )
    posterior[DISCREPANCY] = xr.DataTree(xr.Dataset({"slope": slope}))
    posterior.attrs["discrepancy"] = json.dumps({"scale": scale, "source": "held-out scales of public sweeps"})


def log_discrepancy(posterior: xr.DataTree, modality: str, structure: str, **where: Any) -> Any:
    """What to add to log loss, draw by draw.

    Parameters
    ----------
    posterior : DataTree
    modality, structure : str
    **where
        ``nonzero_params``, ``data_seen``, ``sparsity`` and ``cost``, as for `extrapolation.beyond`.

    Returns
    -------
    DataArray or float
        Over (``chain``, ``draw``, …); 0 where the posterior has no discrepancy, or everything asked is inside.
    """
    if DISCREPANCY not in posterior.children:
        return 0.0
    nats = beyond(posterior, modality, structure, **where)
    if not nats.to_numpy().any():
        return 0.0
    size_and_data = nats.sel(axis=["nonzero_params", "data_seen"]).sum("axis")
    excess = (nats.sel(axis=["train_flops"]) - size_and_data).clip(min=0)
    nats = xr.concat([nats.sel(axis=list(AXES[:-1])), excess], dim="axis")
    slope = posterior[DISCREPANCY].to_dataset()["slope"].sel(modality=modality, drop=True)
    return xr.dot(slope, nats, dim=["axis", "side"])


def at_runs(posterior: xr.DataTree, columns: Mapping[str, Any]) -> Any:
    """What to add to the log loss of runs of several modalities and structures.

    Parameters
    ----------
    posterior : DataTree
    columns : dict of array
        ``modality``, ``structure``, ``nonzero_params``, ``data_seen`` and ``sparsity``, each of the length of the runs.

    Returns
    -------
    DataArray or float
        Over (``chain``, ``draw``, ``run``), or 0.
    """
    if DISCREPANCY not in posterior.children:
        return 0.0
    table = {name: np.asarray(values) for name, values in columns.items()}
    draws = posterior["posterior"].to_dataset()
    total = np.zeros((draws.sizes["chain"], draws.sizes["draw"], len(table["modality"])))
    for pair in dict.fromkeys(zip(table["modality"].tolist(), table["structure"].tolist(), strict=True)):
        rows = (table["modality"] == pair[0]) & (table["structure"] == pair[1])
        where: dict[str, Any] = {
            name: xr.DataArray(table[name][rows], dims="run") for name in ("nonzero_params", "data_seen", "sparsity")
        }
        added = log_discrepancy(posterior, *pair, **where)
        if isinstance(added, xr.DataArray):
            total[:, :, rows] = added.transpose("chain", "draw", "run").to_numpy()
    return xr.DataArray(total, dims=("chain", "draw", "run"))
