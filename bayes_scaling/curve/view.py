"""Forecasts of curves as plain rows, for programs, and as a table, for people."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from rich.table import Table

from bayes_scaling.curve.predict import predict
from bayes_scaling.display import count, with_interval
from bayes_scaling.intervals import interval

__all__ = ["curve_rows", "curves_view"]

SUMMARISED = ("level", "slope", "floor", "noise", "drift")


def curve_rows(posterior: xr.DataTree, at: Sequence[float], kind: str, prob: float) -> list[dict[str, Any]]:
    """What is to be said of each curve.

    Parameters
    ----------
    posterior : DataTree
        From `fit`.
    at : sequence of float
        x of the forecasts.
    kind : {"new-point", "mean"}
    prob : float
        Probability of the intervals.

    Returns
    -------
    list of dict
        ``curve``, ``points`` (that were fitted), ``last_x``, ``ok``, ``forms`` (probabilities), ``summary`` (medians
        and intervals of quantities) and ``forecasts`` (``x``, ``median``, ``lower``, ``upper``, ``extrapolation``).
    """
    forecasts = predict(posterior, at, kind=kind, prob=prob)
    draws, stats = posterior["posterior"].to_dataset(), posterior["sample_stats"].to_dataset()
    log_x = posterior["constant_data"]["log_x"]
    rows = []
    for name in draws["curve"].to_numpy().tolist():
        probability = stats["probability"].sel(curve=name)
        mine = forecasts.sel(curve=name)
        rows.append(
            {
                "curve": name,
                "points": int(log_x.sel(curve=name).count()),
                "last_x": float(np.exp(log_x.sel(curve=name).max())),
                "ok": bool(stats["ok"].sel(curve=name)),
                "forms": dict(
                    zip(probability["form"].to_numpy().tolist(), probability.to_numpy().tolist(), strict=True)
                ),
                "summary": {quantity: interval(draws[quantity].sel(curve=name), prob) for quantity in SUMMARISED},
                "forecasts": [
                    {"x": float(x)}
                    | {key: float(mine[key][j]) for key in ("median", "lower", "upper", "extrapolation")}
                    for j, x in enumerate(at)
                ],
            }
        )
    return rows


def curves_view(rows: Sequence[dict[str, Any]], kind: str, prob: float) -> Table:
    """A line a curve.

    Parameters
    ----------
    rows : sequence of dict
        From `curve_rows`.
    kind : {"new-point", "mean"}
    prob : float
    """
    what = "a new point" if kind == "new-point" else "the curve without noise"
    table = Table(
        title=f"Loss of {what}: median and {prob:.0%} interval",
        title_justify="left",
        caption="slope: -d log loss / d log x at the last point; form: the most probable one",
    )
    table.add_column("curve")
    for name in ("points", "last x", "slope", "floor"):
        table.add_column(name, justify="right")
    table.add_column("form")
    for forecast in rows[0]["forecasts"]:
        table.add_column(f"x {count(forecast['x'])}", justify="right")
    for row in rows:
        form, share = max(row["forms"].items(), key=lambda each: each[1])
        table.add_row(
            row["curve"] + ("" if row["ok"] else " (not to be trusted)"),
            str(row["points"]),
            count(row["last_x"]),
            *(with_interval(row["summary"][name], ".3g") for name in ("slope", "floor")),
            f"{form} {share:.0%}",
            *(with_interval(forecast, ".4g") for forecast in row["forecasts"]),
        )
    return table
