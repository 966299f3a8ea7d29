"""result.json: what a run leaves of itself."""

from __future__ import annotations

import json
import os
from enum import Enum
from pathlib import Path
from typing import Any


class RunStatus(Enum):
    """`started` is written before anything runs, so that a killed run can be told from a failed
    one."""

    started = "started"
    success = "success"
    error = "error"


def write_json(path: Path, content: dict[str, Any]) -> None:
    """JSON, renamed into place; NaN raises."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)
