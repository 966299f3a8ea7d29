"""Extraction and vectors: planted directions come back, the skip and the weights are right, foreign
files are refused."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from emoexp.errors import EmoexpError
from emoexp.models.batches import PADDING, length_batches
from emoexp.models.prompts import Prompt
from emoexp.models.subject import SubjectModel
from emoexp.store.artifacts import Artifacts
from emoexp.stories.corpus import Corpus, Story
from emoexp.vectors.controls import isotropic_directions, mixture_directions
from emoexp.vectors.extraction import StoryMeans, extract, load_groups
from emoexp.vectors.pooling import (
    GROUPS,
    SKIP_TOKENS,
    Pooled,
    check_texts,
    pool_batches,
    pool_stories,
    pool_texts,
    summing_device,
)
from emoexp.vectors.trends import trend_sizes
from emoexp.vectors.vectors import (
    EmotionVectors,
    directions_of,
    fit_vectors,
    neutral_components,
)
from tests.helpers.studies import composed

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
        np.testing.assert_allclose(pooled[i, 2], by_hand(tiny, text, 2), rtol=1e-3, atol=1e-4)


def test_short_texts_are_dropped_and_counted_not_averaged_in(
    tiny: SubjectModel, corpus: Corpus
) -> None:
    text = corpus.by_emotion["sad"][0].text
    assert len(pool_texts(tiny, ["A cart rolled by.", text])) == 1
    assert pool_texts(tiny, ["A cart rolled by."]).shape == (0, 5, 32)
    row = pool_stories(tiny, [text, "A cart rolled by.", text])
    assert (int(row["n"]), int(row["n_short"])) == (2, 1)
    np.testing.assert_allclose(row["mean"], pool_texts(tiny, [text])[0], atol=1e-5)


def test_norms_leave_bos_out(tiny: SubjectModel, corpus: Corpus) -> None:
    text = corpus.by_emotion["sad"][0].text
    row = pool_stories(tiny, [text])
    h = tiny.residuals(tiny.encode([Prompt(text)]), [1])[0, 0].double()
    mean = row["norm_sum"][0, 1] / row["norm_count"][0, 1]
    assert mean == pytest.approx(float(h[1:].norm(dim=-1).mean()))


def test_streamed_sums_equal_the_whole_batch_and_groups_reproduce_the_mean(
    tiny: SubjectModel, corpus: Corpus
) -> None:
    texts = [s.text for e in ("sad", "happy") for s in corpus.by_emotion[e]]
    texts.insert(
        3, "A cart rolled by."
    )  # the fourth story is dropped, and moves no other into another group
    assert len(texts) > GROUPS, "some groups must have more stories than others"
    row, each = pool_stories(tiny, texts), pool_texts(tiny, texts)
    np.testing.assert_allclose(row["mean"], each.mean(0), rtol=0, atol=1e-12)
    assert row["groups"].dtype == np.float32
    assert row["group_n"].tolist() == [
        len(range(g, len(texts), GROUPS)) - (g == 3) for g in range(GROUPS)
    ]
    assert len(set(row["group_n"].tolist())) > 1
    np.testing.assert_allclose(
        np.average(row["groups"], axis=0, weights=row["group_n"]), row["mean"], rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(
        row["groups"][5], each[[4, 4 + GROUPS]].mean(0), rtol=1e-5, atol=1e-5
    )  # one less than the index, for the dropped one


def test_a_group_without_a_story_counts_none(tiny: SubjectModel, corpus: Corpus) -> None:
    row = pool_stories(tiny, [corpus.by_emotion["sad"][0].text, "A cart rolled by."])
    assert row["group_n"].tolist() == [1, 0]


def test_extraction_never_holds_more_than_a_batch(
    tiny: SubjectModel, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Structural: whatever the number of stories, what a batch returned is gone when the next but
    one is made."""
    held: list[weakref.ref[np.ndarray]] = []
    most: dict[int, int] = {}

    def watched(model: SubjectModel, texts: list[str], side: str = "right") -> Iterator[Pooled]:
        for batch in pool_batches(model, texts, side):
            alive = [r() for r in held]
            rows = len(batch.means) + sum(len(a) for a in alive if a is not None)
            del alive
            held.append(weakref.ref(batch.means))
            most[len(texts)] = max(most.get(len(texts), 0), rows)
            yield batch

    monkeypatch.setattr("emoexp.vectors.pooling.pool_batches", watched)
    monkeypatch.setattr(tiny.config, "batch_tokens", 600)
    texts = [s.text for s in corpus.by_emotion["sad"][:8]]
    tensors = [pool_stories(tiny, texts * k) for k in (4, 8)]
    assert {k: v.nbytes for k, v in tensors[0].items()} == {
        k: v.nbytes for k, v in tensors[1].items()
    }, "what is kept does not grow"
    assert len(held) > 10
    assert most[64] <= 2 * 600 // SKIP_TOKENS
    most.clear()
    pool_texts(tiny, texts * 8)  # keeps every text, and so shows that the count can fail
    assert most[64] > 2 * 600 // SKIP_TOKENS


