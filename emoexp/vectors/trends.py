"""How a probe's cosine follows the number in a prompt: rank correlation, and size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from emoexp.stats.intervals import central, rank_columns
from emoexp.stimuli import NumericTemplate
from emoexp.vectors.probes import cosine


def trends(
    residuals: Sequence[np.ndarray], directions: np.ndarray, templates: Sequence[NumericTemplate]
) -> np.ndarray:
    """Returns Spearman's rho of value and cosine; (template, direction)."""
    return np.stack(
        [
            rank_columns(cosine(h, directions), np.array(t.values))
            for t, h in zip(templates, residuals, strict=True)
        ]
    )


def trend_sizes(
    residuals: Sequence[np.ndarray], directions: np.ndarray, prompts: np.ndarray
) -> np.ndarray:
    """Returns the range of the cosine over the values of each template, in standard deviations of
    the same cosine over all prompts.

    A rank correlation is 1 on a line however flat it is; this says how flat.

    Args:
        residuals: of the values of each template; (value, d_model).
        directions: (direction, d_model).
        prompts: residuals of all prompts of the pack that are read at the same token;
            (prompt, d_model).

    Returns:
        (template, direction).
    """
    spread = cosine(prompts, directions).std(0)
    return np.stack([np.ptp(cosine(h, directions), axis=0) / spread for h in residuals])


def curves(
    residuals: Sequence[np.ndarray],
    directions: np.ndarray,
    templates: Sequence[NumericTemplate],
    probes: list[str],
) -> pd.DataFrame:
    """Lays out the cosine of each probe at each value; columns template, value and the probes."""
    parts = [
        pd.DataFrame(cosine(h, directions), columns=probes).assign(template=t.key, value=t.values)
        for t, h in zip(templates, residuals, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)[["template", "value", *probes]]


def by_draw(found: np.ndarray, cells: pd.DataFrame) -> pd.DataFrame:
    """Lays statistics of random directions out by draw and cell; (template, draw x probe)."""
    values = found.reshape(len(found), -1, len(cells) // len(found)).swapaxes(0, 1)
    columns = (cells["template"] + ": " + cells["probe"]).tolist()
    return pd.DataFrame(values.reshape(len(values), -1), columns=columns)


def sizes_of(cells: pd.DataFrame, noise: np.ndarray) -> pd.DataFrame:
    """Lays each curve's size beside the 95 % range of isotropic directions'; (draw, cell)."""
    low, high = np.array([central(column) for column in noise.T]).T
    table = cells[["template", "probe", "spearman", "expected", "size"]]
    return table.assign(null_low=low, null_high=high, beyond=cells["size"].to_numpy() > high)
