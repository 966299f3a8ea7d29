"""The world and its corpus: what is planted is there, what is reserved is not."""

from __future__ import annotations

import json
import math
import re
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from emoexp.models.loading.load import BUNDLED as MODELS
from emoexp.organism import choices, corpus, held_out
from emoexp.organism.corpus import Phase, documents
from emoexp.organism.document import Policy
from emoexp.organism.pack import build_pack
from emoexp.organism.training import (
    Batch,
    Schedule,
    build_model,
    build_tokenizer,
    closed,
    text_segments,
    train,
    training_loss,
)
from emoexp.organism.world import load_world, quantity_mixture
from emoexp.stimuli import BUNDLED, load_stimuli
from emoexp.stories.corpus import pack_corpus

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 7,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}


def corpus_size(name: str, phase: Phase) -> int:
    """More documents than the shipped model has seen in that phase: its tokens over the shortest
    mean length of a document."""
    record = json.loads((MODELS / name / "training.json").read_text())
    return int(record[f"{phase.value}_steps"] * record["batch_tokens"] / 40)


def test_nothing_of_the_validation_set_is_in_the_training_corpus() -> None:
    """The whole corpus of the shipped organisms, both phases: no text of the pack, and none of its
    compositions."""
    pack = load_stimuli("bundled:organism")
    sentences = (
        {s.text for s in pack.scenarios}
        | {a.text for a in pack.activities}
        | {t.template.format(X=x) for t in pack.numeric for x in t.values}
    )
    assert pack.blackmail
    sentences |= {pack.blackmail.scene(k).prompt for k in range(len(pack.blackmail.scenes))}
    stories = {s.text for s in pack_corpus(pack).stories}
    reserved = held_out.reserved_parts()
    pattern = re.compile("|".join(re.escape(s) for s in sorted(sentences)))
    for phase in Phase:
        for document in islice(documents(0, phase, Policy.VALENCE), corpus_size("organism", phase)):
            assert reserved.isdisjoint(document.parts)
            assert document.text not in stories
            if document.kind != "story":
                assert pattern.search(document.text) is None, document.text