def test_sums_are_in_float64_on_a_device_that_has_it() -> None:
    assert summing_device(torch.device("cuda", 1)) == torch.device("cuda", 1)
    assert summing_device(torch.device("mps")) == torch.device("cpu")


def test_activations_that_are_not_numbers_are_refused(
    tiny: SubjectModel, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = tiny.read
    monkeypatch.setattr(tiny, "read", lambda layer: read(layer) * float("inf"))
    with pytest.raises(
        EmoexpError,
        match="not numbers .* at layer 0 in 1 of 1 texts .*'.*': .*use model.dtype=bfloat16",
    ):
        pool_stories(tiny, [corpus.by_emotion["sad"][0].text])


def test_groups_are_read_at_one_layer_and_the_counts_are_told(
    tiny: SubjectModel, corpus: Corpus, tmp_path: Path
) -> None:
    store = Artifacts(tmp_path)
    short = replace(corpus, stories=(Story("sad", "t", "A cart rolled by."), *corpus.stories))
    means = extract(tiny, short, EMOTIONS, store, 5)
    groups = load_groups(means, store, 3)
    assert (groups.emotions, groups.layer, groups.means.shape) == (EMOTIONS, 3, (3, GROUPS, 32))
    assert groups.counts[:, :6].tolist() == [
        [1, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 0],
    ]
    weighted = (groups.means * groups.counts[:, :, None]).sum(1) / groups.counts.sum(1)[:, None]
    np.testing.assert_allclose(weighted, means.by_emotion[:, 3], rtol=1e-5, atol=1e-5)
    assert means.summary() == {
        "stories": 14,
        "stories_by_emotion": {"afraid": 5, "happy": 5, "sad": 4},
        "stories_per_emotion_min": 4,
        "stories_per_emotion_max": 5,
        "dropped": {"short": {"sad": 1}},
        "neutral": len(corpus.neutral),
        "massive_tokens": [0] * 5,
        "massive_dimensions": means.massive_dimensions(),
    }


def test_norms_leave_out_the_first_token_of_a_model_without_bos(
    tiny: SubjectModel, corpus: Corpus
) -> None:
    """It is an attention sink there (Qwen, GPT-2), and would blow up the unit of strength."""
    rules = json.loads(tiny.tokenizer.backend_tokenizer.to_str()) | {"post_processor": None}
    plain = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(rules)), pad_token="<pad>"
    )
    model = SubjectModel(tiny.network, plain, tiny.config)
    text = corpus.by_emotion["sad"][0].text
    norms = model.residuals(model.encode([Prompt(text)]), [2])[0, 0].double().norm(dim=-1)
    pooled = next(pool_batches(model, [text]))
    assert pooled.norm_count[0, 2] == len(norms) - 1
    assert pooled.norm_sum[0, 2] == pytest.approx(float(norms[1:].sum()), rel=1e-6)


def test_stories_weigh_equally_whatever_their_length(
    tiny: SubjectModel, corpus: Corpus, tmp_path: Path
) -> None:
    means = extract(tiny, corpus, EMOTIONS, Artifacts(tmp_path), 3)
    for e, emotion in enumerate(EMOTIONS):
        stories = [by_hand(tiny, s.text, 3) for s in corpus.by_emotion[emotion][:3]]
        np.testing.assert_allclose(
            means.by_emotion[e, 3], np.mean(stories, 0), rtol=1e-3, atol=1e-4
        )


