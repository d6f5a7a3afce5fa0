"""Checkpoints of runs that are under way: where they lie, what they hold, and how a run goes on from one."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from bayes_scaling.runs import InputError
from runners import checkpoints
from runners.accounting import Account
from runners.config import RunConfig

__all__ = ["CHECKPOINT_SECONDS", "checkpoint_of", "resume", "save"]

CHECKPOINT_SECONDS = 60.0


def checkpoint_of(config: RunConfig, store: Path) -> Path:
    """Where a run's checkpoint lies while it is under way."""
    return Path(store) / "checkpoints" / f"{config.run_id}.pt"


def save(
    path: Path,
    config: RunConfig,
    facts: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    account: Account,
) -> None:
    """Everything that the next step hangs on: data and masks follow from the step and the model."""
    content = {"run_id": config.run_id, "data": facts, "account": account.state()}
    states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    checkpoints.save(path, content | _copied(states))


def _copied(content: Any) -> Any:
    """The same with tensors of their own: of a view, torch would write all the memory that it is a view of."""
    if isinstance(content, torch.Tensor):
        return content.clone()
    if isinstance(content, dict):
        return {key: _copied(value) for key, value in content.items()}
    return content


def resume(
    path: Path, facts: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
) -> Account:
    """Bring model and optimizer to where they were, and say what the run had done.

    Raises
    ------
    InputError
        The checkpoint is of a run on other data.
    """
    saved = checkpoints.load(path, device)
    for what in ("tokenizer_sha256", "sha256"):
        if saved["data"].get(what) != facts.get(what):
            raise InputError(
                f"the checkpoint {path} was made with another {'tokenizer' if 'token' in what else 'corpus'} than this "
                f"run's ({facts.get('tokenizer', '') if 'token' in what else facts['name']}); delete it to train anew"
            )
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return Account.of(saved["account"], device)
