"""Compares the norms with the signs of a pack's valence."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from emoexp.stats.intervals import wilson_share
from emoexp.stimuli.norms.lexicon import Norms


def sign_table(norms: Norms, pack: Mapping[str, float]) -> pd.DataFrame:
    """Lists the emotions with their norms and with the pack's valence.

    Args:
        pack: valence by emotion, as far as the pack knows it.

    Returns:
        columns emotion, valence and arousal (the norms, NaN where there are none), pack_valence,
        and same_sign: 1 or 0, NaN where either is not known or zero.
    """
    table = pd.DataFrame({"emotion": norms.emotions})
    by_emotion = {"valence": norms.valence, "arousal": norms.arousal, "pack_valence": pack}
    for column, known in by_emotion.items():
        table[column] = table["emotion"].map(known)
    product = table["valence"] * table["pack_valence"]
    table["same_sign"] = np.select([product > 0, product < 0], [1.0, 0.0], np.nan)
    return table


def sign_note(table: pd.DataFrame) -> str:
    """Returns one line: for how many emotions norms and pack have the same sign, with Wilson's
    95 % interval of the share, and the others with their norm."""
    both = table[table["same_sign"].notna()]
    if both.empty:
        return "norms and the pack's signs: no emotion has both"
    same, n = int(both["same_sign"].sum()), len(both)
    low, high = wilson_share(same, n)
    others = ", ".join(
        f"{row.emotion} {row.valence:+.2f}" for row in both[both["same_sign"] == 0].itertuples()
    )
    return (
        f"norms and the pack's signs of valence: the same for {same} of {n} emotions"
        f" ({same / n:.2f}, 95 % {low:.2f} to {high:.2f})"
        f"{f'; of the other sign: {others}' if others else ''}"
    )