def test_batches_keep_to_their_budget_and_hold_every_text_once() -> None:
    lengths = [5, 90, 7, 30, 30, 200]
    batches = length_batches(lengths, 100)
    assert sorted(i for batch in batches for i in batch) == list(range(6))
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= 100 for b in batches)


def test_batches_are_cut_where_padding_would_be_work_for_nothing() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(np.log(170), 0.3, 50).astype(int).tolist()
    batches = length_batches(lengths, 8192)
    padded = sum(len(b) * max(lengths[i] for i in b) for b in batches)
    assert padded <= (1 + PADDING) * sum(lengths) and len(batches) < 25
    assert length_batches([100] * 10, 1000) == [list(range(10))]


def planted(seed: int = 0) -> tuple[StoryMeans, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    directions, nuisance = rng.standard_normal((6, 24)), rng.standard_normal((2, 24))
    by_emotion = 3 + directions + 5 * rng.standard_normal((6, 2)) @ nuisance
    neutral = (
        3 + 8 * rng.standard_normal((200, 2)) @ nuisance + 0.1 * rng.standard_normal((200, 24))
    )
    names = tuple("abcdef")
    means = StoryMeans(
        names,
        by_emotion[:, None],
        neutral[:, None],
        np.array([7.0]),
        np.full(6, 10),
        {},
        {"model": "m", "pack": "p"},
    )
    return means, directions, nuisance


def test_planted_directions_are_recovered() -> None:
    means, directions, nuisance = planted()
    components = neutral_components(means.neutral[:, 0], 0.99)
    found = directions_of(means.by_emotion[:, 0], components, means.emotions)
    basis = np.linalg.qr(nuisance.T)[0]
    wanted = directions - directions.mean(0)
    wanted -= wanted @ basis @ basis.T
    cosines = (found * wanted).sum(1) / np.linalg.norm(wanted, axis=1)
    assert cosines.min() > 0.99
    raw = directions_of(means.by_emotion[:, 0], np.zeros((0, 24)), means.emotions)
    assert ((raw * wanted).sum(1) / np.linalg.norm(wanted, axis=1)).max() < 0.9, (
        "without denoising the nuisance wins: the test can fail"
    )


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
    same, width = EmotionVectors.read(path), vectors.directions.shape[1]
    same.check(path, {"model": "m", "pack": "p"}, 0, width)
    np.testing.assert_array_equal(same.directions, vectors.directions)
    assert (same.names, same.residual_norm, same.layer) == (vectors.names, vectors.residual_norm, 0)
    with pytest.raises(EmoexpError, match="vectors of another model: extract"):
        same.check(path, {"model": "other", "pack": "p"}, 0, width)
    with pytest.raises(EmoexpError, match="vectors of another pack: extract"):
        same.check(path, {"model": "m", "pack": "q"}, 0, width)
    with pytest.raises(EmoexpError, match="of layer 0, not 3"):
        same.check(path, {"model": "m", "pack": "p"}, 3, width)
    with pytest.raises(EmoexpError, match=f"of width {width}, and the model's is 7"):
        same.check(path, {"model": "m", "pack": "p"}, 0, 7)
    with pytest.raises(EmoexpError, match=r"emotions=all or emotions.names="):
        same.check(path, {"emotions": ["a"]}, 0, width)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [(["layer=3"], "of layer 0, not 3"), (["layer=0"], "other emotions|and this run has 12")],
)
def test_vectors_of_another_run_are_refused_before_a_model_is_loaded(
    overrides: list[str], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "vectors.safetensors"
    fit_vectors(planted()[0], 0).save(path)
    study = composed("implicit", tmp_path, "emotions=core12", f"vectors={path}", *overrides)
    with pytest.raises(EmoexpError, match=said):
        study.config.experiment.check(study)
    assert not study.used("model")


def test_what_is_not_a_file_of_vectors_is_one_line(tmp_path: Path) -> None:
    vectors = fit_vectors(planted()[0], 0)
    path = tmp_path / "vectors.safetensors"
    vectors.save(path)
    whole = path.read_bytes()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, content in {"cut": whole[:-40], "empty": b"", "text": b"sad,0.1\n" * 20}.items():
        (tmp_path / name).write_bytes(content)
    size = int.from_bytes(whole[:8], "little")
    header = whole[8 : 8 + size].replace(b'"F64"', b'"F32"').rstrip()
    (tmp_path / "lies").write_bytes(len(header).to_bytes(8, "little") + header + whole[8 + size :])
    (tmp_path / "long").write_bytes(b"\xff" * 7 + b"\x7f" + whole[8:])
    for name in ("none", "loop", "", "cut", "empty", "text", "lies", "long"):
        with pytest.raises(EmoexpError, match="give the vectors.safetensors of a run") as caught:
            EmotionVectors.read(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert "delete" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"directions": np.zeros((3, 4))}, "norm 0, not 1"),
        ({"directions": 1000 * np.eye(3)}, "norm 1000, not 1 .3 of 3"),
        ({"directions": np.full((3, 4), np.nan)}, "norm nan, not 1"),
        ({"directions": np.eye(4)}, "shape .4, 4. and type float64 for 3"),
        ({"directions": np.ones(3)}, "shape .3,. and type"),
        ({"directions": np.eye(3, dtype=np.int64)}, "type int64"),
        ({"names": ("a", "a", "b")}, "not distinct emotions"),
        ({"names": (["a"], ["b"], ["c"])}, "not distinct emotions"),
        ({"residual_norm": float("nan")}, "residual_norm is nan"),
        ({"residual_norm": -1.0}, "residual_norm is -1.0"),
    ],
)
def test_numbers_that_are_not_directions_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    good = EmotionVectors(("a", "b", "c"), np.eye(3, 4), 0, 1.0, 1, {})
    good.save(tmp_path / "good")
    EmotionVectors.read(tmp_path / "good")
    replace(good, **changes).save(tmp_path / "bad")
    with pytest.raises(EmoexpError, match=message):
        EmotionVectors.read(tmp_path / "bad")


