"""Hydra callbacks: what a sweep expects, written before it starts; a failed job's exit status;
after a sweep, its one table."""

from __future__ import annotations

import atexit
import hashlib
import itertools
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from emoexp.cli.usage import options
from emoexp.config import Config, ModelConfig, ServerConfig, StoriesConfig
from emoexp.store import runs
from emoexp.store.runs import layer_folder

UNNAMED = (
    "launcher",
    *Config.how,
    *(f"model.{name}" for name in ModelConfig.how),
    *(f"stories.{name}" for name in StoriesConfig.how),
    *(f"experiment.judge_model.{name}" for name in ServerConfig.how),
)
"""Settings of how a run is run, which do not name its directory: a sweep that goes on with another
launcher finds what is done."""
READABLE = 60
"""Characters of a directory's name before its hash."""

under_way: list[Path] = []
"""Sweeps that this process drives and has not reported on. Hydra leaves one with failed jobs by an
exception, without on_multirun_end."""


class Sweep(Callback):
    """The only callback. A sweep's files on disk are the truth about it, not what a launcher
    returns."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        from emoexp.store.artifacts import write_json
        from emoexp.store.provenance import provenance

        directory = Path(config.hydra.sweep.dir).absolute()
        directory.mkdir(parents=True, exist_ok=True)
        under_way.append(directory)
        if str(config.hydra.launcher.get("_target_")).endswith("LocalLauncher"):
            _spare_controllers()
        write_json(
            directory / runs.SWEEP,
            {
                "expected": expected_jobs(list(config.hydra.overrides.task)),
                "code": runs.code_hash(),
                "started": runs.now(),
                "provenance": provenance(),
            },
        )

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """A scheduler must see a failed job as failed. Leaving at once would lose the result that
        the launcher waits for, so the status is set when the process ends by itself, after submitit
        has written it."""
        if job_return.status == JobStatus.FAILED and "SUBMITIT_EXECUTOR" in os.environ:
            atexit.register(_leave_as_failed)


def _spare_controllers() -> None:
    """Makes the processes by which submitit watches over local jobs ignore a Ctrl-C, of which they
    would print tracebacks: they end when their jobs do. A job takes it again, in
    `main.run_config`."""
    from submitit.local import local

    start = local.start_controller

    def deaf(*given: Any, **named: Any) -> Any:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return start(*given, **named)
        finally:
            signal.signal(signal.SIGINT, before)

    local.start_controller = deaf


def report_sweeps() -> None:
    """The table of each sweep that has ended, whether or not all of its jobs did well."""
    while under_way:
        from emoexp.report import report_sweep

        report_sweep(under_way.pop())


def _leave_as_failed() -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def run_name(overrides: Sequence[str]) -> str:
    """Returns the name of a job's directory in a sweep: its settings, cut, and a hash of all.

    It has letters, digits, dots, hyphens and underscores only, so that a path with it needs no
    quotes in a shell or in an override: `layer-10_model-llama8b_3f0c92aa`.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    named = (o for o in parsed if not _unnamed(o.key_or_group))
    settings = sorted(o.input_line or "" for o in named)
    digest = hashlib.sha256("\n".join(settings).encode()).hexdigest()[:8]
    # the layer and the model first: what is cut is the rest
    shown = sorted(settings, key=lambda line: (not line.startswith(("layer=", "model=")), line))
    parts = (re.sub(r"[^A-Za-z0-9.]+", "-", _short(line)).strip("-.") for line in shown)
    return "_".join([*(p for p in ["_".join(parts)[:READABLE].rstrip("-_.")] if p), digest])


def _unnamed(key: str) -> bool:
    """Tells whether a setting, or the group that it is in, says how a run is run."""
    return key in UNNAMED or key.partition(".")[0] in UNNAMED


def _short(setting: str) -> str:
    """Returns an override with the last part of its key only: `strength=0.3`."""
    key, _, value = setting.partition("=")
    return f"{key.rpartition('.')[2]}={value}"


OmegaConf.register_new_resolver("run_name", run_name)


def expected_jobs(overrides: Sequence[str]) -> list[str]:
    """Returns the directories, below the sweep's, of the runs that its overrides make; a job with
    a list of layers has one for each."""
    parser = OverridesParser.create()
    values = [list(each(o)) for o in parser.parse_overrides(list(overrides))]
    found = []
    for job in itertools.product(*values):
        name = run_name(job)
        layer = [o.value() for o in parser.parse_overrides(list(job)) if o.key_or_group == "layer"]
        layers = layer[-1] if layer and isinstance(layer[-1], list) else []
        found += [f"{name}/{layer_folder(layer)}" for layer in layers] or [name]
    return found


def each(override: Override) -> Iterator[str]:
    """Yields an override once for each value that it sweeps over, as Hydra writes it for a job."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        yield f"{key}={override.get_value_element_as_str()}"
        return
    for value in swept(override):
        yield f"{key}={value}"


def swept(override: Override) -> list[str]:
    """Returns the values of a sweep, as they are written; those of glob() are options of a
    group."""
    if isinstance(value := override.value(), Glob):
        return value.filter(options(override.key_or_group))
    return list(override.sweep_string_iterator())
