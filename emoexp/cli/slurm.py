"""What `launcher=slurm` asks a cluster for: GPUs, memory, cores and time of one job, from the
estimate of the largest model of the sweep. What the user sets stays."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from emoexp.cli.sweep import each
from emoexp.config import Config
from emoexp.errors import EmoexpError
from emoexp.places import CONF

if TYPE_CHECKING:
    from emoexp.models.loading.memory import Memory

READ = ("model", "runtime.gpu_gb")
"""Overrides that decide the request."""
MAP = "model.device_map"

SMALL_BYTES = 2e9
"""Below this a model runs on two cores, without a GPU."""
HEADROOM = 1.2
"""Memory asked for, over the estimate."""
GPUS_OF_A_NODE = (1, 2, 4, 8)
CORES_OF_A_GPU = 8
HOURS = 2.0
HOURS_OF_A_BILLION = 0.25
LONGEST_HOURS = 24.0
MANY = 8
"""Jobs at a time; fewer where one asks for several GPUs."""
FIELDS = ("gpus_per_node", "cpus_per_task", "mem_gb", "timeout_min", "array_parallelism")


@dataclass(frozen=True)
class SlurmRequest:
    """What one job asks for; the fields are those of Hydra's submitit launcher."""

    gpus_per_node: int | None
    cpus_per_task: int
    mem_gb: int
    timeout_min: int
    array_parallelism: int

    def overrides(self, given: set[str]) -> list[str]:
        """Returns the overrides of the launcher, without the keys that the user has `given`."""
        values = ((f"hydra.launcher.{name}", getattr(self, name)) for name in FIELDS)
        return [f"{key}={'null' if v is None else v}" for key, v in values if key not in given]


def request_for(memory: Memory, gpu_gb: float) -> SlurmRequest:
    """Returns the request of one job for a model.

    Args:
        memory: the estimate.
        gpu_gb: memory of one GPU of the cluster, in GB.

    Raises:
        EmoexpError: more than eight such GPUs would be needed.
    """
    need = (memory.weights + memory.activations) * HEADROOM
    if need < SMALL_BYTES:
        return SlurmRequest(None, 2, 8, int(HOURS * 60), MANY)
    least = math.ceil(need / (gpu_gb * 1e9))
    if least > GPUS_OF_A_NODE[-1]:
        raise EmoexpError(
            f"{memory.name} with {memory.weights / 1e9:.0f} GB of weights needs {least} GPUs of"
            f" runtime.gpu_gb={gpu_gb:g} GB, and a node has at most {GPUS_OF_A_NODE[-1]}: set"
            " model.quantization=nf4, or runtime.gpu_gb to what the cluster has"
        )
    gpus = next(n for n in GPUS_OF_A_NODE if n >= least)
    hours = min(LONGEST_HOURS, HOURS + HOURS_OF_A_BILLION * memory.parameters / 1e9)
    host = 16 + math.ceil(memory.weights * HEADROOM / 1e9)
    return SlurmRequest(gpus, CORES_OF_A_GPU * gpus, host, int(hours * 60), max(1, MANY // gpus))


def add_request(arguments: list[str], compose: Callable[[Sequence[str]], Config]) -> list[str]:
    """Returns a sweep's arguments with what its jobs ask for, which is also written to stderr.

    Nothing is added for another launcher, nor to what the user or the site's file sets.

    Args:
        compose: returns the configuration that overrides give.

    Raises:
        EmoexpError: the memory of a model cannot be estimated, or no node has it.
    """
    parser = OverridesParser.create()
    overrides = parser.parse_overrides([a for a in arguments if not a.startswith("-")])
    launcher = next((o.value() for o in overrides if o.key_or_group == "launcher"), "")
    if not str(launcher).startswith(("slurm", "site_")):
        return arguments
    given = {o.key_or_group for o in overrides} | _set_in(str(launcher))
    if {"hydra.launcher.mem_per_cpu", "hydra.launcher.mem_per_gpu"} & given:
        given.add("hydra.launcher.mem_gb")
    swept = [list(each(o)) for o in overrides if o.key_or_group.startswith(READ)]
    configs = [compose(job) for job in itertools.product(*swept)]
    memory, config = max(((_estimate(c), c) for c in configs), key=lambda pair: pair[0].weights)
    request = request_for(memory, config.runtime.gpu_gb)
    added = request.overrides(given)
    if (request.gpus_per_node or 0) > 1 and not {MAP, "model.tensor_parallel"} & given:
        added.append(f"{MAP}=auto")
    model = memory.line.partition(";")[0]
    told = ", ".join(override.removeprefix("hydra.launcher.") for override in added)
    sys.stderr.write(f"launcher={launcher}: each job asks for {told} ({model})\n")
    return [*arguments, *added]


def _set_in(launcher: str) -> set[str]:
    """Returns the launcher's keys that its file in conf sets."""
    content = yaml.safe_load((CONF / "launcher" / f"{launcher}.yaml").read_text(encoding="utf-8"))
    settings = (content.get("hydra") or {}).get("launcher") or {}
    return {f"hydra.launcher.{name}" for name in settings}


def _estimate(config: Config) -> Memory:
    """Returns the estimate for a model, which need not fit this machine."""
    from emoexp.models.loading.load import estimate

    return estimate(replace(config.model, device="cpu", device_map=None))


def advice(refusal: str) -> str:
    """Returns what to set where sbatch refuses what a job asks for; empty for another refusal."""
    for part, names in (
        ("Memory specification", "mem_gb (null asks for none)"),
        ("node configuration is not available", "gpus_per_node, cpus_per_task and mem_gb"),
        ("time limit", "timeout_min"),
    ):
        if part in refusal:
            return f"; set hydra.launcher.{names} to what a node of the cluster has"
    return ""
