"""What counts as broken text, and that surprise is the unsteered model's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from emoexp.config import ReplySpan
from emoexp.models.prompts import Prompt, ask, next_ids, reply_mask
from emoexp.models.subject import Generated, SubjectModel
from emoexp.steering.continuations import continued
from emoexp.steering.degeneration import (
    MARGIN,
    WINDOW,
    Degeneration,
    find_degeneration,
    repetition,
    surprise_limit,
    token_surprise,
)

PROMPTS = [
    Prompt("Human: I wiped away a tear.\n\nAssistant:"),
    Prompt("A cart rolled by."),
    Prompt("The bells had rung"),
]


def generated(rows: list[list[int]]) -> Generated:
    return Generated(tuple(map(tuple, rows)), (False,) * len(rows), ("",) * len(rows))


def test_repetition_is_the_share_of_ngrams_seen_before() -> None:
    assert repetition(range(20)) == 0
    assert repetition([1, 2, 3, 1, 2, 3]) == pytest.approx(1 / 4)
    assert repetition([7] * 12) == pytest.approx(9 / 10)
    assert repetition([1, 2, 1, 2, 1]) == pytest.approx(1 / 3)
    assert repetition([]) == repetition([1, 2]) == 0


def test_surprise_is_what_the_network_gives_one_row_at_a_time(
    tiny: SubjectModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replies of unequal length, one empty, in one padded batch and in batches of one."""
    rows = [[5, 9, 300], [], [11, 12, 13, 14, 15, 16, 17]]
    expected = []
    for prompt, row in zip(PROMPTS, rows, strict=True):
        ids = tiny.tokenizer(prompt.text)["input_ids"] + row
        log_probs = tiny.network(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected.append(
            [-float(log_probs[len(ids) - len(row) + k - 1, token]) for k, token in enumerate(row)]
        )
    for batch_tokens in (2048, 1):
        monkeypatch.setattr(tiny.config, "batch_tokens", batch_tokens)
        for found, wanted in zip(
            token_surprise(tiny, PROMPTS, generated(rows)), expected, strict=True
        ):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_loop_and_a_babble_are_marked_where_they_begin() -> None:
    calm, limit = np.full(60, 1.0), 3.0
    assert find_degeneration(range(60), calm, limit) is None
    loop = [*range(30), *[1, 2, 3, 4] * 10]
    found = find_degeneration(loop, np.full(len(loop), 1.0), limit)
    assert found is not None and found.why == "repetition"
    assert 30 - WINDOW < found.token <= 34
    babble = np.concatenate([calm[:40], np.full(20, 9.0)])
    found = find_degeneration(range(60), babble, limit)
    assert found is not None and found.why == "surprise"
    assert 40 - WINDOW < found.token <= 40
    assert find_degeneration([1] * 60, babble, limit) == Degeneration(0, "repetition"), (
        "the earlier of both"
    )
    assert find_degeneration([], np.zeros(0), limit) is None
    assert find_degeneration([1, 2], np.array([8.0, 8.0]), limit) == Degeneration(0, "surprise"), (
        "a short text is one window"
    )


def test_the_limit_comes_from_unsteered_windows() -> None:
    rng = np.random.default_rng(0)
    texts = [rng.exponential(1.0, 80) for _ in range(40)]
    limit = surprise_limit(texts)
    assert 1.5 + MARGIN < limit < 2.5 + MARGIN, "the mean of 16 tokens, not of one"
    assert sum(find_degeneration(range(80), s, limit) is not None for s in texts) == 0
    with pytest.raises(ValueError, match="no unsteered text"):
        surprise_limit([np.zeros(0)])


def test_a_continued_prompt_is_steered_as_it_was_generated(tiny: SubjectModel) -> None:
    """The reply's tokens always; of the prompt what the span says; nothing on padding."""
    prompts = [
        ask(Prompt(t), tiny.config.format, tiny.tokenizer, "I feel")
        for t in ("How?", "And how do you feel now?")
    ]
    whole = continued(tiny, prompts, [[5, 6, 7], [8]])
    assert whole.reply.sum(1).tolist() == [3, 1]
    assert whole.encoding.ids[0, -3:].tolist() == [5, 6, 7]
    before = tiny.encode(prompts)
    for span in ReplySpan:
        steered = whole.steered(span)
        assert not bool((steered & ~whole.encoding.mask).any())
        own = reply_mask(prompts, span, before).sum(1)
        assert steered.sum(1).tolist() == [int(own[0]) + 3, int(own[1]) + 1]
    with pytest.raises(ValueError):
        continued(tiny, prompts, [[5]])


def test_a_words_ids_are_those_it_has_after_the_prompt(tiny: SubjectModel) -> None:
    prompt = ask(Prompt("How do you feel?"), tiny.config.format, tiny.tokenizer, "I feel")
    ids = next_ids(tiny.tokenizer, prompt, "happy")
    assert tiny.tokenizer.decode(list(ids)).strip() == "happy"
    assert tiny.tokenizer(prompt.text + " happy")["input_ids"][-len(ids) :] == list(ids)
