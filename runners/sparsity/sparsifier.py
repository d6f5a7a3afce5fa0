"""All masks of a model, moved along a schedule."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.optim import Optimizer

from bayes_scaling.runs import InputError
from runners.sparsity.distributions import Distribution, Uniform
from runners.sparsity.distributions.base import count_kept
from runners.sparsity.masks import MaskedWeight
from runners.sparsity.methods import Magnitude, Method
from runners.sparsity.schedules import Schedule
from runners.sparsity.structures import TOLERANCE, Structure, Unstructured

__all__ = ["Group", "Sparsifier", "embedding_sparsity"]


@dataclass(frozen=True)
class Group:
    """Weights that share a sparsity.

    Parameters
    ----------
    weights : sequence of MaskedWeight
        The tensors; may be empty.
    sparsity : float
        Final fraction of zeros among them, in [0, 1).
    structure : Structure
        Which of their weights can be removed together.
    distribution : Distribution
        How the weights that stay are shared out among the tensors.

    Raises
    ------
    InputError
        If the sparsity is no fraction or not one that the structure can have, a tensor does not fit the structure, or
        the structure and the distribution do not go together.
    """

    weights: Sequence[MaskedWeight]
    sparsity: float
    structure: Structure = field(default_factory=Unstructured)
    distribution: Distribution = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise InputError(f"sparsity is {self.sparsity!r}; a fraction in [0, 1) is needed")
        fixed = self.structure.fixed_sparsity
        if fixed is not None:
            self._check_fixed(fixed)
            object.__setattr__(self, "sparsity", fixed)  # a rounded one would miss the pattern by some weights
        for weight in self.weights:
            self.structure.check(weight.dense.shape, weight.name)
        self._check_reachable()

    def _check_fixed(self, fixed: float) -> None:
        if not self.distribution.even:
            raise InputError(
                f"structure {self.structure.name} fixes the sparsity of every tensor at {fixed:g}, and distribution "
                f"{self.distribution.name!r} gives each a sparsity of its own; distribution 'uniform' is needed"
            )
        if abs(fixed - self.sparsity) > TOLERANCE:
            raise InputError(
                f"structure {self.structure.name} means sparsity {fixed:g}, found sparsity {self.sparsity:g}"
            )

    @torch.no_grad()
    def _check_reachable(self) -> None:
        magnitudes = [self.structure.rank(weight.dense.abs()) for weight in self.weights]
        total = sum(magnitude.numel() for magnitude in magnitudes)
        kept = [self.structure.reachable(k) for k in self.distribution.kept(magnitudes, self.sparsity)] if total else []
        if abs(sum(kept) - count_kept(total, self.sparsity)) > TOLERANCE * total:
            raise InputError(
                f"sparsity {self.sparsity:g} is out of reach of structure {self.structure.name}, distribution "
                f"{self.distribution.name!r}, in {', '.join(weight.name for weight in self.weights[:3])}"
                f"{' …' if len(kept) > 3 else ''}; the nearest there is {1 - sum(kept) / total:.4g}"
            )


class Sparsifier:
    """Recomputes the masks of all groups whenever the schedule says so, and lets the method act where it wants to.

    Training calls `start` once, `before` every step, `after_backward` once its gradients are there, and `finish` at the
    end. Methods that work in ensembles need the first two only.

    It holds no state: what it did is in the model's masks and in the optimizer's state, and what comes next follows
    from the step. A run that goes on from a saved model, optimizer and step is the run that was never stopped.

    Parameters
    ----------
    groups : sequence of Group
        Everything under pruning; empty for a dense run.
    schedule : Schedule
        When.
    steps : int
        Optimizer steps of the run.
    method : Method
        Which weights are worth keeping.
    """

    def __init__(self, groups: Sequence[Group], schedule: Schedule, steps: int, method: Method | None = None) -> None:
        self.groups = [group for group in groups if group.weights]
        self.schedule, self.steps, self.method = schedule, steps, method or Magnitude()

    @property
    def weights(self) -> list[MaskedWeight]:
        """Everything that has a mask."""
        return [weight for group in self.groups for weight in group.weights]

    def start(self, losses: Iterator[Tensor]) -> None:
        """Before the first step of a run that starts: let the method look at the data (`Method.look`)."""
        if self.groups:
            self.method.look(self.weights, losses)

    @torch.no_grad()
    def before(self, step: int, optimizer: Optimizer) -> bool:
        """Bring the masks to where they are to be in step `step` (from 0).

        Returns
        -------
        bool
            Whether the number of weights in use may have changed: whether masks were due by the schedule.
        """
        due = bool(self.groups) and self.schedule.due(step, self.steps)
        for group in self.groups:
            if due:
                self._move(group, self.schedule.ramp(step, self.steps) * group.sparsity, optimizer)
            elif self.method.every_step:
                self._follow(group, optimizer)
            for weight in group.weights:
                self.method.before_step(weight, step, self.steps, optimizer)
        return due

    @torch.no_grad()
    def after_backward(self, step: int, optimizer: Optimizer) -> None:
        """Let the method act on the gradients of a step, before they are clipped."""
        for weight in self.weights:
            self.method.after_backward(weight, step, self.steps, optimizer)

    @torch.no_grad()
    def finish(self) -> None:
        """After the last step: what is stored becomes what the model computes with."""
        for weight in self.weights:
            self.method.finish(weight)

    def _move(self, group: Group, sparsity: float, optimizer: Optimizer) -> None:
        # Scores take the memory of the weights, and of all of them where weights are sharded: they are there together
        # only where tensors compete.
        if group.distribution.by_score:
            scores = [self.method.score(weight) for weight in group.weights]
            counts = group.distribution.kept([group.structure.rank(score) for score in scores], sparsity)
        else:
            scores, counts = [], group.distribution.kept([weight.mask for weight in group.weights], sparsity)
        for i, (weight, kept) in enumerate(zip(group.weights, counts, strict=True)):
            score = scores[i] if scores else self.method.score(weight)
            weight.mask.copy_(group.structure.keep(score, kept))
            self.method.settle(weight, optimizer)

    def _follow(self, group: Group, optimizer: Optimizer) -> None:
        """Masks of the scores as they are now, with as many weights in each tensor as before."""
        counts = torch.stack([weight.mask.count_nonzero() for weight in group.weights]).tolist()
        for weight, kept in zip(group.weights, counts, strict=True):
            weight.mask.copy_(group.structure.keep(self.method.score(weight), kept))
            self.method.settle(weight, optimizer)


def embedding_sparsity(sparsity: float) -> float:
    """The sparsity of embedding and output layer beside blocks at `sparsity`: 1 - sqrt(1 - sparsity).

    A sparse model of N non-zero block weights is wider than the dense one by 1 / sqrt(1 - sparsity), and so are its
    embeddings: this leaves them as many non-zeros as the dense model has.

    References
    ----------
    Frantar et al., arXiv:2309.08520.
    """
    return 1 - math.sqrt(1 - sparsity)
