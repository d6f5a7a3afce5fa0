"""Checkpoints of runs that are under way: where they lie, what they hold, and how a run goes on from one."""

import contextlib
from typing import Any

import torch
from torch import nn

from bayes_scaling.runs import InputError
from runners import checkpoints
from runners.accounting import Account
from runners.config import RunConfig
from runners.parallel import ONE, Ranks
from runners.shards import part_of
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
    ranks: Ranks = ONE,
) -> None:
    """Everything that the next step hangs on: data and masks follow from the step and the model.

    Parameters
    ----------
    store, config, facts, model, optimizer, account, watch
        The run.
    ranks : Ranks
        The processes that train it; the first of them writes, and the others wait. What is written does not hang on
        how many there are.
    """
    content = {"run_id": config.run_id, "data": facts, "account": account.state()}
    content |= {"watch": watch.state()} if config.evaluate_every else {}
    content = checkpoints.copied(content | {"model": model.state_dict(), "optimizer": optimizer.state_dict()}, ranks)

    def write() -> None:
        # Without room for a checkpoint the run itself goes on: its end may find some.
        with contextlib.suppress(OSError):
            store.folder.write(checkpoint_of(config), checkpoints.encode(content))

    ranks.by_first(write)


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
    model.load_state_dict(_of_model(saved["model"], model))
    optimizer.load_state_dict(_of_optimizer(saved["optimizer"], optimizer))
    if "watch" in saved:
        watch.load(saved["watch"])
        if watch.best is not None:
            watch.best.model.update(_of_model(watch.best.model, model))
    return Account.of(saved["account"], device)


def _of_model(state: dict[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """What this process keeps of a model's state."""
    own = model.state_dict()
    return {name: part_of(tensor, own[name]) if name in own else tensor for name, tensor in state.items()}


def _of_optimizer(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What this process keeps of an optimizer's state: of whatever has a number for each weight, its part."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    own = {
        number: {
            name: part_of(tensor, parameters[number]) if tensor.shape == parameters[number].shape else tensor
            for name, tensor in each.items()
        }
        for number, each in state["state"].items()
    }
    return state | {"state": own}
