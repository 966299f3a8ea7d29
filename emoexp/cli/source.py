"""The source of the code that a run traces stays what it was at its start."""

from __future__ import annotations

import linecache
import sys
from importlib import import_module
from pathlib import Path

from emoexp.places import PACKAGE

TRACING = ("emoexp.models.subject", "emoexp.models.batches", "emoexp.steering.preference")


def hold_code() -> None:
    """Imports the modules that trace, and holds the source of every module of emoexp there is.

    nnsight reads the source of what it traces at the first trace, which may be hours in.
    """
    for name in TRACING:
        import_module(name)
    for loaded in list(sys.modules.values()):
        file = getattr(loaded, "__file__", None)
        if file and PACKAGE in Path(file).parents:
            hold_source(file)


def hold_source(file: str) -> None:
    """Keeps the lines of a source file as they are now: linecache does not read a file again whose
    entry has no time of modification."""
    lines = linecache.getlines(file)
    linecache.cache[file] = (sum(map(len, lines)), None, lines, file)
