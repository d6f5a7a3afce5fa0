"""The same with SciPy, as the public code of arXiv:2309.08520 fits its law, and a bootstrap of the runs for intervals.

The paper gives no intervals; the bootstrap repeats all of its 25 starts, 30 times.
"""

import sys

import numpy as np
import pandas as pd
from scipy.optimize import minimize

UNITS = {"language": (1e6, 1e5 * 65_536), "vision": (1e6, 1e9)}
DELTA = {"language": 0.001, "vision": 0.01}
STARTS, REFITS = 25, 30


def law(x, S, N, D):
    a_S, b_S, c_S, b_N, a_D, b_D, c = x
    return (a_S * (1 - S) ** b_S + c_S) * N**-b_N + (a_D / D) ** b_D + c


def columns(table, name):
    units = (1, *UNITS[name])
    names = ("sparsity", "nonzero_params", "data_seen")
    return [table[column].to_numpy() / unit for column, unit in zip(names, units, strict=True)]


def fit(table, name):
    at, observed = columns(table, name), table["loss"].to_numpy()

    def objective(x):
        mean = law(x, *at)
        off = np.abs(np.log(mean) - np.log(observed) if name == "language" else mean - observed)
        near = np.minimum(off, DELTA[name])
        return (near * (off - near / 2)).mean()

    rng = np.random.RandomState(1)
    found = [minimize(objective, rng.uniform(size=7)) for _ in range(STARTS)]
    return min((each for each in found if each.success and np.isfinite(each.fun)), key=lambda each: each.fun).x


np.seterr(all="ignore")
runs, planned = (pd.read_csv(path) for path in sys.argv[1:])
parts = []
for name, mine in runs.groupby("modality"):
    new, rng = planned[planned["modality"] == name], np.random.default_rng(0)
    residual = np.log(mine["loss"] / law(fit(mine, name), *columns(mine, name))) * np.sqrt(len(mine) / (len(mine) - 7))
    drawn = []
    for i in range(REFITS):
        again = fit(mine.sample(frac=1, replace=True, random_state=i), name)
        drawn.append(law(again, *columns(new, name)) * np.exp(rng.choice(residual, (40, len(new)))))
    quantiles = np.nanquantile(np.concatenate(drawn), [0.055, 0.5, 0.945], axis=0).T
    parts.append(pd.DataFrame(quantiles, new["run_id"], ["0.055", "0.5", "0.945"]))
pd.concat(parts).to_csv(sys.stdout)
