"""A batch of runs, one after the other: each pick is the best one given those before it."""

from dataclasses import dataclass

import numpy as np

from bayes_scaling.decide.next.variance import State

__all__ = ["Pick", "best_batch"]

ROUNDING = 1e-9
"""A budget may be spent to the last FLOP."""


@dataclass(frozen=True)
class Pick:
    """One run of a batch.

    Attributes
    ----------
    candidate : int
        Which one.
    before, after : float
        What is left of the target's variance, or regret, expected without and with this run.
    """

    candidate: int
    before: float
    after: float


def best_batch(
    state: State, flops: np.ndarray, room: np.ndarray, budget: float, count: int | None
) -> tuple[list[Pick], str]:
    """The better one of two greedy batches: by what a run brings per FLOP, and by what it brings.

    Runs that bring most per FLOP are cheap, so alone they would leave a budget for few runs, or for one large one,
    badly spent; the better one of the two never is (Leskovec et al., "Cost-effective outbreak detection in networks",
    KDD 2007).

    Parameters
    ----------
    state : State
    flops : ndarray, shape (run,)
    room : ndarray of int, shape (run,)
        How often each candidate may be picked.
    budget : float
        In FLOPs.
    count : int or None
        Most runs in the batch.

    Returns
    -------
    picks : list of Pick
    rule : str
        ``gain per FLOP`` or ``gain``.
    """
    found = {
        "gain per FLOP": greedy(state, flops, room, budget, count, per_flop=True),
        "gain": greedy(state, flops, room, budget, count, per_flop=False),
    }

    def worth(rule: str) -> tuple[float, float]:
        picks = found[rule]
        return picks[-1].after if picks else state.left, float(flops[[p.candidate for p in picks]].sum())

    rule = min(found, key=worth)
    return found[rule], rule


def greedy(
    state: State, flops: np.ndarray, room: np.ndarray, budget: float, count: int | None, *, per_flop: bool
) -> list[Pick]:
    """Pick after pick, until the budget, the candidates or what they bring are at an end."""
    picks: list[Pick] = []
    room, left = room.copy(), budget * (1 + ROUNDING)
    while count is None or len(picks) < count:
        allowed = (room > 0) & (flops <= left)
        if not allowed.any():
            break
        gains = np.where(allowed, state.gains, 0.0)
        if not (gains > 0).any():
            break
        i = int(np.argmax(gains / flops if per_flop else gains))
        after = state.take(i)
        picks.append(Pick(i, state.left, after.left))
        state, left = after, left - flops[i]
        room[i] -= 1
    return picks
