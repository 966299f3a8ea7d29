"""Extraction and vectors: planted directions come back, the skip and the weights are right, foreign files are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emoexp.artifacts import Artifacts
from emoexp.errors import EmoexpError
from emoexp.extraction import SKIP_TOKENS, StoryMeans, extract, length_batches, pool_texts
from emoexp.model import SubjectModel
from emoexp.prompts import Prompt
from emoexp.stories.corpus import Corpus, Story
from emoexp.vectors import EmotionVectors, fit_vectors, isotropic_directions, mixture_directions, neutral_components

EMOTIONS = ("happy", "sad", "afraid")


def by_hand(model: SubjectModel, text: str, layer: int) -> np.ndarray:
    """One text, no batch: transformers' own hidden states, tokens 50 on."""
    ids = torch.tensor([model.tokenizer(text)["input_ids"]])
    h = model.network(input_ids=ids, output_hidden_states=True).hidden_states[layer + 1][0]
    return h[1 + SKIP_TOKENS :].double().mean(0).numpy()  # 1: BOS


@pytest.mark.parametrize("side", ["left", "right"])
def test_pooling_equals_one_text_at_a_time(tiny: SubjectModel, corpus: Corpus, side: str) -> None:
    texts = [s.text for s in corpus.by_emotion["sad"][:6]]
    pooled = pool_texts(tiny, texts, side=side)
    for i, text in enumerate(texts):
        np.testing.assert_allclose(pooled["means"][i, 2], by_hand(tiny, text, 2), rtol=1e-3, atol=1e-4)


def test_short_texts_are_dropped_and_counted_not_averaged_in(tiny: SubjectModel, corpus: Corpus) -> None:
    text = corpus.by_emotion["sad"][0].text
    pooled = pool_texts(tiny, [text, "A cart rolled by."])
    assert pooled["kept"].tolist() == [True, False]
    assert len(pooled["means"]) == 1


def test_norms_leave_bos_out(tiny: SubjectModel, corpus: Corpus) -> None:
    text = corpus.by_emotion["sad"][0].text
    pooled = pool_texts(tiny, [text])
    h = tiny.residuals(tiny.encode([Prompt(text)]), [1])[0, 0].double()
    assert pooled["norm_sum"][1] / pooled["norm_count"] == pytest.approx(float(h[1:].norm(dim=-1).mean()))


def test_stories_weigh_equally_whatever_their_length(tiny: SubjectModel, corpus: Corpus, tmp_path: Path) -> None:
    means = extract(tiny, corpus, EMOTIONS, Artifacts(tmp_path), 3)
    for e, emotion in enumerate(EMOTIONS):
        stories = [by_hand(tiny, s.text, 3) for s in corpus.by_emotion[emotion][:3]]
        np.testing.assert_allclose(means.by_emotion[e, 3], np.mean(stories, 0), rtol=1e-3, atol=1e-4)


def test_batches_keep_to_their_budget_and_hold_every_text_once() -> None:
    lengths = [5, 90, 7, 30, 30, 200]
    batches = length_batches(lengths, 100)
    assert sorted(i for batch in batches for i in batch) == list(range(6))
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= 100 for b in batches)


