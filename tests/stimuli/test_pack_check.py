"""`python -m emoexp.stimuli check`: every fault at once, none of them a crash; and packs that say
what they lack."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emoexp.errors import EmoexpError
from emoexp.stimuli import BUNDLED, load_stimuli
from emoexp.stimuli.__main__ import main
from emoexp.stories.corpus import pack_corpus


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLED / "organism", tmp_path / "pack"))


def edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def edit_json(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def test_check_says_ok_with_counts_and_hash(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "bundled:organism"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"ok: organism (sha256 {load_stimuli('bundled:organism').sha256})")
    assert "64 activities (32 steered)" in out
    assert "1536 stories, 160 neutral texts" in out


def test_check_lists_every_fault_at_once(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(copy / "emotions.csv", lambda t: t.replace("joyful,0.9", "joyful,high", 1))
    edit(
        copy / "activities.csv",
        lambda t: t.replace("Helpful,1,", "Helpful,yes,", 1).replace("Social,", "Sociable,", 1),
    )
    edit(copy / "scenarios.csv", lambda t: t.replace("happy,", "glad,", 1))
    edit_json(
        copy / "numeric.json",
        lambda c: (
            c[0]["signs"].update(afraid=2),
            c[1].update(values=[1, 3, 2, 4]),
            c[2].update(template="none"),
            c.pop(),
        ),
    )
    edit_json(
        copy / "pack.json",
        lambda c: (
            c["opposite_pairs"].pop(),
            c["exemplars"].append("gleeful"),
            c["templates"].update(
                preference="{a} or {c}?", story="{n} {topic} {emotion}", tory="x"
            ),
            c.update(autor="x"),
        ),
    )
    (copy / "topics.txt").write_text("One\n\nTwo\nOne\n")
    edit(
        copy / "stories.jsonl",
        lambda t: (
            "{broken\n" + json.dumps({"emotion": "happy", "topic": "x", "text": " "}) + "\n" + t
        ),
    )
    assert main(["check", str(copy)]) == 1
    lines = capsys.readouterr().out.splitlines()
    for fault in (
        "emotions.csv, line 3: valence 'high' is not a number",
        "activities.csv, line 2: steered is 'yes', must be 0 or 1",
        "9 categories, must be 8",
        "category 'Sociable' has 1 activities, must be 8",
        "31 steered activities, must be 32",
        "scenarios.csv: unknown emotion(s) glad",
        "numeric template 'drops' must have signs that are 1 or -1",
        "must have at least 4 values, whole numbers in ascending order",
        "must have the field {X} and no other",
        "5 numeric templates, must be 6",
        "4 opposite pairs, must be 5",
        "pack.json: unknown emotion(s) gleeful",
        "pack.json: unknown autor: there are name, author, templates",
        "pack.json, templates: unknown tory: there are preference, feeling",
        "pack.json: template 'preference' must have the fields {a}, {b} and no others",
        "pack.json: template 'story' has no line <...>",
        "topics.txt, line 2: empty",
        "topics.txt: 'One' stands 2 times",
        "stories.jsonl, line 1: not JSON",
        "stories.jsonl, line 2: no text under text",
    ):
        assert any(fault in line for line in lines), fault
    with pytest.raises(EmoexpError) as caught:
        load_stimuli(str(copy))
    assert "; 9 categories" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("pack.json", b'{\n "name": "x",\n', "pack.json, line 3: not JSON"),
        ("pack.json", b'{"name": "a", "name": "b"}', "not JSON (the key 'name' twice)"),
        ("pack.json", b"[]", "pack.json: must be an object"),
        ("pack.json", b"{}", "pack.json: name must be a text of one line"),
        ("emotions.csv", b"emotion\nhappy\n", "emotions.csv lacks the column(s) valence"),
        (
            "emotions.csv",
            b"emotion,valence\nhappy\nsad,nan\ncalm,1\nsad,1\n",
            "emotions.csv, line 2: has not 2 cells",
        ),
        (
            "emotions.csv",
            b"emotion,valence\nhappy,inf\nsad,1\ncalm,1\n",
            "the valence of 'happy' is inf",
        ),
        ("scenarios.csv", b"emotion,text\nhappy,\n", "scenarios.csv, line 2: nothing under text"),
        (
            "scenarios.csv",
            b"emotion,text\nhappy,\xff\n",
            "scenarios.csv: not UTF-8 (byte 0xff",
        ),
        ("activities.csv", b"category,steered,text\n", "activities.csv: no row below the header"),
        ("scenarios.csv", b"emotion;text\n", "scenarios.csv: no row below the header"),
        ("scenarios.csv", b"emotion,text,text\n", "it has emotion, text, text"),
        (
            "emotions.csv",
            b"emotion,valence\nsad,1\ncalm,1\nSad,1\n",
            "emotions.csv: 'sad' stands 2 times",
        ),
        (
            "emotions.csv",
            "emotion,valence\nsad,1\n proud\u200b,1\ncalm,1\n".encode(),
            "' proud\\u200b' has stray blanks or signs: write 'proud'",
        ),
        ("numeric.json", b"[" * 100_000, "numeric.json, line 1: not JSON (nested too deeply)"),
        ("numeric.json", b"[" + b"9" * 5000 + b"]", "a number with too many digits"),
        ("stories.jsonl", b'{"emotion": "happy", "text": "x"}\n', "line 1: no text under topic"),
        ("numeric.json", b'["x"]', "numeric.json, template 1: must be an object"),
        ("numeric.json", b"{}", "numeric.json: must be a list"),
        (
            "activities.csv",
            b'category,steered,text\n"Helpful,1,x\n',
            "activities.csv, after line 1: not CSV",
        ),
    ],
)
def test_broken_files_are_faults_and_not_crashes(
    copy: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, fault: str
) -> None:
    (copy / name).write_bytes(content)
    (copy / "neutral.jsonl").unlink()
    assert main(["check", str(copy)]) == 1
    out = capsys.readouterr().out
    assert fault in out
    assert "must come together" in out, "the others are still looked at"


def test_every_missing_file_is_named_and_the_rest_is_checked(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "numeric.json").unlink()
    (copy / "emotions.csv").unlink()
    edit(copy / "activities.csv", lambda t: "\n".join(t.splitlines()[:-1]) + "\n")
    assert main(["check", str(copy)]) == 1
    out = capsys.readouterr().out
    assert "lacks emotions.csv, numeric.json" in out
    assert "63 activities" in out
    assert "unknown emotion" not in out, "they cannot be known without the list"


def test_numeric_may_be_absent_only_if_the_pack_says_so(copy: Path) -> None:
    edit_json(copy / "pack.json", lambda c: c.update(absent=["numeric"]))
    with pytest.raises(EmoexpError, match=r"numeric is absent, but there is a numeric\.json"):
        load_stimuli(str(copy))
    (copy / "numeric.json").unlink()
    assert load_stimuli(str(copy)).numeric == ()
    edit_json(copy / "pack.json", lambda c: c.update(absent=["scenarios"]))
    with pytest.raises(EmoexpError, match="absent must be"):
        load_stimuli(str(copy))


def test_a_pack_may_not_call_itself_the_papers(copy: Path) -> None:
    edit_json(copy / "pack.json", lambda c: c.update(name="paper"))
    with pytest.raises(EmoexpError, match="called 'paper', but topics_100 is not the paper's"):
        load_stimuli(str(copy))


def test_nothing_to_check_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tmp_path / "none")]) == 2
    assert main(["check", "bundled:none"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_any_encoding_and_delimiter_is_the_same_pack(
    copy: Path, capsys: pytest.CaptureFixture[str], encoding: str
) -> None:
    for path in copy.iterdir():
        text = path.read_text(encoding="utf-8")
        if path.name == "scenarios.csv":
            text = "\n".join(
                line.replace(",", ";", 1) for line in text.replace('"', "").split("\n")
            )
        path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    assert main(["check", str(copy)]) == 0, capsys.readouterr().out
    pack, own = load_stimuli(str(copy)), load_stimuli("bundled:organism")
    assert (pack.activities, pack.scenarios) == (own.activities, own.scenarios)
    assert pack_corpus(pack).sha256 == pack_corpus(own).sha256


@pytest.mark.parametrize("name", ["stories.jsonl", "neutral.jsonl", "activities.csv", "pack.json"])
def test_a_folder_in_place_of_a_file(
    copy: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (copy / name).unlink()
    (copy / name).mkdir()
    assert main(["check", str(copy)]) == 1
    assert f"{name}: a folder, not a file" in capsys.readouterr().out
    with pytest.raises(EmoexpError, match=f"{name}: a folder, not a file"):
        load_stimuli(str(copy))


@pytest.mark.parametrize(("name", "last"), [("stories.jsonl", 1537), ("neutral.jsonl", 161)])
def test_a_text_that_stands_twice_is_refused(copy: Path, name: str, last: int) -> None:
    """It would count twice in a mean, and be in both halves of a split."""
    first = (copy / name).read_text().partition("\n")[0]
    edit(copy / name, lambda text: f"{text}{first.replace('. ', '.  ')}\n")
    with pytest.raises(
        EmoexpError, match=rf"1 fault\(s\): {name}, line {last}: the same text as line 1"
    ):
        pack_corpus(load_stimuli(str(copy)))


def test_a_run_refuses_the_stories_that_check_refuses(copy: Path) -> None:
    edit(copy / "stories.jsonl", lambda t: t + '{"emotion": "glad", "topic": "x", "text": "x"}\n')
    with pytest.raises(
        EmoexpError, match=r"1 fault\(s\): stories.jsonl, line 1537: unknown emotion"
    ):
        pack_corpus(load_stimuli(str(copy)))
