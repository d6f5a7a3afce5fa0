"""The model of `bs.curve` once more, in PyMC, for one curve under M4: importance sampling must say what NUTS says."""

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import xarray as xr

from bayes_scaling.curve import forms
from bayes_scaling.curve.drift import covariance
from bayes_scaling.curve.table import read_curves
from bayes_scaling.curve.target import Target, quantities

__all__ = ["by_nuts"]


def by_nuts(table: pd.DataFrame) -> xr.Dataset:
    """Posterior of one curve's quantities, by name, from 4 chains of 1000 draws."""
    (curve,) = read_curves(table)
    form = forms.get("M4")
    target = Target(curve, form)
    distance = curve.log_x - curve.log_x[-1]
    with pm.Model():
        q = {}
        for name, mean, sd in zip(quantities(form), target.prior_mean, target.prior_sd, strict=True):
            link = pm.Normal(f"link_{name}", mean, sd)
            back = pm.math.exp if quantities(form)[name].link == "log" else pm.math.sigmoid
            q[name] = pm.Deterministic(name, back(link))
        floor, ceiling = q["level"] * q["floor_share"], q["level"] * (1 + q["headroom"])
        pm.Deterministic("floor", floor)
        power = q["slope"] * q["level"] * (1 / (q["level"] - floor) + q["alpha"] / (ceiling - q["level"]))
        right = pt.log(q["level"] - floor) - q["alpha"] * pt.log(ceiling - q["level"]) - power * distance
        height = pt.log(ceiling - floor)
        z = pt.zeros(len(distance))
        for _ in range(12):  # log(height σ(z)) - α log(height σ(-z)) = right
            off = height - pt.softplus(-z) - q["alpha"] * (height - pt.softplus(z)) - right
            z = z - off / (pt.sigmoid(-z) + q["alpha"] * pt.sigmoid(z))
        spread = q["drift"] ** 2 * covariance(distance, distance) + q["noise"] ** 2 * np.diag(curve.variance)
        pm.MvNormal("log_loss", pt.log(floor + (ceiling - floor) * pt.sigmoid(z)), spread, observed=curve.log_loss)
        found = pm.sample(1000, tune=1000, chains=4, cores=1, target_accept=0.95, random_seed=1, progressbar=False)
    return found["posterior"].to_dataset()
