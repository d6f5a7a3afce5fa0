"""Trained dense models that sparse runs start from: kept in files, or in the store beside the records."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from bayes_scaling.runs import InputError
from runners import checkpoints
from runners.config import RunConfig
from runners.data.batches import Batches
from runners.models import Model
from runners.parallel import ONE, Ranks
from runners.store import Store

__all__ = ["Pretrained", "keep", "load_pretrained", "model_of"]

Pretrained = dict[str, Any]
"""What is kept of a trained model: its weights, its configuration, its data, and the row of its run."""


def model_of(run_id: str) -> str:
    """Name of a run's trained model in its store."""
    return f"models/{run_id}.pt"


def keep(
    place: Path | bool,
    store: Store | None,
    config: RunConfig,
    facts: dict[str, Any],
    record: dict[str, Any],
    model: Model,
    ranks: Ranks = ONE,
) -> None:
    """Keep a trained model, in a file or (where `place` is True) in the store; of several ranks, the first writes."""
    state = checkpoints.copied(model.state_dict(), ranks)
    content = {"config": asdict(config), "data": facts, "row": record["run"], "model": state}

    def write() -> None:
        if isinstance(place, Path):
            checkpoints.save(place, content)
        elif store is not None:
            store.folder.write(model_of(config.run_id), checkpoints.encode(content))

    ranks.by_first(write)


def load_pretrained(config: RunConfig, model: Model, batches: Batches, store: Store | None) -> Pretrained | None:
    """Give a dense model the weights that the run starts from, if it starts from any.

    Raises
    ------
    InputError
        There is no such model, it has another shape, was not dense, or is one for another tokenizer.
    """
    if config.pretrained is None:
        return None
    place, start = _kept(config, store)
    if "row" not in start:
        raise InputError(f"{place} is the checkpoint of an unfinished run, no trained model")
    if start["row"]["sparsity"] != 0:
        raise InputError(f"{place} holds a model of sparsity {start['row']['sparsity']:g}; a dense one is needed")
    if start["data"].get("tokenizer_sha256") != batches.facts.get("tokenizer_sha256"):  # images have none
        raise InputError(f"{place} was trained with another tokenizer than {config.tokenizer!r}")
    try:
        model.load_state_dict(start["model"])
    except RuntimeError as error:
        total = start["row"]["total_params"]
        raise InputError(
            f"{place} holds a model of {total} block weights, of other shapes than this run's {model.shape}; at "
            f"sparsity {config.sparsity:g} it goes with nonzero_params {round(total * (1 - config.sparsity))} and its "
            "own architecture"
        ) from error
    return start


def _kept(config: RunConfig, store: Store | None) -> tuple[str, Pretrained]:
    """The model that a run starts from, and where it lies."""
    if config.start is None:
        path = Path(str(config.pretrained))
        return str(path), checkpoints.load(path)
    if store is None:
        raise InputError(f"pretrained is {config.pretrained!r}, the model of another run; its store is needed")
    name = model_of(config.start)
    try:
        return f"{store}/{name}", checkpoints.decode(store.folder.read(name), f"{store}/{name}")
    except FileNotFoundError:
        raise InputError(
            f"pretrained is {config.pretrained!r}, and the store {store} has no model {name}; train that run first, "
            "with its model kept"
        ) from None
