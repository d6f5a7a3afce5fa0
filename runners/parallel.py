"""One run on several processes: what a training loop asks of them, which is next to nothing where there is one.

`torchrun` starts the processes, its *ranks*; torch's ``DistributedDataParallel`` and ``fully_shard`` (FSDP2) train on
them. Every rank takes its rows of each batch, and the run is the one that a single process would make, but for the
order in which numbers are added up.
"""

import functools
import inspect
import itertools
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from bayes_scaling.runs import InputError
from runners.config import RunConfig
from runners.devices import out_of_memory, pick_device
from runners.models import Model
from runners.shards import whole

__all__ = ["MODES", "ONE", "TIMEOUT", "Ranks", "alone", "join"]

MODES = ("ddp", "fsdp")

TIMEOUT = 600.0
"""Seconds that a rank waits for the others before it gives them up."""

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells the processes that it starts."""

_joined = itertools.count()

START = "start it with torchrun --nproc-per-node N"


class Ranks:
    """A run's only process, which has every batch and the whole model; `Several` is what `join` gives otherwise.

    Attributes
    ----------
    number, count : int
        Which of how many ranks this is.
    mode : str
        ``ddp`` or ``fsdp``; empty for a process that trains alone.
    """

    number, count, mode = 0, 1, ""

    @property
    def first(self) -> bool:
        """Whether this rank is the one that speaks and writes."""
        return self.number == 0

    def check(self, config: RunConfig) -> None:
        """Refuse a run that cannot be trained this way."""

    def place(self, model: Model, device: torch.device) -> nn.Module:
        """Bring a model to the device; returns what forward passes in training go through."""
        return model.to(device)

    def split(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """The rows of a batch that are this rank's."""
        return arrays

    def mean(self, value: Tensor) -> Tensor:
        """Mean over the ranks of a number that each has of its rows."""
        return value

    def mean_gradients(self, model: nn.Module) -> None:
        """The same of all gradients that are there, where no backward pass through `place` has seen to it."""

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Each flag, whether it is up on any rank."""
        return flags

    def share(self, count: int) -> "slice | np.ndarray":  # noqa: ARG002
        """Which of so many items this rank evaluates; each rank gets as many as the others."""
        return slice(None)

    def together(self, values: np.ndarray, count: int) -> np.ndarray:  # noqa: ARG002
        """What all ranks made of their `share`, in the order of the items."""
        return values

    def copy(self, tensor: Tensor) -> Tensor | None:
        """A whole tensor of its own for a checkpoint; only the rank that writes gets one."""
        return tensor.detach().clone()

    def by_first[T](self, do: Callable[[], T]) -> T:
        """Done by the first rank, while the others wait for what comes of it."""
        return do()

    def same(self, **facts: object) -> None:
        """Refuse ranks that would train different runs."""

    def failure(self, error: Exception) -> str | None:
        """Why the run is to be recorded as failed; None for an error that is not the run's."""
        return f"out of memory: {error}" if out_of_memory(error) else None

    def columns(self) -> dict[str, Any]:
        """Columns of the run table."""
        return {}


