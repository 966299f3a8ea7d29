"""Stories from the subject model in process, and what is decided before anybody is asked: plans,
marks, settings, command lines."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from emoexp.config import StoriesConfig
from emoexp.errors import EmoexpError
from emoexp.models.openai_client import Answer, Request
from emoexp.models.sampling import (
    LONGEST_PERIOD,
    LOOK_EVERY,
    REPEATED_TOKENS,
    PerRowSampler,
    repeats,
)
from emoexp.models.subject import SubjectModel
from emoexp.stories.generation import generate
from emoexp.stories.subject import Subject
from emoexp.stories.units import TOKENS, Unit, command, marker, plan_of, split
from emoexp.study.study import Study
from tests.helpers.generated import (
    N_TOPICS,
    NAMES,
    Make,
    change_templates,
    context_in,
    files,
    write_pack,
)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Contexts of one corpus, by `make(url, names, **settings)`."""
    write_pack(tmp_path / "pack")

    def build(url: str | None = None, names: list[str] | None = NAMES, **changes: object) -> Study:
        return context_in(tmp_path, url, names, **changes)

    return build


def contents(study: Study) -> dict[str, str]:
    return {
        name: content
        for name, content in files(study).items()
        if name.endswith("0.json") or name.endswith("1.json")
    }


def test_in_process_texts_do_not_depend_on_the_batch_or_on_a_resume(
    make: Make, tiny: SubjectModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def study(root: str, **changes: object) -> Study:
        made = make(None, topics=2, attempts=2, max_new_tokens=12, top_p=0.9, **changes)
        made.config.artifacts += root
        vars(made)["model"] = tiny
        return made

    straight = study("-straight", batch=3)
    generate(straight)
    whole = contents(straight)
    assert len(whole) == 2 * 5
    assert (
        len({text for content in whole.values() for text in json.loads(content)["other"]}) == 20
    ), "each unit and attempt has a stream of its own"

    resumed, batches, real = study("-resumed", batch=4), [], Subject.batch

    def fails(self: Subject, requests: list[Request]) -> list[Answer]:
        batches.append(len(requests))
        if len(batches) == 4:
            raise RuntimeError("killed")
        return real(self, requests)

    monkeypatch.setattr(Subject, "batch", fails)
    with pytest.raises(RuntimeError, match="killed"):
        generate(resumed)
    assert 0 < len(contents(resumed)) < 10
    resumed = study("-resumed", batch=1)
    generate(resumed)
    assert contents(resumed) == whole
    assert batches[:3] == [4, 4, 4]
    assert set(batches[4:]) == {1}


def test_a_stream_draws_from_the_models_distribution() -> None:
    """Exact shares at the temperature, and none beyond top_p."""
    logits = torch.tensor([[0.0, 1.0, 2.0, -5.0]]).repeat(4000, 1)
    drawn = PerRowSampler(range(4000), 0.7, 1.0)(torch.empty(0), logits).argmax(1)
    shares = torch.bincount(drawn, minlength=4) / 4000
    assert torch.allclose(shares, (logits[0] / 0.7).softmax(0), atol=0.03)
    assert set(PerRowSampler(range(4000), 0.7, 0.9)(torch.empty(0), logits).argmax(1).tolist()) == {
        1,
        2,
    }
    assert torch.equal(
        drawn[:10], PerRowSampler(range(10), 0.7, 1.0)(torch.empty(0), logits[:10]).argmax(1)
    )


def test_an_answer_says_how_it_ended(tiny: SubjectModel) -> None:
    subject = Subject(tiny, StoriesConfig(name="s", temperature=0.0, max_new_tokens=3))
    assert subject.batch([Request("go", 1)])[0].finish == "length"
    first = tiny.tokenizer(subject.batch([Request("go", 1)])[0].text)["input_ids"]
    kept = tiny.network.generation_config.eos_token_id
    try:
        tiny.network.generation_config.eos_token_id = [kept, first[-1]]
        assert subject.batch([Request("go", 1)])[0].finish == "stop"
    finally:
        tiny.network.generation_config.eos_token_id = kept


def test_an_answer_stops_once_it_has_its_stories_or_repeats_itself(tiny: SubjectModel) -> None:
    said: list[str] = []
    subject = Subject(tiny, StoriesConfig(name="s", temperature=0.0), said.append)
    seen: list[str] = []

    def finished(text: str) -> bool:
        seen.append(text)
        return len(seen) >= 3

    def never(text: str) -> bool:
        return False

    requests = [Request("go", 1, 64, finished), Request("walk", 1, 40, never)]
    answers = subject.batch(requests)
    assert [answer.finish for answer in answers] == ["enough", "length"]
    assert said[-1] == f"{3 * LOOK_EVERY + 40} tokens in the answers under way"
    alone = subject.batch([requests[1]])[0]
    assert alone == answers[1]


def test_a_text_repeats_itself_where_it_ends_in_one_period() -> None:
    assert repeats([5, *[1, 2, 3] * 32])
    assert repeats([7] * REPEATED_TOKENS)
    assert not repeats([7] * (REPEATED_TOKENS - 1)), "too short to tell"
    assert not repeats(list(range(REPEATED_TOKENS)))
    assert not repeats([*[1, 2, 3] * 32, 4])
    assert not repeats(list(range(LONGEST_PERIOD + 1)) * 4)


def test_the_budget_of_an_answer_follows_from_what_is_asked(make: Make) -> None:
    plan = plan_of(make("http://127.0.0.1:1/v1", topics=2))
    story, dialogue = Unit("sad", 0, "t"), Unit("", 0, "t")
    assert plan.budget(story, 2) - plan.budget(story, 1) == TOKENS["story"]
    assert plan.budget(dialogue, 3) - plan.budget(dialogue, 2) == TOKENS["dialogue"]
    own = plan_of(make("http://127.0.0.1:1/v1", topics=2, max_new_tokens=77))
    assert own.budget(story, 5) == own.budget(dialogue, 1) == 77


@pytest.mark.parametrize(
    ("answer", "wanted", "whole"),
    [
        ("<STORY>\na\n<STORY>\nb", 2, False),
        ("<STORY>\na\n<STORY>\nb\n<STORY>\n", 2, True),
        ("<STORY>\na</STORY>\n<STORY>\nb</STORY>", 2, True),
        ("<STORY>\na</STORY>\n<STORY>\nb", 2, False),
    ],
)
def test_an_answer_is_whole_once_its_last_text_is_closed(
    make: Make, answer: str, wanted: int, whole: bool
) -> None:
    plan = plan_of(make("http://127.0.0.1:1/v1", topics=2))
    assert plan.has_all(Unit("sad", 0, "t"), wanted, answer) is whole


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ("Sure!\n<STORY>\none\n<STORY>\n two \n", ["one", "two"]),
        ("<NEW STORY>\none\n<story>\ntwo", ["one", "two"]),
        ("**<STORY 1>**\none\n---\n<STORY 2>: two", ["one", "two"]),
        ("<STORY>one</STORY>\n\n<STORY>\ntwo\n</STORY>\nI hope you like them.", ["one", "two"]),
        ("<think>I mark them.\n<STORY>\nlike this</think>\n<STORY>\none", ["one"]),
        ("<STORY>\n\n<STORY>\none, with a <STORY> in it", ["one, with a <STORY> in it"]),
        ("No marks at all.", []),
        ("", []),
    ],
)
def test_answers_are_split_at_their_marks(answer: str, texts: list[str]) -> None:
    for template in (
        "Put a line\n\n<STORY>\n\nbefore each.",
        "each after\n<NEW STORY>\none\n<NEW STORY>",
    ):
        assert split(answer, marker(template, "story")) == texts


