"""Stimuli: what a model is shown. Packs on disk, checked whole (`pack`), and the paper's own, imported on the user's machine (`paper`)."""

from emoexp.stimuli.pack import (
    BUNDLED,
    FILES,
    N_ACTIVITIES,
    Activity,
    NumericTemplate,
    Scenario,
    Stimuli,
    choose_emotions,
    faults,
    load_stimuli,
)

__all__ = ["BUNDLED", "FILES", "N_ACTIVITIES", "Activity", "NumericTemplate", "Scenario", "Stimuli", "choose_emotions", "faults", "load_stimuli"]
