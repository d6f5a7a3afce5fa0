"""Pictures of laws, decisions and checks, one family a file; ArviZ draws the rest."""

from bayes_scaling.plots.choices import plot_choices
from bayes_scaling.plots.coverage import plot_coverage
from bayes_scaling.plots.design_plane import plot_next_runs
from bayes_scaling.plots.exponents import plot_exponents, plot_shrinkage
from bayes_scaling.plots.isoflops import plot_isoflops
from bayes_scaling.plots.learning_curves import plot_learning_curves
from bayes_scaling.plots.losses import plot_losses
from bayes_scaling.plots.measured import plot_measured
from bayes_scaling.plots.multiplier import plot_dense_equivalent
from bayes_scaling.plots.priors import plot_prior_posterior, plot_prior_predictive
from bayes_scaling.plots.residuals import plot_residuals
from bayes_scaling.plots.sparsity import plot_optimal_sparsity
from bayes_scaling.plots.sparsity_map import plot_optimal_map

__all__ = [
    "plot_choices",
    "plot_coverage",
    "plot_dense_equivalent",
    "plot_exponents",
    "plot_isoflops",
    "plot_learning_curves",
    "plot_losses",
    "plot_measured",
    "plot_next_runs",
    "plot_optimal_map",
    "plot_optimal_sparsity",
    "plot_prior_posterior",
    "plot_prior_predictive",
    "plot_residuals",
    "plot_shrinkage",
]
