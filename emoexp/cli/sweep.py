"""Hydra callbacks: what a sweep expects, written before it starts; a failed job's exit status;
after a sweep, its one table."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from emoexp.store import runs

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
        expected = expected_jobs(
            list(config.hydra.overrides.task), config.hydra.job.config.override_dirname
        )
        write_json(
            directory / runs.SWEEP,
            {
                "expected": expected,
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
    would print tracebacks: they end when their jobs do. A job takes it again (`main.task`)."""
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


def expected_jobs(overrides: list[str], naming: DictConfig) -> list[str]:
    """The directories, below the sweep's, of the jobs that its overrides make."""
    parser = OverridesParser.create()
    batches = BasicSweeper.split_arguments(parser.parse_overrides(overrides), None)
    jobs = [parser.parse_overrides(list(job)) for batch in batches for job in batch]
    return [
        get_overrides_dirname(
            overrides=job,
            exclude_keys=list(naming.exclude_keys),
            item_sep=naming.item_sep,
            kv_sep=naming.kv_sep,
        )
        for job in jobs
    ]
