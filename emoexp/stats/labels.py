"""Labels of the sets of directions, the same in every table and figure."""

from __future__ import annotations

EMOTIONS = "emotions"
"""The emotion vectors under test."""
ISOTROPIC = "isotropic random"
"""Random directions of the whole residual stream."""
MIXTURES = "random mixtures of emotions"
"""Random directions within the span of the emotion vectors."""
OTHER_EMOTIONS = "other emotions"
"""Vectors of emotions that are not under test."""
SUBTRACTED = "exemplars, subtracted"
"""The vectors of the pack's exemplars, subtracted instead of added."""
UNSTEERED = "unsteered"
"""The model without steering."""
