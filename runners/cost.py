"""What a run will cost, known before it is trained."""

import functools

from runners.config import RunConfig
from runners.models.flops import FORWARD_BACKWARD
from runners.sparsity.schedules import Schedule

__all__ = ["planned_flops", "units_of_work", "work"]

EXACT = 20_000
"""Steps up to which a schedule is followed step by step; beyond, its ramp is averaged over as many points."""


def planned_flops(config: RunConfig) -> float:
    """Training FLOPs of the blocks, summed over the schedule's density: what the record's ``train_flops`` will be.

    Exact but for the rounding of masks to whole weights, up to `EXACT` steps.
    """
    density = 1 - config.sparsity * _mean_ramp(config.pruning_schedule, config.steps)
    data = config.steps * config.units_per_step
    return FORWARD_BACKWARD * config.shape.block_weights * density * positions(config) * data


@functools.cache
def _mean_ramp(schedule: Schedule, steps: int) -> float:
    """The share of the final sparsity in force, averaged over a run."""
    if steps > EXACT:
        return sum(schedule.ramp(round((i + 0.5) / EXACT * steps), steps) for i in range(EXACT)) / EXACT
    total = in_force = 0.0
    for step in range(steps):
        if schedule.due(step, steps):
            in_force = schedule.ramp(step, steps)
        total += in_force
    return total / steps


def positions(config: RunConfig) -> int:
    """Positions of one unit of data: 1 for a token, the patches of an image."""
    return 1 if config.modality == "language" else (config.image_size // config.patch_size) ** 2


def units_of_work(config: RunConfig) -> float:
    """Units of data that a run goes through, those of held-out losses (a third of the cost) included.

    A run that may end early is counted as if it did not.
    """
    corpora = 1 if config.mixture is None else len(config.mixture)
    heldout = corpora * config.heldout_items * (config.context if config.modality == "language" else 1)
    looks = 1 + ((config.steps - 1) // config.evaluate_every if config.evaluate_every else 0)
    return config.steps * config.units_per_step + looks * heldout / 3


def work(config: RunConfig) -> float:
    """Relative cost of a run as it is trained: masks on dense matrices, so by total and not by non-zero weights."""
    # Matrices, what grows with the width (activations, embeddings, attention), and the rest; weighed as measured on
    # one CPU core.
    per_position = config.shape.block_weights + 2400 * config.shape.width + 50_000
    return units_of_work(config) * positions(config) * per_position
