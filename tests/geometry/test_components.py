"""Principal components: shares and scores are those of a PCA of the vectors, and signs follow
valence."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from emoexp.geometry.components import (
    component_rows,
    coordinate_rows,
    end_rows,
    principal_components,
    variance_shares,
)
from tests.geometry.test_layer import (
    NAMES,
    geometry_of,
    planted,
    random_directions,
    vectors_of,
)

UNKNOWN = np.full(len(NAMES), np.nan)


def test_components_are_those_of_a_pca_of_the_vectors() -> None:
    directions = vectors_of(planted(random_directions(), 0.5)).directions
    found = principal_components(directions @ directions.T, UNKNOWN)
    pca = PCA(n_components=7).fit(directions)
    np.testing.assert_allclose(found.shares, pca.explained_variance_ratio_, atol=1e-9)
    np.testing.assert_allclose(np.abs(found.scores), np.abs(pca.transform(directions)), atol=1e-7)
    assert found.shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(
        variance_shares(np.stack([directions @ directions.T] * 2))[1], found.shares
    )


def test_the_sign_follows_valence_and_else_the_largest_score() -> None:
    directions = random_directions()
    valence = np.array([1, 1, -1, np.nan, -1, np.nan, 1, -1.0])
    cosines = directions @ directions.T
    known = np.isfinite(valence)
    for ratings in (valence, -valence):
        scores = principal_components(cosines, ratings).scores[known]
        r = [np.corrcoef(score, ratings[known])[0, 1] for score in scores.T]
        assert min(r) > 0
    for nothing in (UNKNOWN, np.where(known, 1.0, np.nan)):
        scores = principal_components(cosines, nothing).scores
        assert (scores.max(0) == np.abs(scores).max(0)).all()


def test_rows_have_the_null_of_the_same_component_and_both_ends() -> None:
    axis = np.zeros(40)
    axis[0] = 1
    signs = np.array([1, 1, -1, 1, -1, -1, 1, -1])
    groups = planted(signs[:, None] * axis, 3.0)
    here = geometry_of(groups)
    found = principal_components(here.cosines, signs.astype(float))
    rows = component_rows(here, found)
    assert rows["component"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert rows["share"][0] > 0.6 > rows["shuffled_high"][0] > rows["shuffled_low"][0] > 1 / 7
    assert rows["share"][1] < rows["shuffled_low"][1], "shuffled labels spread over components"
    shares = np.array([variance_shares(one)[1] for one in here.shuffled])
    assert rows["shuffled_high"][1] == pytest.approx(np.quantile(shares, 0.975))
    ends = end_rows(here, found)
    assert len(ends) == 3 * 2 * 4, "half of eight emotions at each end"
    first = ends[ends["component"] == 1]
    for end, sign in (("top", 1), ("bottom", -1)):
        part = first[first["end"] == end]
        assert set(part["emotion"]) == {e for e, s in zip(NAMES, signs, strict=True) if s == sign}
        assert part["rank"].tolist() == [1, 2, 3, 4]
        assert (np.diff(sign * part["score"]) <= 0).all(), "the outermost first"
    places = coordinate_rows(NAMES, found, signs.astype(float))
    assert places.columns.tolist() == ["emotion", "x", "y", "method", "valence"]
    np.testing.assert_array_equal(np.sign(places["x"]), signs)
