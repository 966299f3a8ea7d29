"""Stimuli: what a model is shown.

Packs on disk, of which every part is checked (`pack`, `load`), and the paper's own stimuli, which
are imported on the user's machine (`paper`).
"""

from emoexp.stimuli.blackmail import BlackmailScenario, Ruling, Scene
from emoexp.stimuli.load import BUNDLED, artifacts_root, find_pack, load_stimuli, read_pack
from emoexp.stimuli.pack import (
    FILES,
    N_ACTIVITIES,
    Activity,
    NumericTemplate,
    Opening,
    Scenario,
    SelfReportOpenings,
    Stimuli,
    choose_emotions,
)

__all__ = [
    "BUNDLED",
    "FILES",
    "N_ACTIVITIES",
    "Activity",
    "BlackmailScenario",
    "NumericTemplate",
    "Opening",
    "Ruling",
    "Scenario",
    "Scene",
    "SelfReportOpenings",
    "Stimuli",
    "artifacts_root",
    "choose_emotions",
    "find_pack",
    "load_stimuli",
    "read_pack",
]