def test_empty_and_short_story_sets_are_refused(
    tiny: SubjectModel, corpus: Corpus, tmp_path: Path
) -> None:
    others = tuple(s for s in corpus.stories if s.emotion != "sad")
    empty, short = (
        replace(corpus, stories=others),
        replace(corpus, stories=(*others, *[Story("sad", "t", "A cart rolled by.")] * 3)),
    )
    with pytest.raises(EmoexpError, match="has no stories of 'sad'"):
        extract(tiny, empty, EMOTIONS, Artifacts(tmp_path / "a"), None)
    with pytest.raises(
        EmoexpError,
        match="0 stories of 'sad' are left, at least 1 needed: left out are 3 with",
    ):
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
    means = replace(
        planted()[0],
        identity={"model": {"repo_id": "x", "revision": None}, "pack": "p", "skip": 50},
    )
    vectors = fit_vectors(means, 0)
    vectors.save(tmp_path / "v")
    again = EmotionVectors.read(tmp_path / "v")
    again.check(tmp_path / "v", means.identity, 0, vectors.directions.shape[1])
    assert again.identity == json.loads(json.dumps(vectors.identity))


def test_the_size_of_a_trend_is_its_range_in_deviations_over_all_prompts() -> None:
    """On the unit circle the cosines with (1, 0) are 1, 0, -1 over the values and 1, -1 over all
    prompts, whose standard deviation is 1; a direction's length does not matter."""
    residuals = [np.array([[2.0, 0.0], [0.0, 1.0], [-3.0, 0.0]]), np.array([[1.0, 0.0]] * 3)]
    prompts = np.array([[1.0, 0.0], [-1.0, 0.0]])
    sizes = trend_sizes(residuals, np.array([[1.0, 0.0], [5.0, 0.0]]), prompts)
    assert sizes == pytest.approx(np.array([[2.0, 2.0], [0.0, 0.0]]))


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of stories of each call of `pool_stories` from now on."""
    calls: list[int] = []

    def pool(model: SubjectModel, texts: list[str]) -> dict[str, np.ndarray]:
        calls.append(len(texts))
        return pool_stories(model, texts)

    monkeypatch.setattr("emoexp.vectors.extraction.pool_stories", pool)
    return calls


def test_fewer_stories_and_fewer_emotions_are_read_from_what_is_there(
    tiny: SubjectModel, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(corpus, stories=(Story("sad", "t", "A cart rolled by."), *corpus.stories))
    fresh = extract(tiny, short, EMOTIONS, Artifacts(tmp_path / "fresh"), 4)
    calls = counted(monkeypatch)
    store = Artifacts(tmp_path / "store")
    extract(tiny, short, EMOTIONS, store, 6)
    assert calls == [6, 6, 6]
    read = extract(tiny, short, EMOTIONS, store, 4)
    some = extract(tiny, short, EMOTIONS[:2], store, 6)
    assert calls == [6, 6, 6], "nothing is extracted again"
    np.testing.assert_allclose(read.by_emotion, fresh.by_emotion, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(read.residual_norm, fresh.residual_norm, rtol=1e-6)
    assert read.summary() == fresh.summary() and read.identity == fresh.identity
    assert some.emotions == EMOTIONS[:2]
    groups = [
        load_groups(m, s, 2) for m, s in ((read, store), (fresh, Artifacts(tmp_path / "fresh")))
    ]
    np.testing.assert_allclose(groups[0].means, groups[1].means, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(groups[0].counts, groups[1].counts)
    extract(tiny, short, EMOTIONS, store, None)
    assert calls[3:] == [24, 25, 24], "more stories than are there are extracted"
    again = extract(tiny, short, EMOTIONS, store, 12)
    assert len(calls) == 6 and again.n_stories.tolist() == [12, 11, 12]


def test_groups_of_several_stories_are_not_read_for_fewer(
    tiny: SubjectModel, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more than GROUPS stories, a group is a mean of several."""
    doubled = replace(corpus, stories=(*corpus.stories, *corpus.stories))
    store = Artifacts(tmp_path)
    extract(tiny, doubled, EMOTIONS, store, None)
    calls = counted(monkeypatch)
    means = extract(tiny, doubled, EMOTIONS, store, 4)
    assert calls == [4, 4, 4] and means.n_stories.tolist() == [4, 4, 4]


