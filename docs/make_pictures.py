"""Draws the pictures of README and docs: python docs/make_pictures.py (needs the data set frantar2023)."""

from pathlib import Path

import matplotlib as mpl

import bayes_scaling as bs
from bayes_scaling.demo import question

mpl.use("Agg")
HERE = Path(__file__).parent

paper = bs.fit(bs.datasets.load("frantar2023"), "sparse", seed=0)
bs.plot_prior_predictive(paper).savefig(HERE / "prior_predictive.png", dpi=90)

runs = bs.datasets.load("python-stdlib")
shipped = bs.fit(runs, "sparse", seed=0)
bs.plot_optimal_sparsity(shipped, question(runs)[0]).savefig(HERE / "optimal_sparsity.png", dpi=90)
