"""Stories from a server: nothing lost and nothing doubled, whatever it does."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from emoexp.errors import EmoexpError
from emoexp.models.lanes import FAILED_IN_A_ROW
from emoexp.models.openai_client import RateLimiter, Server, retry_after
from emoexp.stories import generation
from emoexp.stories.generation import generate, generated_corpus
from emoexp.stories.units import TOKENS, plan_of, story_seed
from emoexp.study.study import Study
from tests.helpers.fake_server import FakeServer, Reply, Script, fields, good, text
from tests.helpers.generated import NAMES, Make, context_in, files, write_pack


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Contexts of one corpus, by `make(server or url, names, **settings)`; waits are short."""
    write_pack(tmp_path / "pack")
    monkeypatch.setattr(Server.__init__, "__defaults__", ((0.001, 0.01),))
    monkeypatch.setattr(generation, "LOOK_AGAIN_S", 0.02)
    monkeypatch.setenv("OPENAI_API_KEY", "")

    def build(
        server: FakeServer | str | None = None, names: list[str] | None = NAMES, **changes: object
    ) -> Study:
        return context_in(
            tmp_path, server.url if isinstance(server, FakeServer) else server, names, **changes
        )

    return build


def test_a_whole_corpus(make: Make) -> None:
    with FakeServer() as server:
        study = make(server)
        generate(study)
        corpus = generated_corpus(study)
        generate(study)
    assert len(server.bodies) == 3 * 5
    assert set(server.prompts.values()) == {1}
    assert [s.emotion for s in corpus.stories] == [
        e for e in ("happy", "calm", "sad", "at ease") for _ in range(15)
    ]
    assert [s.topic for s in corpus.stories][:15] == [
        f"topic number {i}" for i in range(3) for _ in range(5)
    ]
    assert len({s.text for s in corpus.stories}) == 60
    assert len(corpus.neutral) == 6
    assert corpus.rejected == ()
    assert corpus.author == "scribe"
    assert server.most_running <= 4
    assert {b["seed"] for b in server.bodies} == {story_seed(0, u, 0) for u in plan_of(study).units}
    assert {(b["model"], b["temperature"], b["max_tokens"]) for b in server.bodies} == {
        ("scribe", 1.0, 64 + 5 * TOKENS["story"]),
        ("scribe", 1.0, 64 + 2 * TOKENS["dialogue"]),
    }


def test_a_corpus_grows_and_keeps_what_it_has(make: Make) -> None:
    with FakeServer() as server:
        generate(make(server, NAMES[:3], topics=1))
        before = files(make(server))
        generate(make(server, NAMES, topics=2, concurrency=2, timeout_s=20.0))
        generate(make(server, NAMES, topics=2, temperature=0.5))
    after = files(make(server, NAMES, topics=2))
    assert {name: after[name] for name in before} == before
    assert len(server.bodies) == 10 + 10