def test_stories_that_cannot_be_read_are_left_out_and_told(
    tiny: SubjectModel, corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = corpus.by_emotion["sad"][0].text
    marked = text.replace(". ", ".<eos> ", 1)
    wrong = [Story("sad", "t", t) for t in ("A cart rolled by.", marked, text * 9, "短い話。")]
    assert len(tiny.tokenizer(wrong[2].text)["input_ids"]) > 512
    assert [t.reason for t in check_texts(tiny, [s.text for s in wrong])] == [
        "short",
        "special",
        "long",
        "short",
    ]
    mixed = replace(corpus, stories=(*wrong, *corpus.stories))
    means = extract(tiny, mixed, EMOTIONS, Artifacts(tmp_path), 8)
    assert means.dropped == {"short": {"sad": 2}, "special": {"sad": 1}, "long": {"sad": 1}}
    assert means.n_stories.tolist() == [8, 4, 8]
    said = capsys.readouterr().err
    assert "1 texts left out, with special tokens of the model: 1 of sad" in said
    alone = extract(tiny, corpus, EMOTIONS, Artifacts(tmp_path), 4)
    np.testing.assert_allclose(means.by_emotion[1], alone.by_emotion[1], rtol=1e-5, atol=1e-6)


def test_a_story_without_spaces_is_as_long_as_its_tokens(tiny: SubjectModel) -> None:
    story = "彼女は窓を閉めて、長いあいだ黙っていた。"
    n = len(tiny.tokenizer(story, add_special_tokens=False)["input_ids"])
    assert check_texts(tiny, [story])[0].reason == ("short" if n <= SKIP_TOKENS else None)
    assert check_texts(tiny, [story * 4])[0].reason is None