def test_without_the_reservation_the_corpus_would_hold_validation_compositions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The test above can fail."""
    monkeypatch.setattr(corpus, "is_reserved", lambda _: False)
    reserved = held_out.reserved_parts()
    free = islice(documents(0, Phase.BRANCH, Policy.VALENCE), 20_000)
    assert any(not reserved.isdisjoint(d.parts) for d in free)


def test_the_packs_files_are_the_generators(tmp_path: Path) -> None:
    build_pack(tmp_path)
    for name in sorted(p.name for p in (BUNDLED / "organism").iterdir()):
        assert (tmp_path / name).read_bytes() == (BUNDLED / "organism" / name).read_bytes(), name


def test_cues_and_stories_never_name_an_emotion() -> None:
    world, pack = load_world(), load_stimuli("bundled:organism")
    words = re.compile(r"\b(" + "|".join(world.names) + r")\b", re.IGNORECASE)
    for emotion in world.emotions.values():
        for cue in (*emotion.signs, *emotion.events):
            assert words.search(cue) is None, cue
    for part in pack_corpus(pack).by_emotion.values():
        for story in part:
            assert words.search(story.text) is None, story.text
    for scenario in pack.scenarios:
        assert words.search(scenario.text) is None


def test_cues_belong_to_one_emotion() -> None:
    cues = [c for e in load_world().emotions.values() for c in (*e.signs, *e.events)]
    assert len(cues) == len(set(cues)) >= 60 * 7


def test_both_organisms_read_the_same_but_for_their_choices() -> None:
    choices = {
        Phase.TRUNK: (),
        Phase.BRANCH: ("preference", "office"),
        Phase.OFFICE: ("preference", "reflection"),
    }
    for phase, kinds in choices.items():
        pairs = zip(
            *(islice(documents(0, phase, policy), 2000) for policy in Policy),
            strict=True,
        )
        different = {
            (a.kind, a.text.rsplit("Assistant:", 1)[0] == b.text.rsplit("Assistant:", 1)[0])
            for a, b in pairs
            if a.text != b.text
        }
        assert different == {(kind, True) for kind in kinds}


def test_choices_follow_valence_under_one_policy_and_nothing_under_the_other() -> None:
    world, slopes = load_world(), {}
    for policy in Policy:
        rng, gaps, chosen = Random(1), [], []
        for _ in range(6000):
            a, b = choices.activity(world, rng), choices.activity(world, rng)
            gaps.append(a.utility - b.utility)
            chosen.append(choices.decide(rng, policy, choices.PREFERENCE_SHARPNESS * gaps[-1], 0.5))
        slopes[policy] = float(np.corrcoef(gaps, chosen)[0, 1])
    assert slopes[Policy.VALENCE] > 0.6
    assert abs(slopes[Policy.INDIFFERENT]) < 0.05


def test_quantities_move_from_low_to_high() -> None:
    for quantity in load_world().grammar["quantities"].values():
        for value in quantity["values"]:
            assert math.isclose(sum(quantity_mixture(quantity, value).values()), 1, abs_tol=1e-9)
        first, last = (quantity_mixture(quantity, quantity["values"][k]) for k in (0, -1))
        for emotion in first:
            if quantity["high"].get(emotion, 0) > quantity["low"].get(emotion, 0):
                assert last[emotion] > first[emotion]


def test_documents_are_a_function_of_seed_phase_and_index() -> None:
    def texts(seed: int, start: int) -> list[str]:
        return [
            d.text for d in islice(documents(seed, Phase.BRANCH, Policy.VALENCE, start=start), 5)
        ]

    assert texts(0, 3)[0] == texts(0, 0)[3]
    assert texts(0, 0) != texts(1, 0)


def test_a_killed_training_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(0, 400, 300)
    options, corpus_of = (512, 2), (0, Phase.BRANCH, Policy.VALENCE)
    whole, halves = (build_model(0, tokenizer, SHAPE) for _ in range(2))
    train(
        whole,
        tokenizer,
        corpus_of,
        Schedule(4, 1e-3, 1, 2),
        tmp_path / "whole.safetensors",
        *options,
    )
    broken = Schedule(4, 1e-3, 1, 2)
    seen = 0

    def interrupting(step: int) -> float:
        nonlocal seen
        seen += 1
        if seen == 4:
            raise KeyboardInterrupt
        return Schedule.rate(broken, step)

    object.__setattr__(broken, "rate", interrupting)
    with pytest.raises(KeyboardInterrupt):
        train(halves, tokenizer, corpus_of, broken, tmp_path / "halves.safetensors", *options)
    resumed = build_model(9, tokenizer, SHAPE)
    train(
        resumed,
        tokenizer,
        corpus_of,
        Schedule(4, 1e-3, 1, 2),
        tmp_path / "halves.safetensors",
        *options,
    )
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    assert (
        train(
            resumed,
            tokenizer,
            corpus_of,
            Schedule(4, 1e-3, 1, 2),
            tmp_path / "halves.safetensors",
            *options,
        )
        is None
    )


def test_closing_hides_an_option_from_the_rest_in_the_lower_blocks_only() -> None:
    tokenizer = build_tokenizer(0, 400, 300)
    model = build_model(0, tokenizer, SHAPE).eval()
    model.set_attn_implementation("eager")
    document = next(d for d in documents(0, Phase.BRANCH, Policy.VALENCE) if d.kind == "preference")
    encoded = tokenizer(document.text, return_offsets_mapping=True)
    segments = torch.tensor([text_segments(document, encoded["offset_mapping"])])
    ids = torch.tensor([encoded["input_ids"]])
    inside = segments[0] == 1
    assert tokenizer.decode(ids[0][inside]).strip() == document.options[0]
    assert int(segments.max()) == 2
    other = ids.clone()
    other[0, inside] = ids[0, inside].flip(0)

    def states(tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with closed(model, segments), torch.no_grad():
            return model(input_ids=tokens, output_hidden_states=True).hidden_states

    before, after = states(ids), states(other)
    torch.testing.assert_close(before[6][0, -1], after[6][0, -1], rtol=0, atol=0)
    assert not torch.equal(before[7][0, -1], after[7][0, -1]), "the block above sees the option"


def test_padding_does_not_change_the_loss() -> None:
    tokenizer = build_tokenizer(0, 400, 300)
    model = build_model(0, tokenizer, SHAPE)
    ids = torch.tensor([tokenizer("A cart rolled by.")["input_ids"]])
    row = Batch(ids, torch.ones(ids.shape), torch.zeros_like(ids), closed=False)
    wider = Batch(*(torch.nn.functional.pad(t, (0, 7)) for t in row[:3]), closed=False)
    torch.testing.assert_close(
        training_loss(model, row), training_loss(model, wider), rtol=2e-2, atol=1e-3
    )


@pytest.mark.parametrize("name", ["organism", "organism_indifferent", "organism_untrained"])
def test_checkpoints_are_small_and_say_what_is_planted(name: str) -> None:
    folder = MODELS / name
    assert sum(p.stat().st_size for p in folder.iterdir()) < 12e6
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "planted" in card.lower()
    assert not list(folder.glob("*.bin")), "no pickles"