@pytest.mark.parametrize(
    "bad",
    [
        Reply(status=500),
        Reply(status=503, raw=b"<html>busy</html>"),
        Reply(status=429, headers={"Retry-After": "0"}),
        Reply(raw=b"not JSON at all"),
        Reply(raw=b'{"choices": []}'),
        Reply(raw=b"[]"),
        Reply(raw=b'{"choices": [{"message": null}]}'),
        Reply(raw=b'{"choices": [{"message": {"content": "\\ud800"}}]}'),
        Reply(raw=b"\xff\xfe\x00"),
        Reply(None),
        Reply(" \n"),
        Reply("<STORY>\nhalf a body " * 40, cut=True),
        Reply(delay=0.6),
    ],
    ids=[
        "500",
        "503",
        "429",
        "text",
        "no choices",
        "a list",
        "no message",
        "half a surrogate",
        "bytes",
        "null",
        "blank",
        "cut",
        "stalls",
    ],
)
def test_what_may_pass_is_tried_again(
    make: Make,
    bad: Reply,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The first request of every prompt fails; nothing is lost or doubled for that, and a line
    says why it takes longer."""
    monkeypatch.setattr("emoexp.models.openai_client.TOLD_S", -1)
    asked: Counter[str] = Counter()

    def script(_n: int, prompt: str) -> Reply | None:
        asked[prompt] += 1
        return bad if asked[prompt] == 1 else None

    with FakeServer(script) as server:
        study = make(server, topics=1, timeout_s=0.3 if bad.delay else 10.0)
        generate(study)
    assert "stories.server: " in capsys.readouterr().err
    assert set(server.prompts.values()) == {2}
    assert [len(generated_corpus(study).stories), len(generated_corpus(study).neutral)] == [20, 2]


@pytest.mark.parametrize(
    ("bad", "tries", "says"),
    [
        (Reply(None, finish="length"), 1, "raise stories.max_new_tokens"),
        (Reply(None), 3, "an answer without text"),
        (Reply(raw=b"<html>sign in</html>"), 3, "no chat completion: <html>"),
        (Reply(delay=0.3), 3, "no answer within stories.timeout_s=0.1 seconds"),
        (Reply(raw=b'{"error": {"message": "busy", "code": "503"}}'), 7, "HTTP 503"),
        (Reply(raw=b'{"error": "something"}'), 7, "something"),
    ],
)
def test_what_does_not_pass_is_given_up_soon(make: Make, bad: Reply, tries: int, says: str) -> None:
    """A model that thinks until its tokens are used up would do so again for each of thousands of
    requests."""
    with FakeServer(lambda n, _prompt: bad if n >= 2 else None) as server:
        study = make(server, concurrency=1, retries=6, timeout_s=0.1 if bad.delay else 10.0)
        with pytest.raises(EmoexpError, match=f"{says}.*the same command goes on from there"):
            generate(study)
        assert len(server.bodies) == 2 + tries * FAILED_IN_A_ROW
    assert sum(name.endswith(".json") for name in files(study)) == 2 + 1


def test_an_error_in_a_body_with_status_200_stops_as_its_code_says(make: Make) -> None:
    bad = Reply(raw=b'{"error": {"message": "no such model", "code": 404}}')
    with (
        FakeServer(lambda _n, _prompt: bad) as server,
        pytest.raises(EmoexpError, match="has no model 'scribe'"),
    ):
        generate(make(server, concurrency=1))
    assert len(server.bodies) == 1


def test_retry_after_is_waited_for(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    with FakeServer(
        lambda n, _prompt: Reply(status=429, headers={"Retry-After": "7"}) if n == 0 else None
    ) as server:
        monkeypatch.setattr("emoexp.models.openai_client.asyncio.sleep", sleep)
        generate(make(server, topics=1, concurrency=1))
    assert waited.count(7.0) == 1
    assert max(waited) == 7.0
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after("Wed, 21 Oct 2115 07:28:00 GMT") > 1e9
    assert [retry_after(h) for h in ("", "soon", "nan", "inf", "-5", "1.5")] == [0, 0, 0, 0, 0, 1.5]


def test_backoff_doubles_is_jittered_and_is_seeded(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waits() -> list[float]:
        waited = []

        async def sleep(seconds: float) -> None:
            waited.append(seconds)

        monkeypatch.setattr("emoexp.models.openai_client.asyncio.sleep", sleep)
        monkeypatch.setattr(Server.__init__, "__defaults__", ((1.0, 8.0),))
        with (
            FakeServer(lambda _n, _prompt: Reply(status=500)) as server,
            pytest.raises(EmoexpError, match="failed 6 times in a row"),
        ):
            generate(make(server, topics=1, concurrency=1, retries=5))
        return [w for w in waited if w > 0][:5]

    first = waits()
    assert all(high / 2 <= w <= high for w, high in zip(first, (1, 2, 4, 8, 8), strict=True))
    assert first[0] not in (0.5, 1.0)
    assert waits() == first


def test_requests_per_minute_are_spaced() -> None:
    pace, clock = RateLimiter(30.0), [100.0, 100.0, 100.0, 103.0, 200.0]
    assert [pace.reserve(now) for now in clock] == [0.0, 2.0, 4.0, 3.0, 0.0]
    assert RateLimiter(None).reserve(5.0) == 0


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (
            401,
            (
                "refuses the key (HTTP 401): put one that it accepts in the environment variable"
                " SCRIBE_KEY"
            ),
        ),
        (403, "refuses the key"),
        (404, "has no model 'scribe'"),
        (400, "refuses the request (HTTP 400): no such field"),
    ],
)
def test_a_mistake_stops_at_once_and_loses_nothing(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    status: int,
    says: str,
) -> None:
    monkeypatch.setenv("SCRIBE_KEY", "sk-very-secret")
    script: Script = lambda n, _prompt: (  # noqa: E731
        Reply(status=status, raw=b"no such field sk-very-secret") if n >= 6 else None
    )
    with FakeServer(script) as server:
        study = make(server, api_key_variable="SCRIBE_KEY")
        with pytest.raises(EmoexpError) as caught:
            generate(study)
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(server.bodies) <= 6 + 4
        assert sum(name.endswith(".json") for name in files(study)) == 6 + 1
        assert set(server.keys) == {"Bearer sk-very-secret"}
        server.script = lambda _n, _prompt: None
        generate(study)
    assert Counter(server.prompts.values()) == {
        1: 15 - (len(server.bodies) - 15),
        2: len(server.bodies) - 15,
    }
    everything = str(caught.value) + "".join(capfd.readouterr()) + "".join(files(study).values())
    assert "sk-very-secret" not in everything


def test_no_server_and_a_server_that_is_down(make: Make) -> None:
    with FakeServer() as server:
        pass
    with pytest.raises(EmoexpError, match="no server answers at stories.server=http://127.0.0.1"):
        generate(make(server))
    with pytest.raises(EmoexpError, match=r"no server answers at stories.server=localhost:1/v1"):
        generate(make("localhost:1/v1"))
    with FakeServer(
        lambda n, _prompt: Reply(status=502, raw=b"gate way") if n >= 3 else None
    ) as server:
        study = make(server, concurrency=1, retries=1)
        with pytest.raises(
            EmoexpError,
            match=(
                "failed 2 times in a row on one request, last: HTTP 502: gate way; what was written"
                " is kept"
            ),
        ):
            generate(study)
    assert len(server.bodies) == 3 + 2 * FAILED_IN_A_ROW
    with pytest.raises(EmoexpError, match="lacks 12 of its 15 answers") as caught:
        generated_corpus(study)
    assert "run python -m emoexp experiment=stories stories=screen" in str(caught.value)


def test_one_bad_unit_does_not_hold_up_the_others(make: Make) -> None:
    with FakeServer(
        lambda _n, prompt: Reply(status=500) if fields(prompt).get("emotion") == "sad" else None
    ) as server:
        study = make(server, topics=2, retries=1, concurrency=1)
        with pytest.raises(EmoexpError, match="2 of 10 answers are missing, the others are kept"):
            generate(study)
    with pytest.raises(EmoexpError, match="lacks 2 of its 10 answers"):
        generated_corpus(study)


def test_half_an_answer_keeps_its_whole_stories_and_asks_for_the_rest(make: Make) -> None:
    """Five wanted: three whole ones and a half, then one of two and a half one, then the last."""

    def script(n: int, prompt: str) -> Reply | None:
        match fields(prompt).get("n"), fields(prompt).get("emotion"):
            case "5", "happy":
                return Reply(good(prompt, "a", 3) + "<STORY>\nhalf a", finish="length")
            case "2", "happy":
                return Reply(good(prompt, "b", 1) + "<STORY>\nand half", finish="length")
        return None

    with FakeServer(script) as server:
        study = make(server, topics=1)
        generate(study)
    unit = json.loads(files(study)["stories/happy/0000.json"])
    assert unit["finish_reasons"] == ["length", "length", "stop"]
    assert unit["answers"] == 3
    assert len(set(unit["texts"])) == 5
    assert not any("half" in t for t in unit["texts"])
    assert len({b["seed"] for b in server.bodies}) == len(server.bodies) == 7


def test_a_unit_is_done_with_fewer_after_all_attempts(make: Make) -> None:
    """Refusals, rambling and filtered answers are no stories; they are kept, listed and not asked
    for again."""
    said = {
        "happy": Reply("I'm sorry, but I can't write that."),
        "sad": Reply("On and on."),
        "calm": Reply(None, finish="content_filter"),
    }
    with FakeServer(lambda _n, prompt: said.get(fields(prompt).get("emotion", ""))) as server:
        study = make(server, topics=1, attempts=3)
        generate(study)
        generate(study)
    corpus = generated_corpus(study)
    assert len(server.bodies) == 3 * 3 + 2
    assert Counter(s.emotion for s in corpus.stories) == {"at ease": 5}
    assert Counter((r.story.emotion, r.reason) for r in corpus.rejected) == {
        ("happy", "refusal"): 3,
        ("sad", "empty"): 3,
        ("calm", "empty"): 3,
    }


def test_rejects_are_kept_in_the_folder_and_listed(make: Make) -> None:
    same = "<STORY>\n" + text("same") + "\n"

    def script(_n: int, prompt: str) -> Reply | None:
        if fields(prompt).get("emotion") == "happy":
            return Reply(
                same + same + f"<STORY>\nHappily {text(1)}\n<STORY>\nshort\n<STORY>\n{text(2)}"
            )
        return None

    with FakeServer(script) as server:
        study = make(server, topics=1)
        generate(study)
    corpus = generated_corpus(study)
    assert Counter(r.reason for r in corpus.rejected) == {
        "duplicate": 1,
        "names_emotion": 1,
    }
    assert len(corpus.stories) == 5 * 4 - 2
    assert len(json.loads(files(study)["stories/happy/0000.json"])["texts"]) == 5


def test_the_body_can_be_changed_and_is_part_of_the_corpus(make: Make) -> None:
    with FakeServer() as server:
        changed = make(server, topics=1, request={"seed": None, "max_completion_tokens": 9})
        generate(changed)
    assert all(b["max_completion_tokens"] == 9 and "seed" not in b for b in server.bodies)
    assert plan_of(changed).folder != plan_of(make(server, topics=1)).folder


def test_a_damaged_unit_and_another_topic_are_named(make: Make, tmp_path: Path) -> None:
    with FakeServer() as server:
        study = make(server, topics=1)
        generate(study)
        path = plan_of(study).folder / "stories/happy/0000.json"
        whole = path.read_text()
        path.write_text(whole[:50])
        with pytest.raises(EmoexpError, match="0000.json is not a whole unit of stories"):
            generate(study)
        path.write_text(whole)
        (tmp_path / "pack" / "topics.txt").write_text("something else\n")
        with pytest.raises(EmoexpError, match="is about another topic than topic 0 of the pack"):
            generate(make(server, topics=1))