class Several(Ranks):
    """One of the ranks of a run; all of them come to every call together.

    Parameters
    ----------
    mode : str
        One of `MODES`.
    number, count : int
        Which of how many.
    failures : torch.distributed.Store
        Where the first rank to fail says why.
    """

    def __init__(self, mode: str, number: int, count: int, failures: "dist.Store") -> None:
        self.mode, self.number, self.count, self._failures = mode, number, count, failures
        self.failed = False

    def check(self, config: RunConfig) -> None:
        """Refuse what cannot be split over the ranks, or would not be the same run.

        Raises
        ------
        InputError
            With the reason.
        """
        if config.batch_size % self.count:
            raise InputError(
                f"batch_size is {config.batch_size}, which {self.count} ranks cannot split evenly; a multiple of "
                f"{self.count} is needed, or another --nproc-per-node"
            )
        if config.dropout:
            raise InputError(
                f"dropout is {config.dropout:g}, and parallel is {self.mode!r}: dropout draws for a whole batch in "
                "one process; train it without parallel"
            )
        if config.sparsity and self.mode == "fsdp" and not config.pruning_method.shards:
            raise InputError(
                f"method {config.method!r} needs whole weights and gradients, and parallel 'fsdp' shards them; "
                "parallel 'ddp' is needed"
            )

    def place(self, model: Model, device: torch.device) -> nn.Module:
        """Replicate or shard a model."""
        if self.mode == "ddp":
            ddp = nn.parallel.DistributedDataParallel
            # Masks are buffers. They move when all ranks move them alike, so sending them at every step would be waste.
            newer = "forward_sync_buffers" in inspect.signature(ddp).parameters
            quiet: dict[str, Any] = {"forward_sync_buffers" if newer else "broadcast_buffers": False}
            return ddp(model.to(device), **quiet)
        from torch.distributed.fsdp import fully_shard

        mesh = dist.init_device_mesh(device.type, (self.count,))
        # Always resharded after a forward pass: the masks' methods write to the shards, and one that stayed whole after
        # an evaluation would not know.
        shard = functools.partial(fully_shard, mesh=mesh, reshard_after_forward=True)
        for block in model.blocks:
            shard(block)  # one by one, so that no device ever holds the whole model
        shard(model)
        return model

    def split(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Consecutive rows."""
        rows = len(arrays[0]) // self.count
        return tuple(array[self.number * rows : (self.number + 1) * rows] for array in arrays)

    def mean(self, value: Tensor) -> Tensor:
        """By an all-reduce."""
        total = value.clone()
        dist.all_reduce(total)
        return total / self.count

    def mean_gradients(self, model: nn.Module) -> None:
        """By an all-reduce each."""
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.copy_(self.mean(parameter.grad))

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """By an all-reduce between the processors, which no GPU has to wait for."""
        up = torch.tensor(flags, dtype=torch.int32)
        dist.all_reduce(up, dist.ReduceOp.MAX)
        return tuple(bool(flag) for flag in up.tolist())

    def share(self, count: int) -> np.ndarray:
        """Consecutive items, the last repeated where they do not divide: a sharded model runs on all ranks or none."""
        each = -(-count // self.count)
        return np.minimum(np.arange(self.number * each, (self.number + 1) * each), count - 1)

    def together(self, values: np.ndarray, count: int) -> np.ndarray:
        """Gathered, without what was repeated."""
        own = torch.from_numpy(values)
        parts = [torch.empty_like(own) for _ in range(self.count)]
        dist.all_gather(parts, own)
        gathered: np.ndarray = torch.cat(parts).numpy()[:count]
        return gathered

    def copy(self, tensor: Tensor) -> Tensor | None:
        """One at a time, and straight to the processor's memory: devices need no room for the whole model."""
        found = whole(tensor.detach())
        return found.cpu().clone() if self.first else None

    def by_first[T](self, do: Callable[[], T]) -> T:
        """What it returns and what it refuses is the same on all ranks."""
        found: list[Any] = [None, None]
        if self.first:
            try:
                found[0] = do()
            except InputError as error:
                found[1] = error
        dist.broadcast_object_list(found)
        if found[1] is not None:
            raise found[1]
        result: T = found[0]
        return result

    def same(self, **facts: object) -> None:
        """Compare with the first rank.

        Raises
        ------
        InputError
            Naming what differs.
        """
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, facts)
        for number, other in enumerate(found):
            for what, value in found[0].items():
                if other[what] != value:
                    raise InputError(
                        f"rank {number} has {what} {other[what]} and rank 0 has {value}; all ranks need the same "
                        "command, store and data"
                    )

    def failure(self, error: Exception) -> str | None:
        """The failure that came first, on whatever rank; the others only notice that a rank is gone.

        Raises
        ------
        InputError
            That is why another rank ended.
        """
        self.failed, refused = True, isinstance(error, InputError)
        mine = json.dumps([self.number, str(error) if refused else self._told(error), refused])
        try:
            first = self._failures.compare_set("failure", "", mine).decode()
        except RuntimeError:  # whoever kept it is gone, too
            first = mine
        if refused:
            return None
        number, why, refused = json.loads(first)
        if refused:
            raise InputError(f"rank {number}: {why}") from None
        if number == self.number:
            if not out_of_memory(error):
                traceback.print_exception(error, file=sys.stderr)
            print(why, file=sys.stderr, flush=True)
        return str(why)

    def columns(self) -> dict[str, Any]:
        """How it was trained."""
        return {"parallel": self.mode, "ranks": self.count}

    def _told(self, error: Exception) -> str:
        rank = f"rank {self.number} of {self.count}"
        if out_of_memory(error):
            return f"{rank} is out of memory: {error}"
        if isinstance(error, dist.DistError) or "gloo" in str(error).lower():
            return f"{rank} lost the others; one was killed, or did not answer for {TIMEOUT:g} s ({error})"
        return f"{rank} failed: {type(error).__name__}: {error}"


