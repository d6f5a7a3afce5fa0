"""The same with SciPy, as the public code of arXiv:2309.08520 fits its law, and a bootstrap of the runs for intervals.

The paper gives no intervals; the bootstrap repeats all of its 25 starts, 60 times.
"""

import sys

import numpy as np
import pandas as pd
from scipy.optimize import minimize

runs, planned = (pd.read_csv(path) for path in sys.argv[1:])
UNITS = {"language": (1e6, 1e5 * 65_536), "vision": (1e6, 1e9)}
DELTA = {"language": 0.001, "vision": 0.01}


def law(x, table, units):
    a_S, b_S, c_S, b_N, a_D, b_D, c = x
    size, data = table["nonzero_params"] / units[0], table["data_seen"] / units[1]
    return (a_S * (1 - table["sparsity"]) ** b_S + c_S) * size**-b_N + (a_D / data) ** b_D + c


def fit(table, name, seed):
    observed = table["loss"]

    def objective(x):
        mean = law(x, table, UNITS[name])
        off = np.abs(np.log(mean) - np.log(observed) if name == "language" else mean - observed)
        near = np.minimum(off, DELTA[name])
        return (near * (off - near / 2)).mean()

    rng = np.random.RandomState(seed)
    found = [minimize(objective, rng.uniform(size=7)) for _ in range(25)]
    return min((each for each in found if each.success and np.isfinite(each.fun)), key=lambda each: each.fun).x


np.seterr(all="ignore")
parts = []
for name, mine in runs.groupby("modality"):
    new, rng = planned[planned["modality"] == name], np.random.default_rng(0)
    best = fit(mine, name, seed=1)
    residual = np.log(mine["loss"] / law(best, mine, UNITS[name])) * np.sqrt(len(mine) / (len(mine) - 7))
    drawn = []
    for i in range(60):
        again = fit(mine.sample(frac=1, replace=True, random_state=i), name, seed=1)
        noise = rng.choice(residual, (20, len(new)))
        drawn.append(law(again, new, UNITS[name]).to_numpy() * np.exp(noise))
    quantiles = np.nanquantile(np.concatenate(drawn), [0.055, 0.5, 0.945], axis=0).T
    parts.append(pd.DataFrame(quantiles, new["run_id"], ["0.055", "0.5", "0.945"]))
pd.concat(parts).to_csv(sys.stdout)
