"""Tensors of which every process keeps a part (torch's ``DTensor``, as FSDP2 has them), and the whole of them.

Both functions leave ordinary tensors as they are, so whoever calls them need not know which it has.
"""

from typing import Any, cast

from torch import Tensor

__all__ = ["part_of", "whole"]


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, on every process; of a sharded one, gathered, so all processes have to ask for it together."""
    # By what it can do and not by its class, whose module takes seconds to import and has no use elsewhere.
    return cast("Any", tensor).full_tensor() if hasattr(tensor, "full_tensor") else tensor


def part_of(tensor: Tensor, like: Tensor) -> Tensor:
    """What this process keeps of a whole tensor, where `like` is the tensor that it goes with; nothing is sent."""
    if not hasattr(like, "full_tensor"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    stored = cast("Any", like)
    return distribute_tensor(tensor, stored.device_mesh, stored.placements, src_data_rank=None)
