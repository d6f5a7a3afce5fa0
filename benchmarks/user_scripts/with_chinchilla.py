"""The same with kyo-takano's chinchilla: dense runs of one group, a point estimate.

Starts are the corners of its README's grid; all of that, five values of each, would be a hundred times as many.
"""

import sys
import tempfile

import numpy as np
import pandas as pd
from chinchilla import Chinchilla
from chinchilla._metrics import log_huber

runs, planned = (pd.read_csv(path) for path in sys.argv[1:])
starts = {
    "E": np.linspace(1, 2, 2),
    "a": np.linspace(1, 10, 2),
    "b": np.linspace(1, 10, 2),
    "alpha": np.linspace(0.1, 0.7, 2),
    "beta": np.linspace(0.1, 0.7, 2),
}
fitter = Chinchilla(tempfile.mkdtemp(), starts, loss_fn=log_huber, log_level=40)
for run in runs.itertuples():
    fitter.database.append(N=run.nonzero_params, D=run.data_seen, loss=run.loss)
fitter.fit()
loss = fitter.predict_loss(planned["nonzero_params"].to_numpy(), planned["data_seen"].to_numpy()).astype(float)
pd.DataFrame({"0.055": loss, "0.5": loss, "0.945": loss}, planned["run_id"]).to_csv(sys.stdout)
