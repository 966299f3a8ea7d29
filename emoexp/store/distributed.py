"""Several processes of one torchrun launch that compute together (tensor parallelism): the first
locks, writes and prints.

Every process has to run every forward pass, so all of them must compute the same rows; `broadcast`
makes sure of that.
"""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")


def rank() -> int:
    """Returns the index of this process in the launch; 0 where there is only one."""
    return int(os.environ.get("RANK", 0))


def is_distributed() -> bool:
    """Checks whether there is more than one process, and they can exchange values."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return False
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized()


def broadcast(value: T) -> T:
    """Returns the first process' value, in all of them."""
    if not is_distributed():
        return value
    import torch.distributed as dist

    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def barrier() -> None:
    """Waits until every process has called this."""
    if is_distributed():
        import torch.distributed as dist

        dist.barrier()
