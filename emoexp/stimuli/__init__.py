"""Stimuli: what a model is shown.

Packs on disk, of which every part is checked (`pack`, `load`), and the paper's own stimuli, which
are imported on the user's machine (`paper`).
"""

from emoexp.stimuli.blackmail import BlackmailScenario
from emoexp.stimuli.load import BUNDLED, artifacts_root, load_stimuli
from emoexp.stimuli.pack import (
    NumericTemplate,
    Opening,
    SelfReportOpenings,
    Stimuli,
    choose_emotions,
)

__all__ = [
    "BUNDLED",
    "BlackmailScenario",
    "NumericTemplate",
    "Opening",
    "SelfReportOpenings",
    "Stimuli",
    "artifacts_root",
    "choose_emotions",
    "load_stimuli",
]
