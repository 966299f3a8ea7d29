"""Estimates the memory that a model needs and reads what is free, before any weight is loaded."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from emoexp.config import ModelConfig, Quantization
from emoexp.errors import EmoexpError
from emoexp.models.loading.hub_errors import explained

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
NF4_BYTES = 0.5 + 4 / 64
"""4 bits, and a float32 scale for every 64 of them (no double quantization)."""
PROMPT_TOKENS = 16
"""Length of the shortest prompt that `estimate_memory` assumes: it bounds the rows of a batch, and
each row has its logits."""
CGROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Memory:
    """The estimate for a model, in bytes, and what is free.

    Attributes:
        where: the place whose memory is `free`, as text for people.
        packed: the format of a checkpoint that is already quantized, else None. Where it is set,
            `weights` is the size once unpacked, an upper bound, and no model is refused for it.
    """

    name: str
    parameters: int
    dtype: str
    weights: int
    activations: int
    free: int
    where: str
    packed: str | None = None

    @property
    def fits(self) -> bool:
        """Whether weights and activations fit into what is free; true for packed weights."""
        return self.packed is not None or self.weights + self.activations <= self.free

    @property
    def line(self) -> str:
        """The estimate as one line for people: `llama8b: 8.03 B parameters, bfloat16: 16.1 GB of
        weights + 6.4 GB of activations; 23.1 GB free on cpu`."""
        count = (
            f"{self.parameters / 1e9:.3g} B"
            if self.parameters >= 1e9
            else f"{self.parameters / 1e6:.3g} M"
        )
        unpacked = f" if its {self.packed} is unpacked" if self.packed else ""
        return (
            f"{self.name}: {count} parameters, {self.dtype}: {gigabytes(self.weights)} of"
            f" weights{unpacked} + {gigabytes(self.activations)} of activations;"
            f" {gigabytes(self.free)} free on {self.where}"
        )


def gigabytes(count: float) -> str:
    """Writes a number of bytes as GB (10^9), or as MB (10^6) below one GB."""
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def estimate_memory(config: ModelConfig, checkpoint: Any, dtype: str, device: str) -> Memory:
    """Estimates the memory of a checkpoint with the config `checkpoint` (transformers'), in `dtype`
    on `device`.

    Raises:
        EmoexpError: the model cannot be built from that config.
    """
    with explained(f"model.repo_id={config.repo_id!r}"):
        quantizable, rows, others = count_parameters(checkpoint, config.trust_remote_code)
    width = BYTES[dtype]
    size = {
        Quantization.none: quantizable * width,
        Quantization.int8: quantizable + 4 * rows,
        Quantization.nf4: quantizable * NF4_BYTES,
    }
    free, where = free_memory(config, device)
    quantized = config.quantization is not Quantization.none
    return Memory(
        name=config.name,
        parameters=quantizable + others,
        dtype=f"{config.quantization.value} and {dtype}" if quantized else dtype,
        weights=round(size[config.quantization] + others * width),
        activations=activation_bytes(config.batch_tokens, checkpoint.get_text_config(), width),
        free=free,
        where=where,
        packed=_packed_format(checkpoint),
    )


def _packed_format(checkpoint: Any) -> str | None:
    """Returns the format of a checkpoint that is already quantized, else None."""
    packed = getattr(checkpoint, "quantization_config", None)
    if not packed:
        return None
    settings = packed if isinstance(packed, dict) else vars(packed)
    method = settings.get("quant_method")
    return str(getattr(method, "value", method))


def refuse_unless_it_fits(memory: Memory) -> None:
    """Raises EmoexpError of one line where the estimate is above what is free."""
    if not memory.fits:
        need = gigabytes(memory.weights + memory.activations)
        raise EmoexpError(
            f"{memory.line}: it needs {need} and does not fit; set model.quantization=nf4,"
            " model.device_map=auto, a smaller model.batch_tokens, or model.check_memory=false to"
            " try all the same"
        )


def count_parameters(checkpoint: Any, trust_remote_code: bool = False) -> tuple[int, int, int]:
    """Counts the parameters of the model, built without storage.

    bitsandbytes quantizes linear maps except the unembedding; embeddings, norms and the stacked
    experts of a mixture stay as they are.

    Returns:
        Number of elements that bitsandbytes would quantize, of their output rows, and of all other
        elements.
    """
    from transformers import AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(
            copy.deepcopy(checkpoint), trust_remote_code=trust_remote_code
        )
    unembedding = network.get_output_embeddings()
    weights = [
        module.weight
        for module in network.modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not unembedding
    ]
    quantizable = sum(weight.numel() for weight in weights)
    rows = sum(max(weight.shape) for weight in weights)
    others = sum(parameter.numel() for parameter in network.parameters()) - quantizable
    return quantizable, rows, others


def activation_bytes(batch_tokens: int, text: Any, width: int) -> int:
    """Estimates the peak of a forward pass in bytes: the residuals of one layer in the model's
    dtype, as float32 and as float64, the inner activations of one block, and the last tokens'
    logits.

    Args:
        text: the config of the text model (transformers').
        width: bytes of one number in the model's dtype.
    """
    feed_forward = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    if isinstance(feed_forward, list):
        feed_forward = max(feed_forward)
    inside = batch_tokens * width * (4 * text.hidden_size + 3 * feed_forward)
    residuals = batch_tokens * text.hidden_size * (width + 4 + 8)
    return residuals + inside + batch_tokens // PROMPT_TOKENS * text.vocab_size * (width + 4)


def free_memory(config: ModelConfig, device: str) -> tuple[int, str]:
    """Returns the free bytes and where they are: those of the device; with a device_map or tensor
    parallelism, those of all GPUs in use together."""
    if not device.startswith("cuda"):
        import psutil

        available = int(psutil.virtual_memory().available)
        free, limit = min(cgroup_limits(), default=(available, 0))
        if free >= available:
            return available, device
        return free, f"{device} (a cgroup, as of a SLURM job, allows {gigabytes(limit)})"
    if config.device_map is not None or config.tensor_parallel:
        n = torch.cuda.device_count()
        n = min(n, int(os.environ.get("LOCAL_WORLD_SIZE", n))) if config.tensor_parallel else n
        return sum(torch.cuda.mem_get_info(i)[0] for i in range(n)), f"{n} GPU(s)"
    return torch.cuda.mem_get_info(torch.device(device))[0], device


def cgroup_limits(
    mount: Path | None = None, membership: Path | None = None
) -> Iterator[tuple[int, int]]:
    """Yields (free, limit) in bytes of each control group with a memory limit that this process is
    in, and of the groups above it; version 1 or 2.

    The machine's free memory does not count these limits, and a process that exceeds one is killed.
    Inside a container the path that the kernel names is often not there: the mount itself is the
    group.
    """
    mount, membership = mount or CGROUPS, membership or MEMBERSHIP
    if not membership.exists():  # not Linux
        return
    for line in membership.read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        version = 1 if controllers else 2
        root = mount / "memory" if version == 1 else mount
        inside = root / path.lstrip("/")
        for group in (inside, *(above for above in inside.parents if above.is_relative_to(root))):
            limits = _group_memory(group, version)
            if limits is not None:
                yield limits


def _group_memory(group: Path, version: int) -> tuple[int, int] | None:
    """Returns (free, limit) in bytes of the control group in a folder; None where it has no limit.

    Free is what is not in use, or is in use for files only, which the kernel gives back.
    """
    limit_name, used_name, prefix = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        if version == 1
        else ("memory.max", "memory.current", "")
    )
    limit_file = group / limit_name
    text = limit_file.read_text().strip() if limit_file.exists() else "max"
    if text == "max":
        return None
    limit = int(text)
    # A sandbox may lack memory.stat: then everything in use counts as used.
    stat = group / "memory.stat"
    counts = dict(row.split() for row in stat.read_text().splitlines()) if stat.exists() else {}
    files = sum(int(counts.get(f"{prefix}{name}_file", 0)) for name in ("active", "inactive"))
    used = max(0, int((group / used_name).read_text()) - files)
    return max(0, limit - used), limit
