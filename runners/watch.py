"""Held-out losses along a run: where it was best, when it reached a target, and whether it may end."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from runners.accounting import Account
from runners.config import RunConfig
from runners.evaluate import Heldout

__all__ = ["Best", "Watch"]


@dataclass(frozen=True)
class Best:
    """Where a run was best.

    Attributes
    ----------
    step : int
        Steps done then.
    flops : dict of str to int
        As `Account` had them.
    heldout : Heldout
        The loss.
    model : dict of str to torch.Tensor
        The model's state, on its device.
    """

    step: int
    flops: dict[str, int]
    heldout: Heldout
    model: dict[str, torch.Tensor] = field(repr=False)


class Watch:
    """What held-out losses along a run lead to; it is part of the run's checkpoints.

    Losses count once a run is as sparse as it is to be: before, it is another model that is better or reaches a target.

    Parameters
    ----------
    config : RunConfig
        Its `evaluate_every`, `patience` and `target_loss`, and when its masks are final.

    Attributes
    ----------
    best : Best or None
        Where `patience` asks for it.
    without : int
        Held-out losses since the best one.
    steps_to_target : int or None
        Steps after which the target was found reached; None as long as it was not.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.best: Best | None = None
        self.without = 0
        self.steps_to_target: int | None = None

    def due(self, step: int) -> bool:
        """Whether the held-out loss is wanted after so many steps; at the end it is in any case."""
        every = self.config.evaluate_every
        return every > 0 and step % every == 0 and step < self.config.steps

    def see(self, account: Account, heldout: Heldout, model: nn.Module) -> bool:
        """Take note of a held-out loss.

        Parameters
        ----------
        account : Account
            Of the run so far; the loss goes to the last point of its curve.
        heldout : Heldout
        model : torch.nn.Module
            Its state is copied where it is the best so far.

        Returns
        -------
        bool
            Whether the run has come to its end.
        """
        account.curve[-1]["heldout_loss"] = heldout.loss
        if not self._final(account.step):
            return False
        config = self.config
        if config.target_loss is not None and heldout.loss <= config.target_loss:
            self.steps_to_target = account.step
        if config.patience:
            if self.best is None or heldout.loss < self.best.heldout.loss:
                state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
                self.best, self.without = Best(account.step, dict(account.flops), heldout, state), 0
            else:
                self.without += 1
        return self.steps_to_target is not None or 0 < config.patience <= self.without

    def settle(self, model: nn.Module, heldout: Heldout) -> Heldout:
        """At the end of a run: give the model back the weights that it was best with, and return their loss.

        Parameters
        ----------
        model : torch.nn.Module
        heldout : Heldout
            The last loss, which it is where `patience` is off, and for a run that diverged.
        """
        if self.best is None or not math.isfinite(heldout.loss):
            self.best = None
            return heldout
        model.load_state_dict(self.best.model)
        return self.best.heldout

    def columns(self, account: Account) -> dict[str, Any]:
        """Columns of the run table, of a run that might end early: its steps, to the best, to the target and in all."""
        columns: dict[str, Any] = {}
        if self.config.patience:
            columns |= {"best_step": None if self.best is None else self.best.step}
        if self.config.target_loss is not None:
            columns |= {"target_loss": self.config.target_loss, "steps_to_target": self.steps_to_target}
        return columns | {"steps_trained": account.step} if columns else {}

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        best = None if self.best is None else vars(self.best) | {"heldout": vars(self.best.heldout)}
        return {"best": best, "without": self.without, "steps_to_target": self.steps_to_target}

    def load(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.without, self.steps_to_target = state["without"], state["steps_to_target"]
        if state["best"] is not None:
            self.best = Best(**state["best"] | {"heldout": Heldout(**state["best"]["heldout"])})

    def _final(self, step: int) -> bool:
        """Whether the run was as sparse as it is to be when it took the last of so many steps."""
        return self.config.sparsity == 0 or self.config.pruning_schedule.ramp(step - 1, self.config.steps) >= 1
