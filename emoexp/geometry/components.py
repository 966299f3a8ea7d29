"""Principal components of the emotion vectors of a layer.

The components are of the unit vectors, centred over the emotions once more (scaling to norm 1 moves
their mean). Their Gram matrix is that of the cosines, centred on both sides, so all is computed
from the cosines: shares of variance are its eigenvalues, scores its eigenvectors times the roots of
those.

Shuffled labels are a null of the labels, not of emotion: each shuffled emotion is a mixture of
stories of all emotions, so where stories differ along one strong axis, the mixtures do too, and
have a large first component of their own. A share above their range says that the labels gather
more variance on the component than the stories alone; one within it does not say that the component
is not about emotion, which its correlation with ratings shows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from emoexp.geometry.layer import LayerGeometry
from emoexp.stats.intervals import central

REPORTED = 10
"""Components whose share is reported."""
ENDS = 3
"""Components whose ends are reported."""
AT_AN_END = 5
"""Emotions at an end of a component."""


class PrincipalComponents(NamedTuple):
    """Leading principal components.

    Attributes:
        shares: of the variance; (component,).
        scores: coordinates of the emotions; (emotion, component).
    """

    shares: np.ndarray
    scores: np.ndarray


def centred_gram(cosines: np.ndarray) -> np.ndarray:
    """Returns the Gram matrices of the vectors less their mean; (..., n, n) of cosines."""
    rows = cosines.mean(-1, keepdims=True)
    return np.asarray(cosines - rows - rows.swapaxes(-1, -2) + rows.mean(-2, keepdims=True))


def variance_shares(cosines: np.ndarray) -> np.ndarray:
    """Returns the share of variance of each component, the largest first; (..., n, n) of cosines
    -> (..., n - 1)."""
    values = np.linalg.eigvalsh(centred_gram(cosines))[..., :0:-1]
    return np.asarray(values / values.sum(-1, keepdims=True))


def principal_components(cosines: np.ndarray, valence: np.ndarray) -> PrincipalComponents:
    """Computes the leading components of the vectors with these cosines.

    The sign of a component is arbitrary. It is chosen so that scores correlate positively with
    valence, or, where the valence of fewer than two emotions is known or all have the same, so that
    the largest score is positive.

    Args:
        cosines: (n, n).
        valence: NaN where it is not known; (n,).
    """
    values, vectors = np.linalg.eigh(centred_gram(cosines))
    most = min(REPORTED, len(cosines) - 1)
    values, vectors = values[::-1][:most], vectors[:, ::-1][:, :most]
    scores = vectors * np.sqrt(np.maximum(values, 0))
    known = np.isfinite(valence)
    if known.any() and np.ptp(valence[known]) > 0:
        signs = np.sign((valence[known] - valence[known].mean()) @ scores[known])
    else:
        signs = np.sign(scores[np.abs(scores).argmax(0), np.arange(most)])
    shares = variance_shares(cosines)[:most]
    return PrincipalComponents(shares, scores * np.where(signs == 0, 1, signs))


def component_rows(geometry: LayerGeometry, found: PrincipalComponents) -> pd.DataFrame:
    """Returns each component's share of variance, and its central 95 % under shuffled labels (the
    component of the same number in each draw)."""
    shuffled = variance_shares(geometry.shuffled)
    place = {"layer": geometry.layer, "depth": geometry.depth}
    return pd.DataFrame(
        [
            place
            | {"component": i + 1, "share": float(share)}
            | central(shuffled[:, i]).columns("shuffled")
            for i, share in enumerate(found.shares)
        ]
    )


def end_rows(geometry: LayerGeometry, found: PrincipalComponents) -> pd.DataFrame:
    """Returns the emotions at both ends of the first components, the outermost first.

    Where there are fewer than ten emotions, an end has half of them.
    """
    most = min(AT_AN_END, len(geometry.names) // 2)
    rows = []
    for i in range(min(ENDS, found.scores.shape[1])):
        order = np.argsort(found.scores[:, i], kind="stable")
        for end, outermost in (("top", order[::-1]), ("bottom", order)):
            for rank, e in enumerate(outermost[:most], 1):
                rows.append(
                    {
                        "layer": geometry.layer,
                        "component": i + 1,
                        "end": end,
                        "rank": rank,
                        "emotion": geometry.names[e],
                        "score": float(found.scores[e, i]),
                    }
                )
    return pd.DataFrame(rows)


def coordinate_rows(
    names: tuple[str, ...], found: PrincipalComponents, valence: np.ndarray
) -> pd.DataFrame:
    """Returns the first two principal components of each emotion, beside its valence (NaN where it
    is not known)."""
    return pd.DataFrame(
        {
            "emotion": names,
            "x": found.scores[:, 0],
            "y": found.scores[:, 1],
            "method": "PCA",
            "valence": valence,
        }
    )
