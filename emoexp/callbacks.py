"""Hydra callbacks: after a sweep, its one table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SweepTable(Callback):
    """Prints the table of a sweep that ran in this process. A failed sweep's is there through `python -m emoexp.report`."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        from emoexp.report import report

        report([Path(config.hydra.sweep.dir).absolute()])
