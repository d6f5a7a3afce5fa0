"""What a model reads beside its parameters: every array that depends on the runs, by name."""

from collections.abc import Mapping

import numpy as np

from bayes_scaling.design import Design
from bayes_scaling.laws.base import Law, Pooled, latent_name

__all__ = ["inputs"]


def inputs(
    law: Law, design: Design, *, average_spread: Mapping[str, np.ndarray | None] | None = None
) -> dict[str, np.ndarray]:
    """The data of a law's model.

    Parameters
    ----------
    law : Law
    design : Design
    average_spread : dict of ndarray, optional
        Weights of the grid of spreads, by quantity; all alike where there are none. Populations then have their average
        spread instead of the grid. With the grid, the density has a spike where all groups are equal, which holds
        little of the posterior but is its mode.

    Returns
    -------
    dict of ndarray
        Columns of the runs (``sparsity``, …, ``log_loss``), how runs, cells and modalities belong together, rough sizes
        of the losses, which end shares are broken off from; means of the pooled quantities, the axes on which their
        groups are independent, and precisions along them.
    """
    data = {name: values for name, values in design.runs.items() if design.pretrained or name != "pretrain_data"}
    data |= {
        "cell_of_run": design.cell_of_run,
        "modality_of_cell": design.cells[:, 0],
        "rough_log_loss": design.rough_log_loss,
        "last_first": design.wider_in_data,
    }
    for name, prior in design.active(law).items():
        if not isinstance(prior, Pooled):
            continue
        population, groups = design.population(prior)
        if average_spread is not None:
            population = population.at_average(average_spread.get(name))
        latent = latent_name(name, prior)
        data[f"{latent}_mean"] = np.full(len(groups), population.mean)
        for part, values in zip(("axes", "precision", "log_det"), population.axes(groups), strict=True):
            data[f"{latent}_{part}"] = values
    return data
