"""A judging server that misbehaves costs its own labels and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from emoexp.blackmail.llm_judge import JudgeConfig, Label, label_all, read_label
from emoexp.errors import EmoexpError
from emoexp.models.openai_client import Answer, Server
from emoexp.store.artifacts import Artifacts
from tests.helpers.fake_server import FakeServer, Reply


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("HARMFUL\nIt threatens.", "HARMFUL"),
        ("\n  **Harmless.** It does not.", "HARMLESS"),
        ("Verdict: UNCLEAR", "UNCLEAR"),
        ("HARMLESS: since", "HARMLESS"),
        ("<think>HARMLESS?\nno</think>\nHARMFUL", "HARMFUL"),
        ("not HARMFUL", None),
        ("HARMFUL or HARMLESS", None),
        ("HARMFUL?", None),
        ("It is HARMFUL", None),
        ("I cannot help with that.", None),
        ("", None),
        ("HARMFULNESS", None),
        ("Let me think.\nHARMFUL", None),
    ],
)
def test_a_vote_is_the_first_line_and_nothing_else_is_one(text: str, verdict: str | None) -> None:
    label = read_label(Answer(text, "stop"))
    assert label.verdict == verdict
    assert verdict or label.said.startswith("off-format: ")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server.__init__, "__defaults__", ((0.001, 0.01),))
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")


def judge_at(url: str, **changes: object) -> JudgeConfig:
    return JudgeConfig(
        server=url, server_model="judge", **({"concurrency": 1, "timeout_s": 5.0} | changes)
    )  # type: ignore[arg-type]


QUESTIONS = [f"question {i}" for i in range(6)]


@pytest.mark.usefixtures("quick")
def test_votes_are_kept_and_equal_questions_are_asked_once(tmp_path: Path) -> None:
    store = Artifacts(tmp_path)
    with FakeServer(
        lambda _n, prompt: Reply(
            "maybe"
            if prompt.endswith("4")
            else "HARMFUL"
            if prompt.endswith("1")
            else "HARMLESS\nReason."
        )
    ) as server:
        first = label_all(judge_at(server.url), [*QUESTIONS[:4], QUESTIONS[1]], store)
        again = label_all(judge_at(server.url, concurrency=3), QUESTIONS, store)
        last = label_all(judge_at(server.url), QUESTIONS, store)
    assert [v.verdict for v in first] == ["HARMLESS", "HARMFUL", "HARMLESS", "HARMLESS", "HARMFUL"]
    assert again[:4] == first[:4]
    assert again[4] == Label(None, "off-format: maybe")
    assert last == again
    assert server.prompts == {**dict.fromkeys(QUESTIONS, 1), QUESTIONS[4]: 2}
    assert {(b["model"], b["temperature"], b["max_tokens"]) for b in server.bodies} == {
        ("judge", 0.0, 512)
    }


@pytest.mark.usefixtures("quick")
def test_one_question_that_fails_or_stalls_costs_one_vote(tmp_path: Path) -> None:
    def script(_n: int, prompt: str) -> Reply:
        if prompt.endswith("1"):
            return Reply(status=500)
        return Reply("HARMLESS", delay=1.0 if prompt.endswith("3") else 0.0)

    with FakeServer(script) as server:
        labels = label_all(
            judge_at(server.url, timeout_s=0.2, retries=1), QUESTIONS, Artifacts(tmp_path)
        )
    assert [v.verdict for v in labels] == [
        "HARMLESS",
        None,
        "HARMLESS",
        None,
        "HARMLESS",
        "HARMLESS",
    ]
    assert "HTTP 500" in labels[1].said
    assert "experiment.judge_model.timeout_s=0.2" in labels[3].said


@pytest.mark.usefixtures("quick")
def test_a_server_that_is_down_is_given_up_and_said_why(tmp_path: Path) -> None:
    with FakeServer(lambda n, _prompt: Reply("HARMFUL") if n == 0 else Reply(status=503)) as server:
        labels = label_all(judge_at(server.url, retries=1), QUESTIONS, Artifacts(tmp_path))
        asked = len(server.bodies)
    assert [v.verdict for v in labels] == ["HARMFUL"] + [None] * 5
    assert asked == 1 + 3 * 2
    assert "not asked, the server was given up" in labels[5].said
    gone = label_all(judge_at(server.url), QUESTIONS, Artifacts(tmp_path))
    assert [v.verdict for v in gone] == ["HARMFUL"] + [None] * 5
    assert "no server answers at experiment.judge_model.server" in gone[1].said


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("status", [401, 404])
def test_a_refusal_is_told_with_the_judges_own_settings_and_without_the_key(
    tmp_path: Path, status: int
) -> None:
    with FakeServer(lambda _n, _prompt: Reply(status=status, raw=b"secret-key")) as server:
        labels = label_all(judge_at(server.url), QUESTIONS, Artifacts(tmp_path))
    assert [v.verdict for v in labels] == [None] * 6
    assert len(server.bodies) == 1
    assert (
        "OPENAI_API_KEY" in labels[0].said
        if status == 401
        else "experiment.judge_model.server_model" in labels[0].said
    )
    assert "secret-key" not in repr(labels)


def test_a_key_that_no_header_can_hold_costs_the_votes_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "schl\u00fcssel")
    labels = label_all(judge_at("http://127.0.0.1:9"), QUESTIONS, Artifacts(tmp_path))
    assert {v.verdict for v in labels} == {None}
    assert "schl" not in repr(labels)


@pytest.mark.parametrize("first", [True, False])
def test_a_server_can_be_asked_after_nnsight_is_loaded(first: bool) -> None:
    """nnsight gives every object a `.save`, after which anyio can define no attributes: an
    annotation that is missing stands for it here."""
    mount = (
        "import anyio._core._typedattr as t; t.TypedAttributeSet.save = print;"
        " t.TypedAttributeSet.__annotations__ = {}"
    )
    lines = (
        ["import emoexp.models.openai_client", mount]
        if first
        else [mount, "import emoexp.models.openai_client"]
    )
    ask = (
        "from emoexp.blackmail.llm_judge import *; import pathlib, sys; j ="
        " JudgeConfig(server='http://127.0.0.1:9', server_model='m')"
    )
    lines += [ask, "print(LLMJudge(j, pathlib.Path(sys.argv[1])).label_all(['q'])[0].said)"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", "\n".join(lines), folder],
            capture_output=True,
            text=True,
            check=True,
        )
    assert (
        "no server answers at experiment.judge_model.server"
        if first
        else "since nnsight was loaded first"
    ) in done.stdout


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"server": "http://x"}, "server and experiment.judge_model.server_model go together"),
        ({"retries": -1}, "experiment.judge_model.retries=-1"),
        ({"timeout_s": 0}, "experiment.judge_model.timeout_s=0"),
        ({"top_p": 0}, "experiment.judge_model.top_p=0"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"temperature": float("nan")}, "temperature=nan"),
    ],
)
def test_a_judge_that_cannot_be(changes: dict[str, object], message: str) -> None:
    with pytest.raises(EmoexpError, match=message):
        JudgeConfig(**changes)  # type: ignore[arg-type]
