"""What a model needs in memory against what there is, before any weight is loaded."""

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
"""The shortest prompt to estimate_memory with: it bounds the rows of a batch, and a row has its
logits."""
CGROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Memory:
    """Bytes. `packed` names the format of a checkpoint that is already quantized: then `weights`
    is what it takes unpacked, which is an upper bound, and nothing is refused on it."""

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
        return self.packed is not None or self.weights + self.activations <= self.free

    @property
    def line(self) -> str:
        """For people: `llama8b: 8.03 B parameters, bfloat16: 16.1 GB of weights + 6.4 GB of
        activations; 23.1 GB free on cpu`."""
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
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def estimate_memory(config: ModelConfig, checkpoint: Any, dtype: str, device: str) -> Memory:
    """The estimate for a checkpoint's config (transformers'), held in `dtype` on `device`."""
    with explained(f"model.repo_id={config.repo_id!r}"):
        quantizable, rows, others = count_parameters(checkpoint, config.trust_remote_code)
    width = BYTES[dtype]
    held = {
        Quantization.none: quantizable * width,
        Quantization.int8: quantizable + 4 * rows,
        Quantization.nf4: quantizable * NF4_BYTES,
    }
    free, where = free_memory(config, device)
    packed = getattr(checkpoint, "quantization_config", None)
    method = (
        packed.get("quant_method")
        if isinstance(packed, dict)
        else getattr(packed, "quant_method", None)
    )
    return Memory(
        name=config.name,
        parameters=quantizable + others,
        dtype=(
            dtype
            if config.quantization is Quantization.none
            else f"{config.quantization.value} and {dtype}"
        ),
        weights=round(held[config.quantization] + others * width),
        activations=activation_bytes(config.batch_tokens, checkpoint.get_text_config(), width),
        free=free,
        where=where,
        packed=str(getattr(method, "value", method)) if packed else None,
    )


def refuse_unless_it_fits(memory: Memory) -> None:
    """Raises EmoexpError, one line, where the estimate is above what is free."""
    if not memory.fits:
        need = gigabytes(memory.weights + memory.activations)
        raise EmoexpError(
            f"{memory.line}: it needs {need} and does not fit; set model.quantization=nf4,"
            " model.device_map=auto, a smaller model.batch_tokens, or model.check_memory=false to"
            " try all the same"
        )


def count_parameters(checkpoint: Any, trust_remote_code: bool = False) -> tuple[int, int, int]:
    """Elements that bitsandbytes would quantize, their output rows, and all other elements, of the
    model built without storage.

    It quantizes linear maps but the unembedding; embeddings, norms and the stacked experts of a
    mixture stay as they are.
    """
    from transformers import AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(
            copy.deepcopy(checkpoint), trust_remote_code=trust_remote_code
        )
    kept = network.get_output_embeddings()
    linear = [
        m.weight for m in network.modules() if isinstance(m, nn.Linear | Conv1D) and m is not kept
    ]
    quantizable = sum(w.numel() for w in linear)
    return (
        quantizable,
        sum(max(w.shape) for w in linear),
        sum(p.numel() for p in network.parameters()) - quantizable,
    )


def activation_bytes(batch_tokens: int, text: Any, width: int) -> int:
    """A forward's peak: one layer's residuals as they come, as float32 and as float64, one block's
    inside, and the last tokens' logits."""
    feed_forward = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    inside = (
        batch_tokens
        * width
        * (
            4 * text.hidden_size
            + 3 * (max(feed_forward) if isinstance(feed_forward, list) else feed_forward)
        )
    )
    residuals = batch_tokens * text.hidden_size * (width + 4 + 8)
    return residuals + inside + batch_tokens // PROMPT_TOKENS * text.vocab_size * (width + 4)


def free_memory(config: ModelConfig, device: str) -> tuple[int, str]:
    """Free bytes and where: the device's; with a device_map or tensor parallelism, those of all
    GPUs in use together."""
    if not device.startswith("cuda"):
        import psutil

        available = int(psutil.virtual_memory().available)
        free, limit = min(cgroup_limits(), default=(available, 0))
        return (
            (available, device)
            if free >= available
            else (free, f"{device} (a cgroup, as of a SLURM job, allows {gigabytes(limit)})")
        )
    if config.device_map is not None or config.tensor_parallel:
        n = torch.cuda.device_count()
        n = min(n, int(os.environ.get("LOCAL_WORLD_SIZE", n))) if config.tensor_parallel else n
        return sum(torch.cuda.mem_get_info(i)[0] for i in range(n)), f"{n} GPU(s)"
    return torch.cuda.mem_get_info(torch.device(device))[0], device


def cgroup_limits(
    mount: Path | None = None, membership: Path | None = None
) -> Iterator[tuple[int, int]]:
    """(free, limit) in bytes of each control group with a memory limit that this process is in, and
    of those above it; version 1 or 2.

    The machine's free memory knows nothing of them, and a process that outgrows one is killed. Free
    is what is not in use, or is in use for files only, which the kernel gives back. Inside a
    container the path that the kernel names is often not there: the mount itself is the group.
    """
    mount, membership = mount or CGROUPS, membership or MEMBERSHIP
    if not membership.exists():  # not Linux
        return
    for line in membership.read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = mount / "memory" if controllers else mount
        limit_file, used_file, prefix = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
            if controllers
            else ("memory.max", "memory.current", "")
        )
        inside = root / path.lstrip("/")
        for group in (inside, *(above for above in inside.parents if above.is_relative_to(root))):
            if (
                not (group / limit_file).exists()
                or (limit := (group / limit_file).read_text().strip()) == "max"
            ):
                continue
            stat = (
                group / "memory.stat"
            )  # which a sandbox may lack: then all that is in use counts as used
            kept = (
                dict(row.split() for row in stat.read_text().splitlines()) if stat.exists() else {}
            )
            files = sum(int(kept.get(f"{prefix}{name}_file", 0)) for name in ("active", "inactive"))
            yield (
                max(0, int(limit) - max(0, int((group / used_file).read_text()) - files)),
                int(limit),
            )
