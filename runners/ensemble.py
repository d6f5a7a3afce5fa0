"""Many runs of one shape trained as one: small models leave a processor waiting between operations.

Every member is the run that `runners.train.run` would make of its configuration: model, masks, optimizer state and
account are its own, on memory that it shares with the others (`runners.stacked`). Only the steps are taken together.
"""

import math
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import nn

from bayes_scaling.runs import InputError
from runners.accounting import CURVE_POINTS, Account, failed_record, flops_now, record_of
from runners.build import build_model, build_optimizer, build_sparsifier
from runners.config import RunConfig
from runners.data.batches import Batches
from runners.devices import autocast, batch_to, out_of_memory, pick_device
from runners.evaluate import Heldout, cross_entropy, heldout_loss
from runners.interrupts import RunInterrupted, interrupts_wait, stop_asked
from runners.landscape import Figures, add_landscape, landscape
from runners.models import Model
from runners.models.flops import TrainFlops
from runners.mup import set_rates
from runners.noise import training_batch
from runners.parallel import alone
from runners.pretrained import Pretrained, keep, load_pretrained
from runners.resume import CHECKPOINT_SECONDS, checkpoint_of, resume, save
from runners.sparsity.sparsifier import Sparsifier
from runners.stacked import StackedModel
from runners.stacked_adamw import StackedAdamW
from runners.store import Store
from runners.train import batches_of, first_losses
from runners.watch import Watch

__all__ = ["AT_ONCE", "group", "run_ensemble"]

AT_ONCE = 16
"""Members of an ensemble at most: more gain nothing and, on a CPU, fall out of its caches (docs/benchmarks.md)."""

OF_THE_MEMBER = frozenset(
    {
        *("seed", "pretrained", "learning_rate", "warmup", "decay", "cooldown", "final_learning_rate", "weight_decay"),
        *("parametrization", "base_width"),
        *("sparsity", "structure", "method", "distribution", "embedding_sparsity"),
        *("schedule", "prune_start", "prune_end", "prune_power", "prune_every"),
        *("update_every", "update_end", "update_fraction", "snip_batches"),
        *("evaluate_every", "patience", "target_loss", "landscape"),
        # What these mean is in the shape and in the steps, which are compared.
        *("nonzero_params", "layers", "width", "scaling", "head_size", "activation", "data_seen"),
    }
)
"""Knobs in which the members of an ensemble may differ; a knob that is not named here sets runs apart."""


def group(configs: Sequence[RunConfig], at_once: int = AT_ONCE) -> list[list[RunConfig]]:
    """Put together what can train together: runs of one shape, as many steps, and the same data.

    Parameters
    ----------
    configs : sequence of RunConfig
        In any order.
    at_once : int
        Most runs in a group.

    Returns
    -------
    list of list of RunConfig
        Each of them an ensemble, as even in size as `at_once` allows; in the order of the first run of each kind. A
        run that goes with no other, or whose method cannot train in company, is a group of its own.
    """
    if at_once < 1:
        raise InputError(f"at_once is {at_once}; at least 1 is needed")
    alike: dict[object, list[RunConfig]] = {}
    for config in configs:
        alike.setdefault(_kind(config), []).append(config)
    return [
        [members[i] for i in piece]
        for members in alike.values()
        for piece in np.array_split(np.arange(len(members)), math.ceil(len(members) / at_once))
    ]


def _kind(config: RunConfig) -> object:
    """What the members of an ensemble have in common; for a run that has to train alone, its name."""
    if not _stacks(config):
        return config.run_id
    knobs = (getattr(config, knob.name) for knob in fields(config) if knob.name not in OF_THE_MEMBER)
    return config.shape, config.steps, *knobs


def _stacks(config: RunConfig) -> bool:
    """Whether the stacked model can do all that the run asks for."""
    # Dropout draws for a batch of a member's own.
    return (
        config.dropout == 0
        and config.kernels == "dense"
        and (config.sparsity == 0 or (config.pruning_method.stacks and config.power == 1))
    )


