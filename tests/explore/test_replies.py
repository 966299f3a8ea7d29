"""Steered replies are those of `SubjectModel.generate`, from the same random numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from emoexp.config import ReplySpan
from emoexp.errors import EmoexpError
from emoexp.explore.reader import Reader
from emoexp.explore.steering import (
    Dial,
    Exchange,
    Replies,
    Settings,
    additions,
    breaking_strength,
)
from emoexp.models.prompts import Prompt, reply_mask
from emoexp.models.subject import Steering
from emoexp.steering.degeneration import token_surprise
from emoexp.steering.trajectories import project

LAYER = 4
SETTINGS = Settings("How was your day?", (Dial("calm", 0.5),), (LAYER,), max_new_tokens=24)


@pytest.mark.parametrize("span", list(ReplySpan))
def test_replies_and_their_numbers_are_those_of_the_api(reader: Reader, span: ReplySpan) -> None:
    model, settings = reader.study.model, replace(SETTINGS, span=span, seed=3)
    replies = Replies(reader, settings)
    *_, streamed = replies.stream()
    vectors = reader.study.vectors_at(LAYER)
    prompts = [model.ask(Prompt(settings.question))] * 2
    encoding = model.encode(prompts)
    added = torch.zeros(2, model.d_model)
    added[1] = torch.as_tensor(0.5 * vectors.residual_norm * vectors["calm"])
    steering = Steering({LAYER: added}, reply_mask(prompts, span, encoding))
    expected = model.generate(
        encoding, max_new_tokens=24, temperature=1.0, seeds=[3, 3], steering=steering
    )
    assert streamed == expected
    read = replies.read(streamed)
    surprise = [np.exp(s.mean()) for s in token_surprise(model, prompts, expected)]
    cosines = project(model, prompts, expected, LAYER, vectors.directions)
    for reply, perplexity, cosine in zip(read, surprise, cosines, strict=True):
        assert reply.perplexity == perplexity
        np.testing.assert_allclose(reply.cosines, cosine, atol=1e-6)
        assert reply.band[0] < 0 < reply.band[1]
        assert len(reply.table(reader.study.emotions)) == len(reply.ids)


def test_the_unsteered_reply_is_that_of_no_steering(reader: Reader) -> None:
    model = reader.study.model
    encoding = model.encode([model.ask(Prompt(SETTINGS.question))])
    alone = model.generate(encoding, max_new_tokens=24, temperature=1.0, seeds=[0])
    assert Replies(reader, SETTINGS).all()[0].ids == alone.ids[0]


def test_a_second_turn_follows_each_branch_s_own_reply(reader: Reader) -> None:
    model, vectors = reader.study.model, reader.study.vectors_at(LAYER)
    chat = Exchange("How are you?", {"unsteered": " I am well.", "steered": " I rest by the lake."})
    settings = replace(SETTINGS, question="And now?", earlier=(chat,), seed=3)
    replies = Replies(reader, settings)
    prompts = [
        model.ask(Prompt("And now?"), earlier=(("How are you?", chat.replies[name]),))
        for name in ("unsteered", "steered")
    ]
    assert [p.text for p in replies.prompts] == [p.text for p in prompts]
    encoding = model.encode(prompts)
    added = torch.zeros(2, model.d_model)
    added[1] = torch.as_tensor(0.5 * vectors.residual_norm * vectors["calm"])
    mask = reply_mask(prompts, settings.span, encoding)
    expected = model.generate(
        encoding,
        max_new_tokens=24,
        temperature=1.0,
        seeds=[4, 4],
        steering=Steering({LAYER: added}, mask),
    )
    *_, written = replies.stream()
    assert written == expected
    read = replies.read(written)
    cosines = project(model, prompts, expected, LAYER, vectors.directions)
    np.testing.assert_allclose(read[1].cosines, cosines[1], atol=1e-6)
    alone = model.encode(prompts[:1])
    unsteered = model.generate(alone, max_new_tokens=24, temperature=1.0, seeds=[4])
    assert written.ids[0] == unsteered.ids[0]


def test_a_chat_of_equal_replies_at_strength_zero_stays_equal(reader: Reader) -> None:
    earlier = (Exchange("How are you?", {"unsteered": " Well.", "steered": " Well."}),)
    settings = replace(SETTINGS, dials=(Dial("calm", 0.0),), earlier=earlier)
    unsteered, steered = Replies(reader, settings).all()
    assert unsteered.ids == steered.ids


def test_strength_zero_changes_nothing_and_a_strong_one_does(reader: Reader) -> None:
    still = Replies(reader, replace(SETTINGS, dials=(Dial("calm", 0.0),))).all()
    assert still[0].ids == still[1].ids
    strong = Replies(reader, replace(SETTINGS, dials=(Dial("calm", 2.0),))).all()
    assert strong[0].ids == still[0].ids
    assert strong[1].ids != strong[0].ids


def test_a_random_direction_has_the_norm_of_the_sum(reader: Reader) -> None:
    dials = (Dial("calm", 0.5), Dial("happy", -0.25))
    settings = replace(SETTINGS, dials=dials, layers=(3, 4), random=True)
    for layer, added in additions(reader, settings).items():
        vectors = reader.study.vectors_at(layer)
        expected = vectors.residual_norm * (0.5 * vectors["calm"] - 0.25 * vectors["happy"])
        np.testing.assert_allclose(added["steered"], expected)
        random = added["isotropic random"]
        assert np.linalg.norm(random) == pytest.approx(np.linalg.norm(expected))
        assert abs(random @ expected) < 0.9 * np.linalg.norm(expected) ** 2
    assert Replies(reader, settings).names == ("unsteered", "steered", "isotropic random")


def test_tokens_stream_one_by_one_and_stop(reader: Reader) -> None:
    replies = Replies(reader, replace(SETTINGS, dials=(Dial("calm", 3.0),)))
    lengths = [max(map(len, state.ids)) for state in replies.stream()]
    assert lengths[0] <= 1
    assert lengths == sorted(lengths)
    stream = replies.stream()
    next(stream)
    stream.close()  # waits for the model's thread
    assert Replies(reader, SETTINGS).all()[0].text


def test_the_breaking_strength_is_found_and_the_weak_one_is_not(reader: Reader) -> None:
    at, table = breaking_strength(reader, SETTINGS, [4.0, 0.05])
    assert at == 4.0
    assert list(table["strength"]) == [0.05, 4.0]
    none, _ = breaking_strength(reader, SETTINGS, [0.0])
    assert none is None


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"dials": ()}, "at least one emotion"),
        ({"dials": tuple(Dial(e, 1.0) for e in ("calm", "sad", "happy", "proud"))}, "at most 3"),
        ({"dials": (Dial("calm", 1.0), Dial("calm", 2.0))}, "chosen twice"),
        ({"dials": (Dial("clam", 1.0),)}, "unknown emotion 'clam': choose from happy"),
        ({"dials": (Dial("calm", float("nan")),)}, "is nan: give a number"),
        ({"layers": ()}, "at least one layer"),
        ({"layers": (99,)}, "layer=99 is out of range"),
        ({"max_new_tokens": 10_000}, "1 to 512"),
        ({"max_new_tokens": 510}, "512 positions: shorten it, ask for fewer new tokens"),
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"top_p": 0.0}, "top_p=0.0"),
        ({"question": " "}, "the text is empty"),
        (
            {"earlier": (Exchange("Hi", {"unsteered": "a", "steered": "b"}),), "random": True},
            "no earlier reply of 'isotropic random': begin a new chat",
        ),
        (
            {"earlier": (Exchange("Hi", {"unsteered": "a", "steered": "<eos>"}),)},
            "special tokens of the model",
        ),
    ],
)
def test_a_wrong_setting_gets_one_line(
    reader: Reader, changes: dict[str, object], line: str
) -> None:
    with pytest.raises(EmoexpError, match=line):
        Replies(reader, replace(SETTINGS, **changes))  # type: ignore[arg-type]
