"""What tests of sweeps share."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
SMALL = ("experiment=implicit", "scale=smoke", "emotions=core12")
Run = Callable[..., subprocess.CompletedProcess[str]]


def records(directory: Path) -> dict[str, Any]:
    """What result.json says, by the name of the run's directory."""
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(directory.glob("*/result.json"))}
