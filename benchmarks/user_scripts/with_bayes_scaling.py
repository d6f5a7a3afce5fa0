"""Runs in, intervals of planned runs out, with this package: python with_bayes_scaling.py RUNS.csv PLANNED.csv."""

import sys

import bayes_scaling as bs

posterior = bs.fit(sys.argv[1], seed=0, progressbar=False)
losses = bs.predict(posterior, sys.argv[2], "new-run")
found = losses.quantile([0.055, 0.5, 0.945], ("chain", "draw")).transpose("run", "quantile")
found.to_pandas().to_csv(sys.stdout)
