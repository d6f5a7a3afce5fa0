"""How long runs will take here: a few steps of some of them are timed, and the others interpolated."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from runners.config import RunConfig
from runners.cost import units_of_work
from runners.train import run

__all__ = ["Estimate", "estimate"]

STEPS = 12
"""Timed steps of a run."""

SHAPES = 3
"""Sizes that are timed of each kind of run."""


@dataclass(frozen=True)
class Estimate:
    """Seconds of training by run.

    Attributes
    ----------
    seconds : dict of str to float
        By run id, for one run at a time on this machine.
    timed : int
        Runs of which some steps were timed.
    took : float
        Seconds that the timing itself took.
    """

    seconds: dict[str, float]
    timed: int
    took: float


def estimate(configs: Sequence[RunConfig]) -> Estimate:
    """Time the smallest, the middle and the largest shape of each kind of run for some steps.

    Parameters
    ----------
    configs : sequence of RunConfig
        Runs to be trained, with data that is there.

    Returns
    -------
    Estimate
        Between the timed sizes by a power law of the number of block weights; nothing is taken off for ensembles, nor
        added for processes that get in each other's way.

    Raises
    ------
    InputError
        A run does not go with this machine or its data.
    """
    began = time.perf_counter()
    kinds: dict[object, list[RunConfig]] = {}
    for config in configs:
        kinds.setdefault(_kind(config), []).append(config)
    seconds: dict[str, float] = {}
    timed = 0
    for members in kinds.values():
        by_size = {config.shape.block_weights: config for config in members}
        sizes = sorted(by_size)
        chosen = sorted({sizes[round(i * (len(sizes) - 1) / (SHAPES - 1))] for i in range(SHAPES)})
        paces = [_seconds_per_unit(by_size[size]) for size in chosen]
        timed += len(chosen)
        for config in members:
            pace = np.exp(np.interp(np.log(config.shape.block_weights), np.log(chosen), np.log(paces)))
            seconds[config.run_id] = float(pace) * units_of_work(config)
    return Estimate(seconds, timed, time.perf_counter() - began)


def _kind(config: RunConfig) -> object:
    """What runs have in common whose pace differs by size alone."""
    knobs = ("modality", "model", "layers", "context", "image_size", "patch_size", "corpus", "batch_size", "activation")
    corpora = [corpus for corpus, _ in config.mixture or ()]
    return *corpora, *(getattr(config, name) for name in (*knobs, "device", "precision", "compiled", "threads"))


def _seconds_per_unit(config: RunConfig) -> float:
    """Seconds of training per token or example, of a short dense run of the same shape: the first try warms up."""
    short = replace(
        config,
        nonzero_params=config.shape.block_weights,
        sparsity=0.0,
        structure="dense",
        pretrained=None,
        learning_rate=None,
        heldout_items=config.batch_size,
        evaluate_every=0,
        patience=0,
        target_loss=None,
        data_seen=STEPS * config.units_per_step,
    )
    run(replace(short, data_seen=2 * config.units_per_step))
    row = run(short)["run"]
    return float(row["wall_seconds"] / row["data_seen"])
