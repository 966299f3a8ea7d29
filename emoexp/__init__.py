"""emoexp: does a language model carry emotion concepts as linear directions?

And do they drive what it does? README.md has the commands; `emoexp.api` has the functions.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
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

# A notebook exports its own backend to the commands that it starts, also to an environment that
# lacks it, where importing matplotlib would fail. emoexp draws into files and needs none.
if "inline" in os.environ.get("MPLBACKEND", "") and find_spec("matplotlib_inline") is None:
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
