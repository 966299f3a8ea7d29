"""emoexp: does a language model carry emotion concepts as linear directions?

And do they drive what it does? README.md has the commands; `emoexp.api` has the functions.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoexp.places import EXPERIMENTS

if TYPE_CHECKING:
    from emoexp.api import (
        EmotionVectors,
        Preferences,
        Steering,
        Stimuli,
        SubjectModel,
        fit_vectors,
        load_model,
        load_stimuli,
        verify,
    )

__version__ = "0.1.0"
__all__ = [
    "EmotionVectors",
    "Preferences",
    "Steering",
    "Stimuli",
    "SubjectModel",
    "fit_vectors",
    "load_model",
    "load_stimuli",
    "verify",
]


def _has_backend(name: str) -> bool:
    """Checks whether matplotlib has a backend, without importing it."""
    try:
        if name.startswith("module://"):
            return find_spec(name.removeprefix("module://")) is not None
        spec = find_spec("matplotlib")
    except (ImportError, ValueError):
        return False
    folder = Path(spec.origin or "").parent / "backends" if spec else Path()
    return (folder / f"backend_{name.lower()}.py").is_file()


# Notebooks export their backend to the commands that they start, also to those of an environment
# without it, where matplotlib does not even import. emoexp draws into files and needs none.
_backend = os.environ.get("MPLBACKEND")
if _backend and "matplotlib" not in sys.modules and not _has_backend(_backend):
    del os.environ["MPLBACKEND"]

# `emoexp.experiments` is the folder experiments/: beside this package in a checkout, inside it in
# a wheel.
__path__.append(str(EXPERIMENTS.parent))


def __getattr__(name: str) -> Any:
    """Loads a name of the public API when it is first read, so that `import emoexp` is cheap."""
    if name not in __all__:
        raise AttributeError(f"module 'emoexp' has no attribute {name!r}")
    from emoexp import api

    return getattr(api, name)