def planted(seed: int = 0) -> tuple[StoryMeans, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    directions, nuisance = rng.standard_normal((6, 24)), rng.standard_normal((2, 24))
    by_emotion = 3 + directions + 5 * rng.standard_normal((6, 2)) @ nuisance
    neutral = 3 + 8 * rng.standard_normal((200, 2)) @ nuisance + 0.1 * rng.standard_normal((200, 24))
    names = tuple("abcdef")
    means = StoryMeans(names, by_emotion[:, None], neutral[:, None], np.array([7.0]), np.full(6, 10), 0, {"model": "m", "pack": "p"})
    return means, directions, nuisance


def test_planted_directions_are_recovered() -> None:
    means, directions, nuisance = planted()
    vectors = fit_vectors(means, 0, neutral_variance=0.99)
    basis = np.linalg.qr(nuisance.T)[0]
    wanted = directions - directions.mean(0)
    wanted -= wanted @ basis @ basis.T
    cosines = (vectors.directions * wanted).sum(1) / np.linalg.norm(wanted, axis=1)
    assert cosines.min() > 0.99
    raw = fit_vectors(means, 0, neutral_variance=0)
    assert ((raw.directions * wanted).sum(1) / np.linalg.norm(wanted, axis=1)).max() < 0.9, "without denoising the nuisance wins: the test can fail"


def test_vectors_are_unit_orthogonal_to_what_was_projected_out_and_know_their_norm() -> None:
    means, _, _ = planted()
    vectors = fit_vectors(means, 0)
    np.testing.assert_allclose(np.linalg.norm(vectors.directions, axis=1), 1)
    components = neutral_components(means.neutral[:, 0], 0.5)
    assert len(components) == vectors.n_neutral_components >= 1
    np.testing.assert_allclose(vectors.directions @ components.T, 0, atol=1e-12)
    assert vectors.residual_norm == 7.0


def test_neutral_components_are_over_texts_and_stop_at_the_share() -> None:
    rng = np.random.default_rng(1)
    data = rng.standard_normal((400, 5)) * np.array([10, 6, 1, 1, 1])
    assert len(neutral_components(data, 0.5)) == 1
    assert len(neutral_components(data, 0.9)) == 2
    assert abs(neutral_components(data, 0.5)[0, 0]) > 0.99


def test_a_vanishing_vector_is_refused() -> None:
    means, _, _ = planted()
    same = np.repeat(means.by_emotion.mean(0, keepdims=True), 6, 0)
    with pytest.raises(EmoexpError, match="is zero: its stories do not differ"):
        fit_vectors(replace(means, by_emotion=same), 0)


def test_files_of_another_model_pack_or_layer_are_refused(tmp_path: Path) -> None:
    vectors = fit_vectors(planted()[0], 0)
    path = tmp_path / "vectors.safetensors"
    vectors.save(path)
    same = EmotionVectors.load(path, identity={"model": "m", "pack": "p"}, layer=0)
    np.testing.assert_array_equal(same.directions, vectors.directions)
    assert (same.names, same.residual_norm, same.layer) == (vectors.names, vectors.residual_norm, 0)
    with pytest.raises(EmoexpError, match="vectors of another model"):
        EmotionVectors.load(path, identity={"model": "other", "pack": "p"}, layer=0)
    with pytest.raises(EmoexpError, match="vectors of another pack"):
        EmotionVectors.load(path, identity={"model": "m", "pack": "q"}, layer=0)
    with pytest.raises(EmoexpError, match="of layer 0, not 3"):
        EmotionVectors.load(path, identity={"model": "m", "pack": "p"}, layer=3)


def test_a_broken_file_is_one_line(tmp_path: Path) -> None:
    vectors = fit_vectors(planted()[0], 0)
    path = tmp_path / "vectors.safetensors"
    vectors.save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(EmoexpError, match="is not a whole safetensors file") as caught:
        EmotionVectors.load(path, identity={}, layer=0)
    assert "\n" not in str(caught.value)
    with pytest.raises(EmoexpError, match="does not exist"):
        EmotionVectors.load(tmp_path / "none", identity={}, layer=0)


def test_empty_and_short_story_sets_are_refused(tiny: SubjectModel, corpus: Corpus, tmp_path: Path) -> None:
    others = tuple(s for s in corpus.stories if s.emotion != "sad")
    empty, short = replace(corpus, stories=others), replace(corpus, stories=(*others, *[Story("sad", "t", "A cart rolled by.")] * 3))
    with pytest.raises(EmoexpError, match="has no stories of 'sad'"):
        extract(tiny, empty, EMOTIONS, Artifacts(tmp_path / "a"), None)
    with pytest.raises(EmoexpError, match="all 3 stories of 'sad' have 50 tokens or fewer"):
        extract(tiny, short, EMOTIONS, Artifacts(tmp_path / "b"), None)


def test_random_directions_are_unit_and_the_mixtures_stay_in_the_span() -> None:
    rng = np.random.default_rng(0)
    basis = np.eye(10)[:3]
    iso, mix = isotropic_directions(50, 10, rng), mixture_directions(50, basis, rng)
    np.testing.assert_allclose(np.linalg.norm(np.concatenate([iso, mix]), axis=1), 1)
    assert np.abs(mix[:, 3:]).max() == 0
    assert np.abs(iso[:, 3:]).max() > 0


def test_identity_travels_as_json(tmp_path: Path) -> None:
    """What a file says of itself must compare equal after a round trip, nested values included."""
    means = replace(planted()[0], identity={"model": {"repo_id": "x", "revision": None}, "pack": "p", "skip": 50})
    vectors = fit_vectors(means, 0)
    vectors.save(tmp_path / "v")
    assert EmotionVectors.load(tmp_path / "v", identity=means.identity, layer=0).identity == json.loads(json.dumps(vectors.identity))
