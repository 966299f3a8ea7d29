"""Massive activations: a planted sink changes neither the unit of strength nor a verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emoexp.models.prompts import Prompt
from emoexp.models.subject import SubjectModel
from emoexp.store.artifacts import Artifacts
from emoexp.stories.corpus import Corpus
from emoexp.study.study import Study
from emoexp.vectors.extraction import extract
from emoexp.vectors.pooling import SKIP_TOKENS, pool_stories
from tests.helpers.sink import EXTRA, sink_organism
from tests.helpers.studies import composed

EMOTIONS = ("happy", "sad", "afraid")
LAYER = 5


@pytest.fixture(scope="module")
def sink() -> SubjectModel:
    return sink_organism()


@pytest.fixture(scope="module")
def organism(tmp_path_factory: pytest.TempPathFactory) -> SubjectModel:
    return composed("implicit", tmp_path_factory.mktemp("organism")).model


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores of the two models, which several tests fill and read."""
    return tmp_path_factory.mktemp("stores")


def test_massive_tokens_are_left_out_of_means_and_norms_and_counted(
    sink: SubjectModel, corpus: Corpus
) -> None:
    text = corpus.by_emotion["sad"][0].text
    row = pool_stories(sink, [text])
    encoding = sink.encode([Prompt(text)])
    h = sink.residuals(encoding, [LAYER])[0, 0].double().numpy()
    stops = h[:, -1] > 0
    assert stops[1 + SKIP_TOKENS :].any() and h[stops, -1].min() == 4500
    assert row["massive"][0].tolist() == [int(stops.sum())] * sink.n_layers
    norms = np.linalg.norm(h, axis=1)
    used = norms[1:][~stops[1:]]
    assert row["norm_count"][0, LAYER] == len(used)
    assert row["norm_sum"][0, LAYER] == pytest.approx(used.sum())
    late = np.arange(len(h)) > SKIP_TOKENS
    np.testing.assert_allclose(row["mean"][LAYER], h[late & ~stops].mean(0), atol=1e-4)


def test_a_sink_changes_neither_the_unit_nor_the_vectors(
    sink: SubjectModel, organism: SubjectModel, corpus: Corpus, tmp_path: Path
) -> None:
    with_sink = extract(sink, corpus, EMOTIONS, Artifacts(tmp_path), 6)
    without = extract(organism, corpus, EMOTIONS, Artifacts(tmp_path), 6)
    np.testing.assert_allclose(with_sink.residual_norm, without.residual_norm, rtol=0.1)
    assert with_sink.summary()["massive_tokens"] == [int(with_sink.massive[0])] * sink.n_layers
    assert with_sink.massive[0] > 100 and not without.massive.any()
    assert not with_sink.by_emotion[..., -EXTRA:].any()
    centred = [means.by_emotion[:, LAYER] for means in (with_sink, without)]
    a, b = (m - m.mean(0) for m in (centred[0][:, :-EXTRA], centred[1]))
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosines.min() > 0.9, "full stops carry something too"


def test_massive_dimensions_of_the_mean_are_counted(
    organism: SubjectModel, corpus: Corpus, tmp_path: Path
) -> None:
    means = extract(organism, corpus, EMOTIONS, Artifacts(tmp_path), 2)
    typical = np.median(np.abs(means.by_emotion.mean(0)[3]))
    before = means.massive_dimensions()
    means.by_emotion[:, 3, 7] = 1000 * typical
    after = means.massive_dimensions()
    assert [a - b for a, b in zip(after, before, strict=True)] == [0, 0, 0, 1, 0, 0, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["logit_lens", "implicit", "numeric", "correlation"])
def test_a_sink_changes_no_verdict(
    sink: SubjectModel, organism: SubjectModel, stores: Path, experiment: str
) -> None:
    verdicts = []
    for name, model in (("sink", sink), ("organism", organism)):
        config = composed(experiment, stores / name, "scale.stories_per_emotion=12").config
        result = config.experiment.run(Study.of(config, model=model))
        verdicts.append({v.id: v for v in result.verdicts})
    assert verdicts[0].keys() == verdicts[1].keys()
    for id_, planted in verdicts[0].items():
        assert planted.passed == verdicts[1][id_].passed
        assert planted.value == pytest.approx(verdicts[1][id_].value, abs=3, rel=0.1)