def run_ensemble(
    configs: Sequence[RunConfig],
    store: "str | os.PathLike[str] | Store | None" = None,
    progress: Callable[[int, int, float], None] | None = None,
    *,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    keep_models: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Train several models together and say what came out of each.

    Parameters
    ----------
    configs : sequence of RunConfig
        The runs; of one kind, as `group` puts them together.
    store : str, Path or Store, optional
        Where to write the records, each as soon as it is there. Checkpoints are those of single runs, one a member: a
        run goes on in whatever company it is started again, or alone. Those that stand at different steps go on one
        company after the other.
    progress : callable, optional
        Called now and then with the steps done, the steps in all and the members' mean training loss.
    checkpoint_seconds : float
        Time between checkpoints.
    keep_models : collection of str
        Ids of the runs whose trained model is kept in the store.

    Returns
    -------
    list of dict
        One record a configuration, in their order: what `runners.train.run` would have returned, but for rounding.
        ``ensemble`` in a record's row is the number of runs that trained together, and times are the run's share.
        Members whose loss stops being finite end early and leave the others alone; if memory runs out, all members
        that have not ended yet have status ``failed``.

    Raises
    ------
    InputError
        The configurations cannot train together, or one of them does not go with this machine, its data, its
        checkpoint or the model that it starts from.
    RunInterrupted
        Ctrl-C or SIGTERM came, once: the step was finished and checkpoints written.
    """
    if len(kinds := group(configs, max(1, len(configs)))) != 1:
        raise InputError(f"configs are of {len(kinds)} kinds, which cannot train together; group() puts them in order")
    if not _stacks(configs[0]):
        config = configs[0]
        what = f"method {config.method!r} with power {config.power:g}"
        if config.dropout or config.kernels != "dense":
            what = f"dropout {config.dropout:g}" if config.dropout else f"a run on kernels {config.kernels!r}"
        raise InputError(f"{what} cannot train in an ensemble; runners.train.run trains it alone")
    alone("an ensemble")
    began = time.perf_counter()
    store = None if store is None else Store(store)
    unique = {config.run_id: config for config in configs}
    done: dict[str, dict[str, Any]] = {}
    with interrupts_wait():
        try:
            for member, record in _train(list(unique.values()), store, progress, checkpoint_seconds):
                config = member.config
                if store is not None:
                    if config.run_id in keep_models and record["status"] == "finished":
                        keep(True, store, config, member.batches.facts, record, member.model)
                    store.write(record)
                    store.folder.delete(checkpoint_of(config))
                done[config.run_id] = record
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            for run_id, config in unique.items():
                if run_id not in done:
                    done[run_id] = failed_record(config, f"out of memory: {error}", began)
                    if store is not None:
                        store.write(done[run_id])
    return [done[config.run_id] for config in configs]


@dataclass
class _Member:
    """One run: what `runners.train.run` has of it."""

    config: RunConfig
    batches: Batches
    model: Model
    start: Pretrained | None
    before: dict[str, Figures] | None
    sparsifier: Sparsifier
    optimizer: torch.optim.AdamW
    account: Account
    watch: Watch
    device: torch.device
    per_unit: TrainFlops = field(init=False)
    sparsity: float = field(init=False)

    def __post_init__(self) -> None:
        self.per_unit, self.sparsity = flops_now(self.model)

    def prepare(self) -> None:
        """Whatever comes before a step: its learning rate, and new masks where they are due."""
        set_rates(self.config, self.optimizer, self.account.step)
        if self.sparsifier.before(self.account.step, self.optimizer):
            self.per_unit, self.sparsity = flops_now(self.model)

    def save(self, store: Store) -> None:
        """Its checkpoint."""
        save(store, self.config, self.batches.facts, self.model, self.optimizer, self.account, self.watch)

    def look(self) -> Heldout:
        """Its held-out loss as it is now."""
        config = self.config
        return heldout_loss(self.model, self.batches, config.heldout_items, self.device, config.precision)

    def record(self, together: int, heldout: Heldout) -> dict[str, Any]:
        """Of a run that came to its end."""
        heldout = self.watch.settle(self.model, heldout)
        record = record_of(
            self.config, self.batches, self.model, self.account, heldout, self.device, self.start, self.watch
        )
        add_landscape(record, self.before, self.model)
        record["run"]["ensemble"] = together
        return record


def _train(
    configs: Sequence[RunConfig],
    store: Store | None,
    progress: Callable[[int, int, float], None] | None,
    checkpoint_seconds: float,
) -> Iterator[tuple["_Member", dict[str, Any]]]:
    """The runs with their records, as they end."""
    torch.set_num_threads(configs[0].threads)  # for the whole process: torch knows no other way
    members = _members(configs, store)
    for step in sorted({member.account.step for member in members}):
        together = [member for member in members if member.account.step == step]
        yield from _train_together(together, store, progress, checkpoint_seconds)


def _members(configs: Sequence[RunConfig], store: Store | None) -> list[_Member]:
    """Every run as it stands: at its start, or at its checkpoint."""
    device = pick_device(configs[0].device)
    of_seed: dict[int, Batches] = {}
    members = []
    for config in configs:
        if config.seed not in of_seed:
            of_seed[config.seed] = batches_of(config)
        batches = of_seed[config.seed]
        model = build_model(config, batches)
        start = load_pretrained(config, model, batches, store)
        before = landscape(model) if config.landscape else None
        sparsifier = build_sparsifier(config, model)
        model.to(device)
        optimizer = build_optimizer(config, model)
        watch = Watch(config)
        account = Account() if store is None else resume(store, config, batches.facts, model, optimizer, device, watch)
        if account.step == 0:
            sparsifier.start(first_losses(config, batches, model, device))
        members.append(_Member(config, batches, model, start, before, sparsifier, optimizer, account, watch, device))
    return members


def _train_together(
    members: list[_Member],
    store: Store | None,
    progress: Callable[[int, int, float], None] | None,
    checkpoint_seconds: float,
) -> Iterator[tuple[_Member, dict[str, Any]]]:
    """The same loop as that of a single run, over members that stand at the same step."""
    together, step, steps, device = len(members), members[0].account.step, members[0].config.steps, members[0].device
    precision, units, points = (
        members[0].config.precision,
        members[0].batches.units_per_step,
        max(1, steps // CURVE_POINTS),
    )
    forward, optimizer = _stack(members)
    clock = last_saved = time.perf_counter()
    while members and step < steps:
        for member in members:
            member.prepare()
        inputs, targets = batch_to(device, *_batch(members, step))
        with autocast(device, precision):
            logits = forward(inputs)
        losses = cross_entropy(logits, targets, reduction="none").view(len(members), -1).mean(1)
        losses.sum().backward()
        optimizer.step()
        step += 1
        for member, loss in zip(members, losses.detach().unbind(), strict=True):
            member.account.count(member.per_unit, units, loss)

        at_point = step % points == 0 or step == steps
        if marked := [member for member in members if at_point or member.watch.due(step)]:
            means = [member.account.point(step * units, member.sparsity) for member in marked]
            if progress is not None and at_point:
                progress(step, steps, float(np.mean(means)))
            clock = _share(members, clock)
            ended = [
                (member, heldout)
                for member, mean in zip(marked, means, strict=True)
                if (heldout := _ending(member, step, mean)) is not None
            ]
            clock = time.perf_counter()
            for member, heldout in ended:
                yield member, member.record(together, heldout)
            if ended:
                members = [member for member in members if all(member is not gone for gone, _ in ended)]
                if members:
                    forward, optimizer = _stack(members)
        if store is not None and (stop_asked() or time.perf_counter() - last_saved >= checkpoint_seconds):
            clock = _share(members, clock)
            for member in members:
                member.save(store)
            clock = last_saved = time.perf_counter()
        if stop_asked():
            raise RunInterrupted
    _share(members, clock)

    # One by one: held-out batches are large enough to keep a processor busy.
    for member in members:
        heldout = member.look()
        member.watch.see(member.account, heldout, member.model)
        yield member, member.record(together, heldout)


def _ending(member: _Member, step: int, mean: float) -> Heldout | None:
    """The held-out loss of a member that comes to its end before the others: it diverged, or its watch says so."""
    if not math.isfinite(mean):
        return Heldout()
    if not member.watch.due(step):
        return None
    heldout = member.look()
    return heldout if member.watch.see(member.account, heldout, member.model) else None


def _stack(members: Sequence[_Member]) -> tuple[nn.Module, StackedAdamW]:
    """All members as one model, and what moves it."""
    config = members[0].config
    stacked = StackedModel([member.model for member in members])
    optimizer = StackedAdamW(stacked.layers, [member.optimizer for member in members], config.clip)
    if config.compiled or (config.compiled is None and members[0].device.type == "cuda"):
        return torch.compile(stacked), optimizer  # type: ignore[return-value]
    return stacked, optimizer


def _batch(members: Sequence[_Member], step: int) -> tuple[np.ndarray, np.ndarray]:
    """The members' batches, one after the other; those with the same seed have the same data."""
    of_seed = {member.config.seed: member for member in members}
    batches = {seed: training_batch(member.config, member.batches, step) for seed, member in of_seed.items()}
    inputs, targets = zip(*(batches[member.config.seed] for member in members), strict=True)
    return np.concatenate(inputs), np.concatenate(targets)


def _share(members: Sequence[_Member], since: float) -> float:
    """Divide the time since then among the members; returns now."""
    now = time.perf_counter()
    for member in members:
        member.account.seconds += (now - since) / len(members)
    return now
