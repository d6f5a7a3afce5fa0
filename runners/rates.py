"""Learning rates: how they move over a run, and the peak that suits a model."""

import math
from typing import Protocol

__all__ = ["DECAYS", "RULES", "learning_rate", "tuned_learning_rate"]

DECAYS = ("cosine", "wsd")

RULES = {
    "density": {"language": (0.021, -0.77, -0.17), "vision": (0.0095, -0.77, -0.65)},
    "width": {"language": (0.02, -0.7, 0.0), "vision": (0.02, -0.7, 0.0)},
}
"""Peak rates: at width 32 and density 1, and the powers of width / 32 and of density."""


class Knobs(Protocol):
    """What a schedule goes by; `runners.config.RunConfig` explains each."""

    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float | None: ...
    @property
    def warmup(self) -> float: ...
    @property
    def decay(self) -> str: ...
    @property
    def cooldown(self) -> float: ...
    @property
    def final_learning_rate(self) -> float: ...


def learning_rate(config: Knobs, step: int) -> float:
    """The rate of a step: a linear warm-up, then a decay to the final fraction of the peak.

    Parameters
    ----------
    config : RunConfig
        Peak, warm-up and decay.
    step : int
        Counted from 0.

    Returns
    -------
    float
        ``cosine`` falls from the end of the warm-up on (arXiv:1608.03983); ``wsd``, warm-up, stable, decay, stays at
        the peak and falls linearly in the last `cooldown` of the steps (arXiv:2404.06395, arXiv:2405.18392).
    """
    assert config.learning_rate is not None  # resolved when the configuration was made
    warmup = config.warmup * config.steps
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    if config.decay == "cosine":
        p = (step - warmup) / max(1.0, config.steps - warmup)
        left = 0.5 * (1 + math.cos(math.pi * p))
    else:
        left = min(1.0, (config.steps - step) / max(1.0, config.cooldown * config.steps))
    return config.learning_rate * (config.final_learning_rate + (1 - config.final_learning_rate) * left)


def tuned_learning_rate(rule: str, modality: str, width: int, density: float) -> float:
    """The peak learning rate for a model, from grids of runs (docs/training.md).

    Parameters
    ----------
    rule : str
        ``density`` goes by width and density, for each modality; ``width`` is an earlier one, from dense runs on text.
    modality : str
    width : int
        Of the model.
    density : float
        Of the blocks at the end, 1 - sparsity.

    Returns
    -------
    float
        To two digits.
    """
    scale, by_width, by_density = RULES[rule][modality]
    return float(f"{scale * (width / 32) ** by_width * density**by_density:.2g}")
