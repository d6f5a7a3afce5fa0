"""Posterior of curves → losses at other x."""

import json
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.curve.posterior import drawn_by_form
from bayes_scaling.errors import InputError
from bayes_scaling.intervals import check_prob

__all__ = ["KINDS", "predict"]

KINDS = ("mean", "new-point")


def predict(
    posterior: xr.DataTree, x: Any, *, kind: str = "new-point", prob: float | None = None, seed: int | None = None
) -> xr.DataArray | xr.Dataset:
    """Loss of each curve at other x, most of all beyond its last point.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    x : float, sequence of float, or DataArray
        In the unit of the curves' x; the same for all curves, or a DataArray over (``curve``, anything), where NaN
        leaves a place empty.
    kind : {"new-point", "mean"}
        A single measurement there, with its noise; or the curve without noise. Both carry the drift of the slope.
    prob : float, optional
        Summarise by the median and the equal-tailed interval of this probability.
    seed : int, optional
        By default the posterior's.

    Returns
    -------
    DataArray or Dataset
        Without ``prob``, draws of the loss over (``chain``, ``draw``, ``curve``, ``x``), joint along ``x``. With
        ``prob``, a Dataset of ``median``, ``lower`` and ``upper``. Either has the coordinate ``extrapolation``: nats of
        x beyond the curve's last point, 0 inside.

    Raises
    ------
    InputError
        An x is not above 0, a curve of ``x`` is not in the posterior, or ``kind`` is none of the two.
    """
    if kind not in KINDS:
        raise InputError(f"kind is {kind!r}; predictions are of kind {' or '.join(KINDS)}")
    where = _places(posterior, x)
    if prob is not None:
        check_prob(prob)
    settled = _seed(posterior) if seed is None else seed
    draws = posterior["posterior"].sizes["draw"]
    losses = np.full((1, draws, *where.shape), np.nan)
    for i, name in enumerate(where["curve"].to_numpy()):
        rng = np.random.default_rng([settled, 2, *str(name).encode()])
        there = np.isfinite(where.to_numpy()[i])
        log_x = np.log(where.to_numpy()[i, there])
        for target, drawn, place in drawn_by_form(posterior, name):
            log_loss = target.draw(drawn, log_x, rng)
            if kind == "new-point":
                log_loss += rng.standard_normal(log_loss.shape) * drawn["noise"][:, None]
            losses[0, place[:, None], i, np.flatnonzero(there)] = np.exp(log_loss)
    found = xr.DataArray(
        losses,
        dims=("chain", "draw", *where.dims),
        coords={"chain": [0], **posterior["posterior"].coords["draw"].coords, **where.coords},
        name="loss",
        attrs={"kind": kind},
    ).drop_vars("form", errors="ignore")
    found = found.assign_coords(extrapolation=_extrapolation(posterior, where))
    return found if prob is None else _summary(found, prob)


def _places(posterior: xr.DataTree, x: Any) -> xr.DataArray:
    names = posterior["posterior"]["curve"].to_numpy()
    if isinstance(x, xr.DataArray) and "curve" in x.dims:
        if unknown := [str(name) for name in x["curve"].to_numpy() if name not in names]:
            raise InputError(f"x has the curve {unknown[0]!r}, which the posterior does not have")
        where = x.transpose("curve", ...)
        if where.ndim == 1:
            where = where.expand_dims("x", axis=1)
        if where.ndim != 2:
            raise InputError(f"x has the dimensions {x.dims}, where the curve and one more are allowed")
    else:
        values = np.atleast_1d(np.asarray(x, dtype=float))
        if values.ndim != 1:
            raise InputError(f"x has {values.ndim} dimensions, where one is allowed")
        where = xr.DataArray(
            np.tile(values, (len(names), 1)), dims=("curve", "x"), coords={"curve": names, "x": values}
        )
    numbers = where.to_numpy()
    if (wrong := (numbers <= 0) | np.isinf(numbers)).any():
        raise InputError(f"x has the value {numbers[wrong][0]:g}; x is above 0")
    return where


def _extrapolation(posterior: xr.DataTree, where: xr.DataArray) -> xr.DataArray:
    last = posterior["constant_data"]["log_x"].max("point").sel(curve=where["curve"])
    beyond = np.maximum(np.log(where) - last, 0)
    return beyond.assign_attrs(units="nats")


def _summary(losses: xr.DataArray, prob: float) -> xr.Dataset:
    tail = (1 - prob) / 2
    quantiles = losses.quantile([0.5, tail, 1 - tail], dim=("chain", "draw"), skipna=False)
    parts = {name: quantiles.isel(quantile=i, drop=True) for i, name in enumerate(("median", "lower", "upper"))}
    return xr.Dataset(parts, attrs={"prob": prob, "kind": losses.attrs["kind"]})


def _seed(posterior: xr.DataTree) -> int:
    return int(json.loads(posterior.attrs["settings"])["seed"])