@pytest.mark.parametrize(
    ("templates", "settings", "says"),
    [
        (
            {"story": None},
            {},
            "the pack 'organism' has no template for story: generate with stimuli=emoexp",
        ),
        (
            {"story": "{n} {topic} {emotion}\n<STORY>\n<TALE>"},
            {},
            "needs one line like <STORY> to tell texts apart by; it has STORY, TALE",
        ),
        (
            {},
            {"topics": 0},
            "stories=screen does not say how many stories to generate: choose smoke",
        ),
        (
            {},
            {"topics": N_TOPICS + 1},
            f"stories.topics={N_TOPICS + 1}, but the pack 'organism' has {N_TOPICS} topics",
        ),
    ],
)
def test_what_cannot_be_generated_is_one_line(
    make: Make,
    tmp_path: Path,
    templates: dict[str, str | None],
    settings: dict[str, object],
    says: str,
) -> None:
    change_templates(tmp_path / "pack", **templates)
    with pytest.raises(EmoexpError) as caught:
        generate(make("http://127.0.0.1:9/v1", **settings))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"topics": -1}, "stories.topics=-1"),
        ({"top_p": 0.0}, "stories.top_p=0.0"),
        ({"batch": 0}, "stories.batch=0"),
        ({"timeout_s": 0.0}, "stories.timeout_s"),
        ({"server": "http://x/v1"}, "stories.server and stories.server_model go together"),
        ({"temperature": -0.1}, "stories.temperature"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], says: str) -> None:
    with pytest.raises(EmoexpError, match=says):
        StoriesConfig(name="s", **settings)  # type: ignore[arg-type]


def test_emotions_need_not_be_the_packs_but_not_the_corpus_own(make: Make) -> None:
    study = make("http://127.0.0.1:9/v1", ["wistful", "sad", "happy"])
    assert plan_of(study).emotions == ("happy", "sad", "wistful")
    study.config.emotions.from_corpus = True
    with pytest.raises(EmoexpError, match="emotions=corpus"):
        plan_of(study)


def test_the_command_repeats_what_was_typed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = [
        "emoexp",
        "experiment=implicit",
        "layer=4",
        "stories=paper",
        "+stories.request.seed=null",
        "emotions.names=[a b,c]",
        "hydra.run.dir=x",
        "seed=3",
    ]
    monkeypatch.setattr(sys, "argv", typed)
    study = make("http://127.0.0.1:9/v1")
    assert (
        command(study, "stories")
        == "python -m emoexp experiment=stories stories=paper +stories.request.seed=null"
        " 'emotions.names=[a b,c]' seed=3"
    )
    monkeypatch.setattr(sys, "argv", ["pytest"])
    assert command(study, "stories") == "python -m emoexp experiment=stories stories=screen"
