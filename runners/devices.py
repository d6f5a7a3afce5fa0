"""Where a run trains, and in which precision."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from bayes_scaling.runs import InputError

__all__ = ["autocast", "batch_to", "out_of_memory", "peak_memory", "pick_device"]


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA, then MPS, then the CPU; anything else is itself, if this machine has it."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in present.items() if there))
    if not present[name]:
        raise InputError(f"device is {name!r}, which this machine lacks; it has {[k for k, v in present.items() if v]}")
    return torch.device(name)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """The context of a forward pass: ``auto`` is bfloat16 on CUDA, full precision elsewhere."""
    if precision == "bfloat16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def batch_to(device: torch.device, *arrays: Any) -> tuple[torch.Tensor, ...]:
    """Arrays of a batch as tensors on the device, copied while it still computes where it can."""
    tensors = tuple(torch.from_numpy(array) for array in arrays)
    if device.type == "cpu":
        return tensors
    if device.type == "cuda":
        tensors = tuple(tensor.pin_memory() for tensor in tensors)
    return tuple(tensor.to(device, non_blocking=True) for tensor in tensors)


def peak_memory(device: torch.device) -> int:
    """Most bytes in use: on CUDA by torch's tensors since the process began, elsewhere by the whole process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whatever device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # The CPU's allocator has no class of its own.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
