"""All knobs of a run, their defaults, and the checks that come before any training."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass

from bayes_scaling.runs import InputError
from runners.models.transformer import Shape, solve_shape
from runners.sparsity.schedules import CubicSchedule
from runners.sparsity.structures import NofM, parse_structure

__all__ = ["RunConfig", "tuned_learning_rate"]

DEVICES = ("auto", "cpu", "cuda", "mps")
EMBEDDING_RULES = ("sqrt", "none")


def tuned_learning_rate(width: int) -> float:
    """The peak learning rate for a model width, from a grid of dense runs (docs/first-sweep.md)."""
    return float(f"{0.02 * (width / 32) ** -0.7:.2g}")


@dataclass(frozen=True)
class RunConfig:
    """One training run of a decoder-only transformer on bytes.

    Parameters
    ----------
    nonzero_params : int
        Non-zero block weights wanted at the end; the model is as wide as that takes at this sparsity.
    data_seen : int
        Bytes to train on, repeats counted; rounded to whole steps.
    sparsity : float
        Final fraction of zeros among the block weights, in [0, 1).
    structure : str
        ``unstructured`` or a pattern n:m; at sparsity 0 it becomes ``dense``.
    seed : int
        Of the initial weights and of the order of the data.
    corpus : str
        ``stdlib``, or folders separated by commas.
    suffix : str
        Ending of the files read from folders.
    layers, head_size, context : int
        Fixed parts of the architecture; `context` in bytes.
    batch_size : int
        Sequences per step.
    learning_rate : float, optional
        Peak of the schedule; by default the rule tuned for dense models of this width.
    warmup : float
        Fraction of the steps with a linear warm-up; a cosine follows.
    final_learning_rate : float
        Where the cosine ends, as a fraction of the peak.
    weight_decay, beta1, beta2, clip : float
        AdamW's knobs (no decay on norms) and the largest gradient norm.
    prune_start, prune_end : float
        Where in training the cubic schedule starts and ends.
    prune_every : int
        Steps between recomputed masks.
    embedding_sparsity : str
        ``sqrt`` prunes embedding and output layer to 1 - sqrt(1 - sparsity), which leaves them about as many
        non-zeros as the dense model of the same N has; ``none`` leaves them dense.
    heldout_windows : int
        Held-out windows that the loss is the mean over, the same for all runs; 0 means all.
    device : str
        ``auto`` takes CUDA, then MPS, then the CPU.
    threads : int
        CPU threads of this run.
    """

    nonzero_params: int = 6144
    data_seen: int = 2**20
    sparsity: float = 0.0
    structure: str = "unstructured"
    seed: int = 0
    corpus: str = "stdlib"
    suffix: str = ".py"
    layers: int = 2
    head_size: int = 8
    context: int = 64
    batch_size: int = 16
    learning_rate: float | None = None
    warmup: float = 0.1
    final_learning_rate: float = 0.1
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.98
    clip: float = 1.0
    prune_start: float = 0.25
    prune_end: float = 0.75
    prune_every: int = 10
    embedding_sparsity: str = "sqrt"
    heldout_windows: int = 8192
    device: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        whole = ("nonzero_params", "data_seen", "layers", "context", "batch_size", "prune_every", "threads")
        for name, least in {**dict.fromkeys(whole, 1), "seed": 0, "heldout_windows": 0}.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"{name} is {value!r}; a whole number of at least {least} is needed")
        if not 0 <= self.sparsity < 1:
            raise InputError(f"sparsity is {self.sparsity!r}; a fraction in [0, 1) is needed")
        for name, value, allowed in (
            ("device", self.device, DEVICES),
            ("embedding_sparsity", self.embedding_sparsity, EMBEDDING_RULES),
        ):
            if value not in allowed:
                raise InputError(f"{name} is {value!r}; allowed are {', '.join(map(repr, allowed))}")
        self._check_structure()
        if self.learning_rate is None:  # resolved here, so that the hash of the configuration tells the rate in use
            object.__setattr__(self, "learning_rate", tuned_learning_rate(self.shape.width))
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)!r}; a number above 0 is needed")
        for name in ("warmup", "final_learning_rate", "weight_decay", "beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)!r}; a number in [0, 1) is needed")
        _ = self.schedule, self.shape  # both check themselves

    def _check_structure(self) -> None:
        if self.structure == "dense":
            if self.sparsity != 0:
                raise InputError(f"structure 'dense' goes with sparsity 0, found sparsity {self.sparsity}")
            return
        structure = parse_structure(self.structure)
        if self.sparsity == 0:
            object.__setattr__(self, "structure", "dense")
        elif isinstance(structure, NofM) and abs(structure.sparsity - self.sparsity) > 1e-9:
            raise InputError(
                f"structure {self.structure} means sparsity {structure.sparsity:g}, found sparsity {self.sparsity:g}"
            )

    @property
    def shape(self) -> Shape:
        """The architecture that hits `nonzero_params`."""
        group = 4
        if self.structure != "dense" and isinstance(pattern := parse_structure(self.structure), NofM):
            group = math.lcm(4, pattern.m)
        return solve_shape(self.nonzero_params, self.sparsity, self.layers, self.head_size, group)

    @property
    def schedule(self) -> CubicSchedule:
        """When weights go."""
        return CubicSchedule(self.prune_start, self.prune_end)

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return max(1, round(self.data_seen / (self.batch_size * self.context)))

    @property
    def run_id(self) -> str:
        """Short name for people, and a hash of the whole configuration."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:8]
        return f"n{self.nonzero_params}-d{self.data_seen}-{self.structure}-s{self.sparsity:g}-{self.seed}-{digest}"
