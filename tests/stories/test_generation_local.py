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
from emoexp.models.sampling import PerRowSampler
from emoexp.models.subject import SubjectModel
from emoexp.stories.generation import generate
from emoexp.stories.subject import Subject
from emoexp.stories.units import command, marker, plan_of, split
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
