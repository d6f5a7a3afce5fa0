"""The same with PyMC, as somebody who knows it writes it after an afternoon (the careful model of handwritten.py)."""

import sys

import numpy as np
import pandas as pd
import pymc as pm

runs, planned = (pd.read_csv(path) for path in sys.argv[1:])
names, group = np.unique(runs["modality"], return_inverse=True)
lowest = runs.groupby("modality")["loss"].min().to_numpy()
dense = not runs["sparsity"].any()


def centred(table, column):
    middle = np.log(runs[column]).groupby(runs["modality"]).mean()
    return (np.log(table[column]) - table["modality"].map(middle)).to_numpy()


def columns(table):
    of = np.searchsorted(names, table["modality"])
    size, data = centred(table, "nonzero_params"), centred(table, "data_seen")
    return {"group": of, "sparsity": table["sparsity"].to_numpy(), "size": size, "data": data}


def pooled(name, median):
    if len(names) == 1:
        return pm.LogNormal(name, np.log(median), 0.6, shape=1)
    centre = pm.Normal(f"{name}_centre", np.log(median), 0.6)
    spread = pm.HalfNormal(f"{name}_spread", 0.4)
    return pm.math.exp(centre + spread * pm.Normal(f"{name}_z", shape=len(names)))


with pm.Model() as model:
    x = {name: pm.Data(name, values) for name, values in columns(runs).items()}
    g = x["group"]
    b_N, b_D = pooled("b_N", 0.3), pooled("b_D", 0.3)
    a_S, a_D = (pm.LogNormal(name, np.log(lowest / 4), 1.0, shape=len(names)) for name in ("a_S", "a_D"))
    size = a_S[g]
    if not dense:
        b_S = pooled("b_S", 0.9)
        c_S = pm.LogNormal("c_S", np.log(lowest / 4), 1.0, shape=len(names))
        size = a_S[g] * (1 - x["sparsity"]) ** b_S[g] + c_S[g]
    c = pm.Beta("share", 2, 2, shape=len(names)) * lowest
    sigma = pm.LogNormal("sigma", np.log(0.01), 1.0, shape=len(names))
    mean = size * np.exp(-b_N[g] * x["size"]) + a_D[g] * np.exp(-b_D[g] * x["data"]) + c[g]
    observed = pm.Data("observed", np.log(runs["loss"]))
    pm.StudentT("log_loss", nu=4, mu=np.log(mean), sigma=sigma[g], observed=observed, shape=g.shape)
    trace = pm.sample(1000, chains=4, random_seed=0, target_accept=0.9, nuts_sampler="nutpie", progressbar=False)
    pm.set_data(columns(planned) | {"observed": np.zeros(len(planned))})
    new = pm.sample_posterior_predictive(trace, predictions=True, random_seed=0, progressbar=False)
loss = np.exp(new["predictions"]["log_loss"]).quantile([0.055, 0.5, 0.945], ("chain", "draw"))
pd.DataFrame(loss.to_numpy().T, planned["run_id"], ["0.055", "0.5", "0.945"]).to_csv(sys.stdout)
