"""Bayesian scaling laws of sparse neural networks: from training runs to an optimal sparsity and how sure it is.

Importing this package imports neither PyMC nor ArviZ nor matplotlib; what needs them imports them when it is called.
"""

import time

STARTED = time.perf_counter()
"""When this process began to import the package, for `fit --json`."""

from bayes_scaling import curve, datasets, laws
from bayes_scaling.curves import load_curves
from bayes_scaling.decide import costs
from bayes_scaling.decide.allocate import allocate
from bayes_scaling.decide.next import targets
from bayes_scaling.decide.next.next_runs import next_runs
from bayes_scaling.decide.optimum import optimal_sparsity
from bayes_scaling.decide.reach import reach
from bayes_scaling.decide.recommend import recommend
from bayes_scaling.decide.sparsity_map import optimal_map
from bayes_scaling.decide.thresholds import budget_for, dense_optimal_flops
from bayes_scaling.errors import InputError
from bayes_scaling.fit import fit, update
from bayes_scaling.imports.import_runs import import_runs
from bayes_scaling.plots import (
    plot_choices,
    plot_coverage,
    plot_dense_equivalent,
    plot_exponents,
    plot_isoflops,
    plot_learning_curves,
    plot_losses,
    plot_measured,
    plot_next_runs,
    plot_optimal_map,
    plot_optimal_sparsity,
    plot_prior_posterior,
    plot_prior_predictive,
    plot_residuals,
    plot_shrinkage,
)
from bayes_scaling.point_fit import point_fit
from bayes_scaling.predict import dense_equivalent, predict
from bayes_scaling.report.page import report
from bayes_scaling.runs import grid, load_runs, save_runs
from bayes_scaling.store import load, save
from bayes_scaling.studies import batch, effects, mixture, rectified, solvable, transfer
from bayes_scaling.studies.finetuning_plots import plot_effects, plot_rectified, plot_transfer
from bayes_scaling.studies.plots import plot_descent, plot_mixture, plot_steps
from bayes_scaling.summary import summary
from bayes_scaling.validate.compare import compare
from bayes_scaling.validate.holdout import holdout, kfold
from bayes_scaling.validate.sbc import sbc

__all__ = [
    "InputError",
    "allocate",
    "batch",
    "budget_for",
    "compare",
    "costs",
    "curve",
    "datasets",
    "dense_equivalent",
    "dense_optimal_flops",
    "effects",
    "fit",
    "grid",
    "holdout",
    "import_runs",
    "kfold",
    "laws",
    "load",
    "load_curves",
    "load_runs",
    "mixture",
    "next_runs",
    "optimal_map",
    "optimal_sparsity",
    "plot_choices",
    "plot_coverage",
    "plot_dense_equivalent",
    "plot_descent",
    "plot_effects",
    "plot_exponents",
    "plot_isoflops",
    "plot_learning_curves",
    "plot_losses",
    "plot_measured",
    "plot_mixture",
    "plot_next_runs",
    "plot_optimal_map",
    "plot_optimal_sparsity",
    "plot_prior_posterior",
    "plot_prior_predictive",
    "plot_rectified",
    "plot_residuals",
    "plot_shrinkage",
    "plot_steps",
    "plot_transfer",
    "point_fit",
    "predict",
    "reach",
    "recommend",
    "rectified",
    "report",
    "save",
    "save_runs",
    "sbc",
    "solvable",
    "summary",
    "targets",
    "transfer",
    "update",
]
