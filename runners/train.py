"""One training run: a configuration in, one record out."""

import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bayes_scaling.runs import InputError
from runners.accounting import CURVE_POINTS, Account, failed_record, flops_now, record_of
from runners.build import build_model, build_optimizer, build_sparsifier
from runners.config import RunConfig
from runners.data.batches import Batches
from runners.data.load import load_batches
from runners.devices import autocast, batch_to, pick_device
from runners.evaluate import Heldout, cross_entropy, heldout_loss
from runners.interrupts import RunInterrupted, interrupts_wait, stop_asked
from runners.landscape import add_landscape, landscape
from runners.mup import set_rates
from runners.noise import drawing, training_batch
from runners.parallel import ONE, Ranks, alone
from runners.pretrained import keep, load_pretrained
from runners.resume import CHECKPOINT_SECONDS, checkpoint_of, resume, save
from runners.semi_structured import check_device, compressed
from runners.store import Store
from runners.watch import Watch

__all__ = ["RunConfig", "run"]


def run(
    config: RunConfig,
    store: "str | os.PathLike[str] | Store | None" = None,
    progress: Callable[[int, int, float], None] | None = None,
    *,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    keep_model: Path | bool = False,
    ranks: Ranks | None = None,
) -> dict[str, Any]:
    """Train one model and say what came out.

    Parameters
    ----------
    config : RunConfig
        The run.
    store : str, Path or Store, optional
        Where to write the record: a folder, or an address that fsspec knows; by default it is only returned.
        Checkpoints of unfinished runs lie in its folder ``checkpoints``; a run that was killed goes on from there when
        it is started again, and ends as it would have.
    progress : callable, optional
        Called now and then with the steps done, the steps in all and the training loss.
    checkpoint_seconds : float
        Time between checkpoints.
    keep_model : Path or bool
        File to write the trained model to, for runs that start from it; True means the store's folder ``models``.
    ranks : Ranks, optional
        The processes that train it together, each calling this alike, as `runners.parallel.join` gives them; by default
        this process alone. They are no knob of the run: it is the same run, with the same name, on any number of them.

    Returns
    -------
    dict
        The record, as `runners.records` describes it. A run whose loss stops being finite ends early with status
        ``diverged`` and the loss NaN; one that runs out of memory has status ``failed``, and so has one on several
        ranks of which one fails, for whatever reason.

    Raises
    ------
    InputError
        The configuration does not go with this machine, its data, its checkpoint, the model that it starts from or its
        ranks, or the store has no room.
    RunInterrupted
        Ctrl-C or SIGTERM came, once: the step was finished and a checkpoint written.
    """
    began, ranks = time.perf_counter(), ranks or alone()
    store = None if store is None else Store(store)
    if keep_model is True and store is None:
        raise InputError("keep_model is True without a store to keep it in")
    if isinstance(keep_model, Path) and keep_model.is_dir():
        raise InputError(f"keep_model is {keep_model}, a folder; the name of a file is needed")
    ranks.check(config)
    with interrupts_wait():
        try:
            record = _train(config, store, progress, checkpoint_seconds, keep_model, ranks)
        except Exception as error:
            if (why := ranks.failure(error)) is None:
                raise
            record = failed_record(config, why, began)
            if store is not None:
                store.write(record)
    return record


