"""Curvature of a model's log density where populations have one spread each: all groups at a time.

A group's coordinates touch the runs of that group alone. Groups meet in the priors of pooled quantities only, and at
one spread these are normal, so that part of the Hessian is known. What is left is a block for each modality, and one
step moves a coordinate of every modality at once: a hundred modalities cost what one does.
"""

import numpy as np

from bayes_scaling.compiled import Compiled, Density
from bayes_scaling.curvature import STEP
from bayes_scaling.design import Design
from bayes_scaling.laws.base import Law, Pooled, latent_name

__all__ = ["hessian_by_groups", "owners"]


def hessian_by_groups(density: Density, law: Law, design: Design, point: np.ndarray) -> np.ndarray:
    """The Hessian of a log density at a point, from differences of its gradient.

    Parameters
    ----------
    density : Density
        In the model's own coordinates, with every population at one spread (see `inputs`).
    law : Law
    design : Design
    point : ndarray, shape (dim,)

    Returns
    -------
    ndarray, shape (dim, dim)
    """
    owner = owners(density.code, design)
    alike = owner[:, None] == owner
    turn = np.tril(alike, -1).sum(axis=1)  # of each coordinate among those of its modality
    moved = (turn == np.arange(turn.max() + 1)[:, None]).astype(float)
    steps = STEP * moved
    sums = np.array([(density(point + s)[1] - density(point - s)[1]) / (2 * STEP) for s in steps])
    ahead, behind = density.variables(point + steps), density.variables(point - steps)
    between = np.zeros_like(alike, dtype=float)
    for name, prior in design.active(law).items():
        if not isinstance(prior, Pooled):
            continue
        latent = latent_name(name, prior)
        of_group = np.arange(len(design.modality)) if prior.over == ("modality",) else design.cells[:, 0]
        slopes = (ahead[latent] - behind[latent]).T / (2 * STEP)
        axes, precision = density.data[f"{latent}_axes"], density.data[f"{latent}_precision"]
        along = axes[0] @ (slopes[:, turn] * (of_group[:, None] == owner))
        between -= (along.T * precision[0, 0]) @ along
    between[alike] = 0.0
    within = (sums - moved @ between).T[:, turn]
    hessian = np.where(alike, within, between)
    return (hessian + hessian.T) / 2


def owners(code: Compiled, design: Design) -> np.ndarray:
    """The modality that each of a model's coordinates belongs to, shape (dim,)."""
    found = []
    for shape in code.shapes:
        rows = np.arange(len(design.modality)) if shape[0] == len(design.modality) else design.cells[:, 0]
        # Variables with a second dimension are shares, which add up to one.
        found.append(np.repeat(rows, shape[1] - 1 if len(shape) > 1 else 1))
    return np.concatenate(found)
