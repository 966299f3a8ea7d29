"""Texts that the model cannot read: counted by emotion where they are stories or neutral texts,
refused in one line where they are anything else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emoexp.errors import EmoexpError
from emoexp.models.prompts import Prompt
from emoexp.models.subject import SubjectModel
from emoexp.stimuli import load_stimuli
from emoexp.store.artifacts import Artifacts
from emoexp.stories.corpus import Corpus, Story
from emoexp.study.study import check_pack
from emoexp.vectors import extraction
from emoexp.vectors.extraction import extract
from tests.helpers.corpora import EMOTIONS, text


def corpus(**texts: str) -> Corpus:
    """Four stories of each emotion, of which three are as given, and four neutral texts."""
    stories = [
        Story(emotion, "", texts.get(emotion.replace(" ", "_"), "{}").format(text(f"{emotion}{i}")))
        if i
        else Story(emotion, "", text(f"{emotion}{i}"))
        for emotion in EMOTIONS
        for i in range(4)
    ]
    neutral = [text(f"n{i}") for i in range(3)] + [texts.get("neutral", "{}").format(text("n"))]
    return Corpus("made", "nobody", tuple(stories), tuple(neutral))


def test_stories_and_neutral_texts_are_counted(
    tiny: SubjectModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    special = tiny.tokenizer.convert_ids_to_tokens(sorted(tiny.special_ids))[0]
    long = "word " * (tiny.positions or 0)
    texts = corpus(angry="too short", at_ease=f"{{}} {special}", sad=long, neutral="hi")
    means = extract(tiny, texts, EMOTIONS, Artifacts(tmp_path), None)
    dropped = {"short": {"angry": 3, "neutral": 1}, "special": {"at ease": 3}}
    if tiny.positions:
        dropped["long"] = {"sad": 3}
    assert means.dropped == dropped
    assert means.summary()["stories_by_emotion"]["angry"] == 1
    assert "4 texts left out, with 50 tokens or fewer" in capsys.readouterr().err


def test_neutral_texts_that_come_twice_count_twice(
    tiny: SubjectModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "NEUTRAL_CHUNK", 2)
    once = corpus().neutral[:2]
    means = extract(tiny, replace(corpus(), neutral=once * 2), EMOTIONS, Artifacts(tmp_path), None)
    assert len(means.neutral) == 4 and means.dropped == {}
    np.testing.assert_array_equal(means.neutral[:2], means.neutral[2:])


def test_two_neutral_texts_are_needed(tiny: SubjectModel, tmp_path: Path) -> None:
    short = replace(corpus(), neutral=(text("n"), "hi", "ho"))
    with pytest.raises(EmoexpError, match="1 neutral texts are left, at least 2 needed: left out"):
        extract(tiny, short, EMOTIONS, Artifacts(tmp_path), None)
    one = replace(corpus(), neutral=(text("n"),))
    with pytest.raises(EmoexpError, match="1 neutral texts are left, .* needed: add some$"):
        extract(tiny, one, EMOTIONS, Artifacts(tmp_path), None)


def test_a_prompt_beyond_the_positions_is_refused(
    tiny: SubjectModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SubjectModel, "positions", 20)
    encoding = tiny.encode([Prompt("a river")])
    with pytest.raises(EmoexpError, match="'a river' has .* and 30 new ones, and .* reads 20"):
        tiny.check_length(encoding, 30)
    with pytest.raises(EmoexpError, match="'river river .* tokens, and .* reads 20: shorten it"):
        tiny.inputs(tiny.encode([Prompt("a river"), Prompt("river " * 50)]))


def test_special_tokens_in_a_pack_are_refused(tiny: SubjectModel) -> None:
    pack = load_stimuli("bundled:organism")
    check_pack(tiny, pack)
    special = tiny.tokenizer.convert_ids_to_tokens(sorted(tiny.special_ids))[0]
    scenario = replace(pack.scenarios[0], text=f"Once {special} upon")
    with pytest.raises(EmoexpError, match="special tokens of the model, in 'Once .* upon': remove"):
        check_pack(tiny, replace(pack, scenarios=(scenario, *pack.scenarios[1:])))
