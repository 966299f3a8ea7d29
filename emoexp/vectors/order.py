"""The order in which emotions are read on a map."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from emoexp.stats.matched_pairs import reading_order
from emoexp.vectors.vectors import EmotionVectors


def emotions_table(vectors: EmotionVectors, valence: Mapping[str, float]) -> pd.DataFrame:
    """Lists the emotions with their valence and their place on a map.

    Returns:
        columns emotion, valence (NaN where it is not known) and position: by valence where all are
        known, else by clusters of the directions.
    """
    order, _ = reading_order(vectors.names, dict(valence), vectors.directions)
    known = [valence.get(name, np.nan) for name in vectors.names]
    return pd.DataFrame({"emotion": vectors.names, "valence": known, "position": np.argsort(order)})