ONE = Ranks()


def alone(what: str = "a run without parallel") -> Ranks:
    """The one process of a run, an ensemble or a sweep.

    Raises
    ------
    InputError
        torchrun started several, and each would do the same work.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and (count := _whole_variable("WORLD_SIZE")) > 1:
        raise InputError(
            f"torchrun started {count} processes, and {what} trains in one; parallel 'ddp' or 'fsdp' makes one run of "
            "them, or start it without torchrun"
        )
    return ONE


@contextmanager
def join(parallel: str | None = None, device: str = "auto") -> Iterator[Ranks]:
    """Within, this process is one of the ranks that torchrun started.

    Parameters
    ----------
    parallel : str, optional
        ``ddp`` replicates the model, ``fsdp`` shards it; by default this process is `alone`.
    device : str
        Where the runs will train, as `RunConfig` has it; on CUDA each rank takes the GPU of its number on the machine.

    Yields
    ------
    Ranks
        For `runners.train.run`.

    Raises
    ------
    InputError
        torchrun did not start this process, or the ranks do not fit the machine.

    Examples
    --------
    Started by ``torchrun --nproc-per-node 2 script.py``:

    >>> with join("fsdp") as ranks:
    ...     record = run(config, "runs/mine", ranks=ranks)
    """
    if parallel is None:
        yield alone()
        return
    if not dist.is_available():
        raise InputError(f"parallel is {parallel!r}, and this build of torch has no distributed training")
    if parallel not in MODES:
        raise InputError(f"parallel is {parallel!r}; allowed are {', '.join(map(repr, MODES))}")
    if missing := [name for name in VARIABLES if not os.environ.get(name)]:
        raise InputError(f"parallel is {parallel!r}, and {', '.join(missing)} of torchrun is not set; {START}")
    number, count, local = map(_whole_variable, ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if not number < count:
        raise InputError(f"RANK is {number} and WORLD_SIZE {count}; a rank below it is needed, so {START}")
    if parallel == "fsdp" and torch.__version__ < "2.7":
        raise InputError(f"parallel is 'fsdp', which needs torch 2.7 or later; found {torch.__version__}")
    kind = pick_device(device).type
    if kind == "mps":
        raise InputError(f"parallel is {parallel!r}, and device mps cannot train so; --device cpu can")
    if kind == "cuda":
        if local >= (gpus := torch.cuda.device_count()):
            raise InputError(f"LOCAL_RANK is {local}, and this machine has {gpus} GPUs; each rank needs one of its own")
        torch.cuda.set_device(local)
    waits = timedelta(seconds=TIMEOUT)
    store, number, count = next(dist.rendezvous("env://", timeout=waits))
    # The store outlives a group, and the next group would meet under the addresses of the last one.
    store = dist.PrefixStore(f"bayes-scaling/{next(_joined)}", store)
    # Flags, evaluation and whatever is told between ranks goes from processor to processor, gradients between GPUs.
    backend = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=waits)
    ranks = Several(parallel, number, count, dist.PrefixStore("run", store))
    try:
        yield ranks
    finally:
        if not ranks.failed:  # with a rank missing, taking leave might wait for it
            dist.destroy_process_group()


def _whole_variable(name: str) -> int:
    """A number of torchrun's."""
    text = os.environ.get(name, "")
    if not text.isdecimal():
        raise InputError(f"{name} is {text!r}; torchrun sets it to a whole number, so {START}")
    return int(text)
