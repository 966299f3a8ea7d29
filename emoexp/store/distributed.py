"""Several processes of one torchrun launch that compute together (tensor parallelism): the first
locks, writes and prints.

Every process has to run every forward pass, so all of them must compute the same rows; that is what
`agreed` sees to.
"""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")


def rank() -> int:
    """Which process of the launch this is; 0 where there is only one."""
    return int(os.environ.get("RANK", 0))


def is_distributed() -> bool:
    """Whether there is more than one, and they can talk."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return False
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized()


def broadcast(value: T) -> T:
    """The first process' value, in all of them."""
    if not is_distributed():
        return value
    import torch.distributed as dist

    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def barrier() -> None:
    """Returns once every process is here."""
    if is_distributed():
        import torch.distributed as dist

        dist.barrier()