def _train(
    config: RunConfig,
    store: Store | None,
    progress: Callable[[int, int, float], None] | None,
    checkpoint_seconds: float,
    keep_model: Path | bool,
    ranks: Ranks,
) -> dict[str, Any]:
    torch.set_num_threads(config.threads)  # for the whole process: torch knows no other way
    device = pick_device(config.device)
    check_device(config.kernels, device)
    batches = batches_of(config)
    model = build_model(config, batches)
    start = load_pretrained(config, model, batches, store)
    before = landscape(model) if config.landscape else None
    sparsifier = build_sparsifier(config, model)
    compiled: nn.Module = ranks.place(model, device)
    optimizer = build_optimizer(config, model)
    watch = Watch(config)
    account = Account() if store is None else resume(store, config, batches.facts, model, optimizer, device, watch)
    origin = None if start is None else start["row"]["run_id"]
    ranks.same(run=config.run_id, data=batches.facts["sha256"], start=origin, steps_done=account.step)
    if config.compiled or (config.compiled is None and device.type == "cuda"):
        compiled = torch.compile(compiled)  # type: ignore[assignment]

    if account.step == 0:
        sparsifier.start(first_losses(config, batches, model, device, ranks))
        ranks.mean_gradients(model)
    per_unit, sparsity = flops_now(model)
    units, points = batches.units_per_step, max(1, config.steps // CURVE_POINTS)
    heldout: Heldout | None = None  # until the run ends
    clock = last_saved = time.perf_counter()
    while account.step < config.steps:
        set_rates(config, optimizer, account.step)
        if sparsifier.before(account.step, optimizer):
            per_unit, sparsity = flops_now(model)

        inputs, targets = batch_to(device, *ranks.split(*training_batch(config, batches, account.step)))
        with autocast(device, config.precision), drawing(config, account.step, device):
            logits = compiled(inputs)
        loss = cross_entropy(logits, targets)
        loss.backward()
        sparsifier.after_backward(account.step, optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        account.count(per_unit, units, ranks.mean(loss.detach()))

        look, at_point = watch.due(account.step), account.step % points == 0 or account.step == config.steps
        if look or at_point:
            mean_loss = account.point(account.step * units, sparsity)
            if progress is not None and at_point:
                progress(account.step, config.steps, mean_loss)
            if not math.isfinite(mean_loss):
                heldout = Heldout()
                break
        if look:
            account.seconds += time.perf_counter() - clock
            seen = heldout_loss(compiled, batches, config.heldout_items, device, config.precision, ranks)
            clock = time.perf_counter()
            if watch.see(account, seen, model):
                heldout = seen
                break
        stop, due = ranks.any(stop_asked(), time.perf_counter() - last_saved >= checkpoint_seconds)
        if store is not None and (stop or due):
            account.seconds += time.perf_counter() - clock
            save(store, config, batches.facts, model, optimizer, account, watch, ranks)
            clock = last_saved = time.perf_counter()
        if stop:
            raise RunInterrupted
    account.seconds += time.perf_counter() - clock

    if heldout is None:
        heldout = heldout_loss(compiled, batches, config.heldout_items, device, config.precision, ranks)
        watch.see(account, heldout, model)
    heldout = watch.settle(model, heldout)
    sparsifier.finish()
    if config.kernels != "dense" and math.isfinite(heldout.loss):
        heldout = heldout_loss(compressed(model), batches, config.heldout_items, device, config.precision)
    record = record_of(config, batches, model, account, heldout, device, start, watch)
    record["run"] |= ranks.columns()
    add_landscape(record, before, model)
    if keep_model and record["status"] == "finished":
        keep(keep_model, store, config, batches.facts, record, model, ranks)
    return ranks.by_first(lambda: leave(record, store, config))


def leave(record: dict[str, Any], store: Store | None, config: RunConfig) -> dict[str, Any]:
    """Write the record of a run that came to its end, which needs its checkpoint no longer."""
    if store is not None:
        store.write(record)
        store.folder.delete(checkpoint_of(config))
    return record


def batches_of(config: RunConfig) -> Any:
    """The data of a run."""
    return load_batches(
        config.modality,
        config.corpus,
        batch_size=config.batch_size,
        seed=config.seed,
        context=config.context,
        suffix=config.suffix,
        tokenizer=config.tokenizer,
        column=config.column,
        limit=config.limit,
        image_size=config.image_size,
        task=config.task,
        flips=config.flips,
        mixture=config.mixture,
        unique_data=config.unique_data,
    )


def first_losses(
    config: RunConfig, batches: Batches, model: nn.Module, device: torch.device, ranks: Ranks = ONE
) -> Iterator[torch.Tensor]:
    """Training loss of every batch of the first epoch (or of the run, where that is less), with the model as it is."""
    for step in range(config.steps):
        if any(ranks.any(stop_asked())):
            raise RunInterrupted
        if batches.epoch(step) > 0:
            return
        inputs, targets = batch_to(device, *ranks.split(*training_batch(config, batches, step)))
        with autocast(device, config.precision), drawing(config, step, device):
            logits = model(inputs)
        yield cross_entropy(logits, targets)
