"""How answers are read, on tokenizers of each split pattern, in both formats and both readings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emoexp.config import OptionReading, PromptFormat, SteeringSpan
from emoexp.errors import EmoexpError
from emoexp.models.answers import AnswerReader, forced, in_context, single_token
from emoexp.models.prompts import Prompt, token_mask
from emoexp.models.subject import SubjectModel
from emoexp.steering.preference import Preferences, marks
from emoexp.stimuli import Stimuli
from emoexp.store.artifacts import Artifacts
from tests.helpers.command import emoexp
from tests.helpers.patterns import MERGES, PATTERNS, save_with, subject_with, tokenizer_of

CASES = [(p, f, r) for p in PATTERNS for f in PromptFormat for r in OptionReading]


def ids_of(prompt: Prompt, tokenizer: Any, more: str = "") -> list[int]:
    return list(tokenizer(prompt.text + more, add_special_tokens=prompt.special_tokens).input_ids)


def margin_by_hand(
    subject: SubjectModel,
    ids: list[int],
    options: tuple[int, int],
    mask: torch.Tensor | None = None,
    layer: int = 1,
    vector: torch.Tensor | None = None,
) -> float:
    """One prompt through transformers alone, steered by a plain hook."""
    network, hooks = subject.network, []
    if mask is not None and vector is not None:

        def add(_: Any, __: Any, output: Any) -> Any:
            return output + mask[None, :, None] * vector

        hooks.append(network.model.layers[layer].register_forward_hook(add))
    with torch.no_grad():
        logits = network(torch.tensor([ids])).logits[0, -1].float()
    for hook in hooks:
        hook.remove()
    return float(logits[options[0]] - logits[options[1]])


@pytest.mark.parametrize(("pattern", "style"), [(p, f) for p in PATTERNS for f in PromptFormat])
def test_the_patterns_merge_as_the_real_tokenizers_do(
    pattern: str, style: PromptFormat, pack: Stimuli
) -> None:
    """The premise: in chat format Llama-3's and Qwen's patterns read "(A" as one token."""
    subject = subject_with(pattern, style)
    prompt = Preferences(subject, pack).prompt(0, 1)
    alone, with_a = (ids_of(prompt, subject.tokenizer, more) for more in ("", "A"))
    merges = with_a[:-1] != alone
    assert merges == (pattern in MERGES and style is PromptFormat.chat)


@pytest.mark.parametrize(("pattern", "style"), [(p, f) for p in PATTERNS for f in PromptFormat])
def test_forced_ends_in_a_bracket_of_its_own(
    pattern: str, style: PromptFormat, pack: Stimuli
) -> None:
    subject = subject_with(pattern, style)
    prompt, tokenizer = Preferences(subject, pack).prompt(3, 9), subject.tokenizer
    tokens, options = forced(prompt, tokenizer)
    pieces = [p.strip("\u2581\u0120") for p in tokenizer.convert_ids_to_tokens(options)]
    assert pieces == ["A", "B"]
    assert tokenizer.convert_ids_to_tokens(tokens.ids)[-1].strip("\u2581\u0120\n") == "("
    assert prompt.text[slice(*tokens.offsets[-1])].strip() == "("
    assert tokens.ids == ids_of(prompt, tokenizer)


@pytest.mark.parametrize(("pattern", "style"), [(p, f) for p in PATTERNS for f in PromptFormat])
def test_in_context_is_what_the_tokenizer_would_write(
    pattern: str, style: PromptFormat, pack: Stimuli
) -> None:
    subject = subject_with(pattern, style)
    prompt = Preferences(subject, pack).prompt(3, 9)
    tokens, options = in_context(prompt, subject.tokenizer)
    for letter, option in zip("AB", options, strict=True):
        whole = ids_of(prompt, subject.tokenizer, letter)
        assert [*tokens.ids, option] == whole[: len(tokens.ids) + 1]
        assert subject.tokenizer.convert_ids_to_tokens(option).endswith(letter)
    merged = pattern in MERGES and style is PromptFormat.chat
    assert (tokens.ids != ids_of(prompt, subject.tokenizer)) == merged


def test_a_bracket_that_merges_with_what_precedes_it_is_put_back() -> None:
    """A tokenizer with ":(" as one token; forced still ends in "(" alone."""

    class Smileys:
        """One token a character, but ":(" is one."""

        bos_token_id, all_special_ids = None, ()

        def __call__(self, text: str, **_: Any) -> dict[str, Any]:
            parts = text.replace(":(", "\0")
            offsets, at = [], 0
            for part in parts:
                width = 2 if part == "\0" else 1
                offsets.append((at, at + width))
                at += width
            return {"input_ids": [ord(part) for part in parts], "offset_mapping": offsets}

        def get_vocab(self) -> dict[str, int]:
            return {chr(i): i for i in range(1, 128)}

    tokens, options = forced(Prompt("A:("), Smileys())
    assert tokens.ids == [65, 58, 40]
    assert tokens.offsets == [(0, 1), (1, 2), (2, 3)]
    assert options == (65, 66)


@pytest.mark.parametrize("reading", list(OptionReading))
def test_only_equal_options_are_refused(reading: OptionReading) -> None:
    class Blind:
        """Every character is the same token."""

        bos_token_id, all_special_ids = None, ()

        def __call__(self, text: str, **_: Any) -> dict[str, Any]:
            offsets = [(i, i + 1) for i in range(len(text))]
            return {"input_ids": [7] * len(text), "offset_mapping": offsets}

        def get_vocab(self) -> dict[str, int]:
            return {"x": 7}

    with pytest.raises(EmoexpError, match=r"A and (with )?B (the same id|alike)"):
        _ = AnswerReader(Blind(), reading, Prompt("Assistant: (")).options


def test_single_token_prefers_the_bare_letter() -> None:
    sentencepiece, bytes_ = tokenizer_of("sentencepiece"), tokenizer_of("llama3")
    assert sentencepiece.convert_ids_to_tokens(single_token(sentencepiece, "A")) == "A"
    assert bytes_.convert_ids_to_tokens(single_token(bytes_, "A")) == "A"


@pytest.mark.parametrize(("pattern", "style", "reading"), CASES)
def test_unsteered_margins_and_mass_equal_plain_forwards(
    pattern: str, style: PromptFormat, reading: OptionReading, pack: Stimuli, tmp_path: Path
) -> None:
    subject = subject_with(pattern, style, reading)
    preferences = Preferences(subject, pack)
    assert preferences.replays(())  # else full forwards would be compared with themselves
    others = [1, 5, 40, 63]
    finals = preferences._unsteered_finals(0, others)
    margins, mass = preferences._margin(finals).numpy(), preferences._mass(finals).numpy()
    read = forced if reading is OptionReading.forced else in_context
    for k, j in enumerate(others):
        tokens, options = read(preferences.prompt(0, j), subject.tokenizer)
        by_hand = margin_by_hand(subject, tokens.ids, options)
        assert margins[k] == pytest.approx(by_hand, abs=1e-4)
        with torch.no_grad():
            logits = subject.network(torch.tensor([tokens.ids])).logits[0, -1].double()
        assert mass[k] == pytest.approx(float(logits.softmax(-1)[list(options)].sum()), abs=1e-6)


@pytest.mark.parametrize(("pattern", "style", "reading"), CASES)
def test_steered_margins_equal_plain_hooks(
    pattern: str, style: PromptFormat, reading: OptionReading, pack: Stimuli
) -> None:
    subject = subject_with(pattern, style, reading)
    preferences, span = Preferences(subject, pack), SteeringSpan.steered_activity
    vector = torch.randn(1, 1, subject.d_model, generator=torch.Generator().manual_seed(1))
    assert preferences.replays((1,))
    read = forced if reading is OptionReading.forced else in_context
    i = int(np.flatnonzero(preferences.steered)[0])
    others = preferences._affected(i)
    fast = preferences._steer_prefix(i, span, (1,), vector)[0]
    for k in (0, len(others) // 2, len(others) - 1):
        prompt = preferences.prompt(i, others[k])
        tokens, options = read(prompt, subject.tokenizer)
        names = marks(span, (True, bool(preferences.steered[others[k]])))
        ranges = [r for name in names for r in prompt.spans[name]]
        mask = torch.tensor(
            [any(s < end and e > start for start, end in ranges) for s, e in tokens.offsets]
        )
        assert mask.any()
        by_hand = margin_by_hand(subject, tokens.ids, options, mask, 1, vector[0, 0])
        assert fast[k] == pytest.approx(by_hand, abs=1e-4)
        encoding = preferences.reader.encode([prompt])
        assert torch.equal(token_mask([prompt], names, encoding)[0], mask)


def test_the_two_readings_share_stored_answers_only_where_they_are_equal(pack: Stimuli) -> None:
    def identity(pattern: str, style: PromptFormat, reading: OptionReading) -> dict[str, Any]:
        return Preferences(subject_with(pattern, style, reading), pack).identity["answer"]

    for pattern in PATTERNS:
        for style in PromptFormat:
            one, two = (identity(pattern, style, reading) for reading in OptionReading)
            assert (one != two) == (pattern in MERGES and style is PromptFormat.chat)


def test_the_record_names_the_reading_and_the_mass(pack: Stimuli, tmp_path: Path) -> None:
    subject = subject_with("llama3", PromptFormat.chat, OptionReading.in_context)
    summary = Preferences(subject, pack).answer_summary(Artifacts(tmp_path))
    assert summary["reading"] == "in_context"
    assert summary["options"] == ["(A", "(B"]
    assert 0 < summary["mass"] < 1
    assert 0 <= summary["mass_below_half"] <= 1


def test_a_llama3_tokenizer_in_chat_format_runs_from_the_command_line(tmp_path: Path) -> None:
    """The first command of a user of Llama-3, refused before: "(A" is one token there."""
    folder = save_with("llama3", tmp_path / "model")
    found = emoexp(
        "experiment=steering",
        "model=custom",
        f"model.repo_id={folder}",
        "model.format=chat",
        "layer=2",
        "stimuli=organism",
        "stories=pack",
        "emotions=core12",
        "scale=smoke",
        "experiment.n_emotions=4",
        "hydra.run.dir=run",
        cwd=tmp_path,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    record = json.loads((tmp_path / "run" / "result.json").read_text())
    assert [v["id"] for v in record["verdicts"]] == ["V10", "V11"]
    assert record["answers"]["reading"] in ("forced", "in_context")
    assert "p(A) + p(B)" in found.stdout
