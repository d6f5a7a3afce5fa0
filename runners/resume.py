"""Checkpoints of runs that are under way: where they lie, what they hold, and how a run goes on from one."""

import contextlib
from typing import Any

import torch
from torch import nn

from bayes_scaling.runs import InputError
from runners import checkpoints
from runners.accounting import Account
from runners.config import RunConfig
from runners.store import Store
from runners.watch import Watch

__all__ = ["CHECKPOINT_SECONDS", "checkpoint_of", "resume", "save"]

CHECKPOINT_SECONDS = 60.0


def checkpoint_of(config: RunConfig) -> str:
    """Name of a run's checkpoint in its store, while it is under way."""
    return f"checkpoints/{config.run_id}.pt"


def save(
    store: Store,
    config: RunConfig,
    facts: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    account: Account,
    watch: Watch,
) -> None:
    """Everything that the next step hangs on: data and masks follow from the step and the model."""
    content = {"run_id": config.run_id, "data": facts, "account": account.state()}
    content |= {"watch": watch.state()} if config.evaluate_every else {}
    states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    # Without room for a checkpoint the run itself goes on: its end may find some.
    with contextlib.suppress(OSError):
        store.folder.write(checkpoint_of(config), checkpoints.encode(content | _copied(states)))


def _copied(content: Any) -> Any:
    """The same with tensors of their own: of a view, torch would write all the memory that it is a view of."""
    if isinstance(content, torch.Tensor):
        return content.clone()
    if isinstance(content, dict):
        return {key: _copied(value) for key, value in content.items()}
    return content


def resume(
    store: Store,
    config: RunConfig,
    facts: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    watch: Watch,
) -> Account:
    """Bring all of them to where they were, and say what the run had done: nothing, without a checkpoint.

    Raises
    ------
    InputError
        The checkpoint cannot be read, or is of a run on other data.
    """
    name = checkpoint_of(config)
    place = f"{store}/{name}"
    try:
        content = store.folder.read(name)
    except FileNotFoundError:
        return Account()
    saved = checkpoints.decode(content, place, device)
    for what in ("tokenizer_sha256", "sha256"):
        if saved["data"].get(what) != facts.get(what):
            kind, own = ("tokenizer", "tokenizer") if "token" in what else ("corpus", "name")
            raise InputError(
                f"the checkpoint {place} was made with another {kind} than this run's ({facts.get(own, '')}); "
                "delete it to train anew"
            )
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    if "watch" in saved:
        watch.load(saved["watch"])
    return Account.of(saved["account"], device)
